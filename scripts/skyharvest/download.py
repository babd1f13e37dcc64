"""Whole files from an archive, verified against its checksums."""

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from skyharvest.archive import ABSENT_MARK, Archive
from skyharvest.atomic import atomic_path
from skyharvest.errors import Absent, MalformedFile
from skyharvest.source import CHUNK

log = logging.getLogger(__name__)


def download(archive: Archive, wanted: Mapping[str, Path], checksums: str) -> None:
    """Download files of one directory of an archive.

    Parameters
    ----------
    archive
        Where they are.
    wanted
        Path relative to the archive's root → file to write. For one that the archive does not have, a file with
        `skyharvest.archive.ABSENT_MARK` is written.
    checksums
        Path, relative to the root, of the directory's ``sha256sum`` file. A file that it does not list, or an archive
        without it, is taken as it is, with a warning.

    Raises
    ------
    MalformedFile
        If a file differs from its checksum twice.
    """
    sums = _read_checksums(archive, checksums)
    for path, destination in wanted.items():
        with atomic_path(destination) as temporary:
            try:
                _fetch_verified(archive, path, temporary, sums.get(PurePosixPath(path).name))
            except Absent as error:
                log.info("absent: %s", error)
                temporary.write_bytes(ABSENT_MARK)


def _fetch_verified(archive: Archive, path: str, destination: Path, expected: str | None) -> None:
    if expected is None:
        archive.fetch(path, destination)
        log.warning("%s: the archive has no checksum for it", path)
        return
    for again in (True, False):
        archive.fetch(path, destination)
        with destination.open("rb") as stream:
            digest = hashlib.sha256()
            while piece := stream.read(CHUNK):
                digest.update(piece)
        if digest.hexdigest() == expected:
            return
        message = f"{archive.location(path)}: sha256 is {digest.hexdigest()}, the archive says {expected}"
        if again:
            log.warning("%s; fetching it once more", message)
    raise MalformedFile(f"{message}, twice: the copy there is damaged; tell the archive, or use another mirror")


def _read_checksums(archive: Archive, path: str) -> dict[str, str]:
    """Return file name → SHA-256 in hex of a ``sha256sum`` file; empty if the archive has none."""
    try:
        with archive.open(path) as source:
            lines = source.read([(0, source.size())])[0].decode("utf-8", "replace").splitlines()
    except Absent:
        return {}
    pairs = (line.split(maxsplit=1) for line in lines if line.strip())
    return {PurePosixPath(pair[1].lstrip("*")).name: pair[0].lower() for pair in pairs if len(pair) == 2}
