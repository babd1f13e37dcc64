"""Which coadd is to be read: its paths, and what it is of."""

from dataclasses import dataclass
from typing import Self

from skyharvest.surveys.desi.release import Release, parse_coadd_name, redrock_beside


@dataclass(frozen=True)
class CoaddFile:
    """A coadd.

    Attributes
    ----------
    path, redrock
        Of the coadd and of its redshifts, relative to the archive's root (or full paths or URLs). ``redrock`` is empty
        if nobody knows where they are.
    survey, program, pix64
        Empty and -1 where neither a plan nor the file's name tells them.
    """

    path: str
    redrock: str
    survey: str = ""
    program: str = ""
    pix64: int = -1

    @classmethod
    def of_release(cls, release: Release, survey: str, program: str, pix64: int) -> Self:
        """Return a coadd of a release."""
        place = (survey, program, pix64)
        return cls(release.coadd(*place), release.redrock(*place), *place)

    @classmethod
    def of_path(cls, path: str) -> Self:
        """Return a coadd that somebody names by its path, as far as the file's name tells what it is."""
        redrock = redrock_beside(path) if path.rpartition("/")[2].startswith("coadd-") else ""
        return cls(path, redrock, *(parse_coadd_name(path) or ()))
