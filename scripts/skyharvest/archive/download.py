"""Whole files from an archive: downloads are resumed and verified, and deleted after they are read."""

import fcntl
import gzip
import hashlib
import logging
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from skyharvest.archive.archive import Archive
from skyharvest.core.errors import Absent, ArchiveUnavailable, MalformedFile
from skyharvest.formats.byte_source import CHUNK, LocalFile, Source
from skyharvest.formats.fits_file import FitsFile

log = logging.getLogger(__name__)

TAGGED = re.compile(r"SHA256 \((.+)\) = ([0-9a-fA-F]+)")


@contextmanager
def downloaded(archive: Archive, wanted: Sequence[tuple[Sequence[str], str]], scratch: Path) -> Iterator[Archive]:
    """Download files, and yield a local archive that holds them until the block ends.

    To open a file there that was damaged twice (see `download`) raises `MalformedFile`.

    Parameters
    ----------
    archive
        Archive to copy from.
    wanted
        For each directory: paths of files relative to the archive's root, and the path of the directory's checksum
        file, "" if the release has none. Files that do not exist are absent from the local archive too.
    scratch
        Root of the local archive. Files of an interrupted job there are used, or their download is resumed.

    Raises
    ------
    ArchiveUnavailable, ArchiveRefused
        If a file cannot be fetched now, or at all.
    """
    scratch.mkdir(parents=True, exist_ok=True)

    def fetch(directory: tuple[Sequence[str], str]) -> dict[str, MalformedFile]:
        return download(archive, directory[0], scratch, directory[1])

    try:
        with ThreadPoolExecutor(max(1, archive.connections)) as threads:
            malformed = list(threads.map(fetch, wanted))
        with _Downloaded(str(scratch), dict(item for errors in malformed for item in errors.items())) as local:
            yield local
    finally:
        for path in (scratch / path for paths, _ in wanted for path in paths):
            path.unlink(missing_ok=True)
            with suppress(OSError):  # not empty: it holds an unfinished file, to be resumed
                path.parent.rmdir()


class _Downloaded(Archive):
    """Files that were downloaded, and the errors of damaged ones."""

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
        Archive to copy from.
    paths
        Relative to the archive's root. A file that does not exist there is not written.
    root
        Directory to write to.
    checksums
        Path, relative to the archive's root, of the directory's ``sha256sum`` file; "" if the release has none. A file
        without a checksum must be whole gzip, or FITS of the length that its headers imply.

    Returns
    -------
    dict
        Path → error, for files that were damaged each of two times; they are not written.

    Raises
    ------
    ArchiveUnavailable, ArchiveRefused
        If a file cannot be fetched now, or at all.
    """
    malformed = {}
    sums = read_checksums(archive, checksums) if checksums else {}
    for path in paths:
        destination = root / path
        destination.parent.mkdir(parents=True, exist_ok=True)
        expected = sums.get(PurePosixPath(path).name)
        if destination.exists() and _damage(destination, expected) is None:
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
    part, note = (destination.with_name(f"{destination.name}{suffix}") for suffix in (".part", ".version"))
    with _locked(part):
        for again in (True, False):
            try:
                archive.fetch(path, part, note=note)
            except Absent:
                part.unlink()
                raise
            damage = _damage(part, expected)
            if damage is None:
                part.rename(destination)
                return
            os.truncate(part, 0)
            message = f"{path}: {damage}"
            if again:
                log.warning("%s; fetching it once more", message)
        part.unlink()
    raise MalformedFile(f"{message}, twice: the copy there is damaged; tell the archive, or use another mirror")


@contextmanager
def _locked(part: Path) -> Iterator[None]:
    """Prevent other jobs from writing the same file."""
    with part.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ArchiveUnavailable(f"{part} is being written by another job: run again when that has ended") from None
        yield


def _damage(path: Path, expected: str | None) -> str | None:
    """Return how a file differs from its checksum or, without one, from the length that its headers imply."""
    if expected is not None:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return None if digest == expected else f"sha256 is {digest}, the archive says {expected}"
    if path.name.removesuffix(".part").endswith(".gz"):
        return _damage_of_gzip(path)
    with LocalFile(path) as source:
        source.name = path.name.removesuffix(".part")
        try:
            implied = FitsFile(source).hdus[-1].stop
        except MalformedFile as error:
            return str(error)
        if implied != source.size():
            return f"its headers imply {implied:,} bytes, it has {source.size():,}"
    return None


def _damage_of_gzip(path: Path) -> str | None:
    """Return what is wrong with a compressed file, which has a checksum of its own; None if nothing is."""
    try:
        with gzip.open(path) as stream:
            while stream.read(CHUNK):
                pass
    except (OSError, EOFError, zlib.error) as error:
        return f"it cannot be unpacked: {error}"
    return None


def read_checksums(archive: Archive, path: str) -> dict[str, str]:
    """Return file name → SHA-256 in hex of a ``sha256sum`` file; empty if the archive has none."""
    try:
        with archive.open(path) as source:
            text = source.read([(0, source.size())])[0].decode("utf-8", "replace")
    except Absent:
        return {}
    return parse_checksums(text)


def parse_checksums(text: str) -> dict[str, str]:
    """Return file name → digest in hex of lines as ``sha256sum`` writes them, or with ``--tag``."""
    sums = {}
    for line in text.splitlines():
        tagged = TAGGED.fullmatch(line.strip())
        pair = (tagged[2], tagged[1]) if tagged else line.split(maxsplit=1)
        if len(pair) == 2:
            sums[PurePosixPath(pair[1].strip().lstrip("*")).name] = pair[0].lower()
    return sums
