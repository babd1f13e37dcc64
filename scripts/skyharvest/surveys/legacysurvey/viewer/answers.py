"""Answers of the viewer: their bodies, and whether a file is the picture that it should be."""

from pathlib import Path

from skyharvest.archive.http.response import Response, TryAgain
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.byte_source import LocalFile
from skyharvest.formats.fits_file import FitsFile
from skyharvest.surveys.legacysurvey.viewer.notes import ABSENT, WRONG

MOST = 1 << 28  # bytes of a file: 512 × 512 pixels of ten bands with their inverse variances have 21 MB
JPEG_BEGIN, JPEG_END = b"\xff\xd8", b"\xff\xd9"  # markers SOI and EOI (ITU-T T.81, Table B.1)
FITS_BEGIN = b"SIMPLE  ="


class NoPicture(Exception):
    """A complete answer that is not the picture asked for."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def read_body(response: Response) -> bytes:
    """Return the body of an answer, whole."""
    if response.status != 200:  # a part: but no range was asked for
        raise TryAgain(f"HTTP {response.status}")
    length = response.content_length()
    data = response.read(MOST) if length is None or length > MOST else response.exactly(length)
    return data


def picture_defect(path: Path, name: str | None = None) -> NoPicture | TryAgain | None:
    """Return why a file is not a picture of the format that its name says, or None; `TryAgain` for a torn file."""
    jpeg = (name or path.name).endswith(".jpg")
    with path.open("rb") as stream:
        head = stream.read(48)
        size = stream.seek(0, 2)
        stream.seek(max(0, size - len(JPEG_END)))
        end = stream.read()
    if not size:
        return TryAgain("the answer is empty")
    if not head.startswith(JPEG_BEGIN if jpeg else FITS_BEGIN):
        return NoPicture(WRONG, f"{size:,} bytes that begin with {head!r}, expected {'JPEG' if jpeg else 'FITS'}")
    if jpeg:
        return None if end == JPEG_END else TryAgain(f"a JPEG of {size:,} bytes that does not end as one")
    return _fits_defect(path, name or path.name, size)


def _fits_defect(path: Path, name: str, size: int) -> NoPicture | TryAgain | None:
    with LocalFile(path) as source:
        source.name = name
        try:
            hdus = FitsFile(source).hdus
        except MalformedFile as error:
            return TryAgain(str(error))
    if hdus[-1].stop != size:
        return TryAgain(f"a FITS file of {size:,} bytes whose headers imply {hdus[-1].stop:,}")
    if not any(hdu.n_rows * hdu.row_bytes for hdu in hdus):
        return NoPicture(ABSENT, "a FITS file without an image")
    return None
