"""The checksum file of a simulated directory."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from skyharvest.core.atomic import atomic_path


def write_sha256sum(path: Path, files: Iterable[Path]) -> None:
    """Write the SHA-256 of files as ``sha256sum`` prints it: hash, two spaces, file name."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii") as stream:
        for file in files:
            with file.open("rb") as data:
                stream.write(f"{hashlib.file_digest(data, 'sha256').hexdigest()}  {file.name}\n")
