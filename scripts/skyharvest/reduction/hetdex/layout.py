"""Where the files of the reduction stand, and how its units are named.

Light: it is imported whenever the workflow is parsed.
"""

import re
from pathlib import Path
from typing import NamedTuple

from skyharvest.core.errors import InputError

AMPS = ("LL", "LU", "RL", "RU")
"""Amplifiers of an IFU, in the order of rows in public files."""

IFU = r"[0-9]{3}_[0-9]{3}_[0-9]{3}_[A-Za-z0-9]+"
"""A pairing: an IFU with the spectrograph and controller that it is connected to, SPECID_IFUSLOT_IFUID_CONTID."""
SHOT = r"[0-9]{8}v[0-9]{3}"
MONTH = r"[0-9]{6}"
NIGHT = r"[0-9]{8}"
SHOTID = r"[0-9]{11}"
"""A shot as a number, as names of public files have it: 20190103012."""
EXPOSURE = r"exp[0-9]{2}"
DETECTIONS_FILE = "detections.h5"
"""Of the emission lines of a pairing in a shot, in its directory."""


class Pairing(NamedTuple):
    """An IFU with the spectrograph and controller that it is connected to; its text is its name, see `IFU`."""

    specid: str
    ifuslot: str
    ifuid: str
    contid: str

    @classmethod
    def named(cls, name: str, path: Path | None = None) -> "Pairing":
        """Return the pairing of a name.

        Parameters
        ----------
        name
            As 008_093_054_0123.
        path
            What has the name, for the error.

        Raises
        ------
        InputError
            If it is none.
        """
        if not re.fullmatch(IFU, name):
            raise InputError(f"{path or name}: found {name!r}; expected a pairing, such as 008_093_054_0123")
        return cls(*name.split("_"))

    def __str__(self) -> str:
        """Return its name."""
        return "_".join(self)


def name_of_exposure(expnum: int) -> str:
    """Return the field's name of an exposure of a shot: ``exp01``."""
    return f"exp{expnum:02d}"


def name_of_shot(night: int, obs: int) -> str:
    """Return the field's name of a shot: ``20190103v012``."""
    return f"{night}v{obs:03d}"


def shotid_of(shot: str) -> int:
    """Return a shot as a number: ``20190103012``."""
    return int(shot.replace("v", ""))


def shot_of(shotid: int | str) -> str:
    """Return the name of a shot by its number."""
    text = str(shotid)
    return f"{text[:8]}v{text[8:]}"


def month_of(shot: str) -> int:
    """Return the month of a shot, or of a night as text: YYYYMM."""
    return int(shot[:6])


class Layout:
    """Paths below the directory of the reduction.

    Parameters
    ----------
    directory
        ``results/reduction/hetdex``.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def below(cls, results: str) -> "Layout":
        """Return the layout of the reduction whose results, of all parts of a run, are in a directory."""
        return cls(Path(results) / "reduction" / "hetdex")

    def night_list(self, night: int | str) -> Path:
        """Return the index of a night's tar files."""
        return self.directory / f"lists/{night}.csv"

    @property
    def plan(self) -> Path:
        """The list of units: what is to be done."""
        return self.directory / "plan/plan.csv"

    @property
    def left_out(self) -> Path:
        """Frames that are not used, with the reason."""
        return self.directory / "plan/left_out.csv"

    def observations(self, month: int | str) -> Path:
        """Return the table of a month's exposures."""
        return self.directory / f"plan/observations-{month}.csv"

    def frames(self, month: int | str, ifu: str) -> Path:
        """Return the list of a pairing's frames in a month."""
        return self.directory / f"frames/{month}/{ifu}.csv"

    def calibration(self, step: str, month: int | str, ifu: str) -> Path:
        """Return the product of a pairing in a month: of ``bias``, ``trace`` or ``wavelength``."""
        return self.directory / f"{step}/{month}/{ifu}.fits"

    def flat(self, month: int | str, ifu: str) -> Path:
        """Return the directory with the pixel flats and masks of a pairing in a month."""
        return self.directory / f"flat/{month}/{ifu}"

    def amp_to_amp(self, month: int | str) -> Path:
        """Return the comparison of a month's amplifiers."""
        return self.directory / f"amp_to_amp/{month}.fits"

    def science(self, shot: str, exposure: str, ifu: str) -> Path:
        """Return the directory with the multifits of a pairing's exposure."""
        return self.directory / f"science/{shot}/{exposure}/{ifu}"

    def full_sky(self, shot: str, exposure: str) -> Path:
        """Return the directory with the full-field sky of an exposure."""
        return self.directory / f"full_sky/{shot}/{exposure}"

    def of_shot(self, step: str, shot: str) -> Path:
        """Return the product of a shot: of one of `steps.OF_SHOT`, ``continuum``, or ``fiber_index``."""
        return self.directory / f"{step}/{shot}.h5"

    def residuals(self, month: int | str, ifu: str) -> Path:
        """Return the directory with the residual maps of a pairing in a month."""
        return self.directory / f"residuals/{month}/{ifu}"

    def detections(self, shot: str, ifu: str) -> Path:
        """Return the directory with the emission lines of a pairing in a shot."""
        return self.directory / f"detections/{shot}/{ifu}"

    def completeness(self, shot: str, ifu: str) -> Path:
        """Return what became of the lines that were put into a pairing's fibers."""
        return self.directory / f"completeness/{shot}/{ifu}.h5"

    @property
    def release(self) -> Path:
        """The directory that is laid out as a public release."""
        return self.directory / "release"

    @property
    def cube_index(self) -> Path:
        """The table of all cubes."""
        return self.release / "ifu-index.fits"

    def cubes(self, shot: str) -> Path:
        """Return the directory with the cubes of a shot."""
        return self.release / f"datacubes/{shotid_of(shot)}"

    def detections_of_month(self, month: int | str) -> Path:
        """Return the file of a month's emission lines."""
        return self.release / f"detect/months/detect_{month}.h5"

    def merged(self, kind: str, release: str) -> Path:
        """Return the file of all emission lines (``detect``) or continuum sources (``cont``)."""
        return self.release / f"detect/{kind}_{release}.h5"

    @property
    def detect_index(self) -> Path:
        """The table of all emission lines and continuum sources, under the name that public releases have."""
        return self.release / "detect/detect_index_hdr5.h5"

    def survey(self, release: str) -> Path:
        """Return the table of all shots."""
        return self.release / f"survey/survey_{release}.h5"

    def fiber_index(self, release: str) -> Path:
        """Return the table of all fibers, with flags."""
        return self.release / f"survey/fiber_index_{release}.h5"

    def cutouts(self, shot: str) -> Path:
        """Return the file with the pieces of images around a shot's detections."""
        return self.directory / f"im2D/im2D_{shotid_of(shot)}.h5"

    def all_cutouts(self, release: str) -> Path:
        """Return the file that all of those are merged into."""
        return self.release / f"im2D_{release}.h5"

    def reports(self, shot: str) -> Path:
        """Return the list of a shot's reports: those that are there, and those that are not, with the reason."""
        return self.directory / f"reports/{shot}.csv"

    @property
    def report_pages(self) -> Path:
        """The first of the pages that reports are browsed with."""
        return self.directory / "reports/pages/index.html"
