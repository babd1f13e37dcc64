"""Whole coadds from an archive: resumed where they broke off, verified, and gone as soon as they have been read."""

import fcntl
import hashlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from skyharvest.archive.archive import Archive
from skyharvest.core.errors import Absent, ArchiveUnavailable, MalformedFile
from skyharvest.formats.byte_source import CHUNK, LocalFile, Source
from skyharvest.formats.fits_rows import FitsFile

log = logging.getLogger(__name__)


@contextmanager
def downloaded(archive: Archive, wanted: Sequence[tuple[Sequence[str], str]], scratch: Path) -> Iterator[Archive]:
    """Download files, and give an archive that holds them until the block ends.

    A file that is wrong twice (see `download`) is `MalformedFile` when it is opened there: permanent, to be recorded.

    Parameters
    ----------
    archive
        Where they are.
    wanted
        Paths relative to the archive's root, of one directory, and that of its checksum file ("" where there is none by
        the release's own rules). Those that the archive does not have are not in the new one either.
    scratch
        The new archive's root. What an interrupted job has left there is used, if it is whole, or resumed.

    Raises
    ------
    ArchiveUnavailable, ArchiveRefused
        If a file cannot be had for now, or at all.
    """
    scratch.mkdir(parents=True, exist_ok=True)

    def fetch(of_directory: tuple[Sequence[str], str]) -> dict[str, MalformedFile]:
        return download(archive, of_directory[0], scratch, of_directory[1])

    try:
        with ThreadPoolExecutor(max(1, archive.connections)) as threads:
            malformed = list(threads.map(fetch, wanted))
        with _Downloaded(str(scratch), {path: error for wrong in malformed for path, error in wrong.items()}) as local:
            yield local
    finally:
        for path in (scratch / path for paths, _ in wanted for path in paths):
            path.unlink(missing_ok=True)
            with suppress(OSError):  # not empty: what broke off is there, to be resumed
                path.parent.rmdir()


class _Downloaded(Archive):
    """Files that were downloaded, and those that could not be because they are wrong."""

    def __init__(self, root: str, malformed: Mapping[str, MalformedFile]) -> None:
        super().__init__(root)
        self._malformed = malformed

    def open(self, path: str) -> Source:
        if path in self._malformed:
            raise self._malformed[path]
        return super().open(path)


def download(archive: Archive, paths: Sequence[str], root: Path, checksums: str) -> dict[str, MalformedFile]:
    """Download files of one directory of an archive, each under its path below ``root``.

    Parameters
    ----------
    archive
        Where they are.
    paths
        Relative to the archive's root. A file that the archive does not have is not written.
    root
        Where to write.
    checksums
        Path, relative to the archive's root, of the directory's ``sha256sum`` file; "" if the release has none. A file
        that it does not list, or that is in an archive without it, must be FITS of the length that its headers imply.

    Returns
    -------
    dict
        Path → what is wrong with it, for files that were fetched twice and wrong twice; they are not written.

    Raises
    ------
    ArchiveUnavailable, ArchiveRefused
        If a file cannot be had for now, or at all.
    """
    malformed = {}
    sums = _read_checksums(archive, checksums) if checksums else {}
    for path in paths:
        destination = root / path
        destination.parent.mkdir(parents=True, exist_ok=True)
        expected = sums.get(PurePosixPath(path).name)
        if destination.exists() and _what_is_wrong(destination, expected) is None:
            log.info("%s is there already", destination)
            continue
        try:
            if checksums and expected is None:
                log.warning("%s: the archive has no checksum for it", path)
            _fetch_verified(archive, path, destination, expected)
        except Absent as error:
            log.info("absent: %s", error)
        except MalformedFile as error:
            malformed[path] = error
    return malformed


def _fetch_verified(archive: Archive, path: str, destination: Path, expected: str | None) -> None:
    part, note = (destination.with_name(f"{destination.name}{end}") for end in (".part", ".version"))
    with _only_one(part):
        for again in (True, False):
            try:
                archive.fetch(path, part, note=note)
            except Absent:
                part.unlink()
                raise
            wrong = _what_is_wrong(part, expected)
            if wrong is None:
                part.rename(destination)
                return
            os.truncate(part, 0)
            message = f"{path}: {wrong}"
            if again:
                log.warning("%s; fetching it once more", message)
        part.unlink()
    raise MalformedFile(f"{message}, twice: the copy there is damaged; tell the archive, or use another mirror")


@contextmanager
def _only_one(part: Path) -> Iterator[None]:
    """Keep another job from writing the same file."""
    with part.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ArchiveUnavailable(f"{part} is being written by another job: run again when that has ended") from None
        yield


def _what_is_wrong(path: Path, expected: str | None) -> str | None:
    """Return how a file differs from its checksum, or, if it has none, from the length that its headers imply."""
    if expected is not None:
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            while piece := stream.read(CHUNK):
                digest.update(piece)
        found = digest.hexdigest()
        return None if found == expected else f"sha256 is {found}, the archive says {expected}"
    with LocalFile(path) as source:
        source.name = path.name.removesuffix(".part")
        try:
            implied = FitsFile(source).hdus[-1].stop
        except MalformedFile as error:
            return str(error)
        if implied != source.size():
            return f"its headers imply {implied:,} bytes, it has {source.size():,}"
    return None


def _read_checksums(archive: Archive, path: str) -> dict[str, str]:
    """Return file name → SHA-256 in hex of a ``sha256sum`` file; empty if the archive has none."""
    try:
        with archive.open(path) as source:
            lines = source.read([(0, source.size())])[0].decode("utf-8", "replace").splitlines()
    except Absent:
        return {}
    pairs = (line.split(maxsplit=1) for line in lines if line.strip())
    return {PurePosixPath(pair[1].lstrip("*")).name: pair[0].lower() for pair in pairs if len(pair) == 2}
