"""Where the files of a production stand: the paths of `desispec.io.findfile`, as far as they are made here.

Light: it is imported whenever the workflow is parsed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

P = TypeVar("P")

COADDS = ("coadd", "coadd-cameras", "coadd-lin", "coadd-log", "coadd-fast")
"""Forms of coadds, by the words of desispec's `desi_coadd_spectra`: by camera; all cameras in one; on a linear and on a
logarithmic grid by spectroperfectionism; on a grid by fast resampling."""


def raw_path(directory: Path, expid: int) -> Path:
    """Return the raw file in an exposure's directory of the raw data."""
    return directory / f"desi-{expid:08d}.fits.fz"


def fibermap_path(directory: Path, expid: int) -> Path:
    """Return the fibermap in an exposure's directory."""
    return directory / f"fibermap-{expid:08d}.fits"


class Places(Generic[P]):
    """Where files stand below a production, in whatever form.

    Parameters
    ----------
    at
        Makes such a form of a path below the production.
    """

    def __init__(self, at: Callable[[str], P]) -> None:
        self._at = at

    def of_night(self, kind: str, night: int) -> P:
        """Return the path of a list of a night: ``exposure_table``, or ``exposure_healpix``."""
        return self._at(f"exposure_tables/{str(night)[:6]}/{kind}_{night}.csv")

    def preproc(self, night: int, expid: int, camera: str) -> P:
        """Return the path of a preprocessed image."""
        return self._at(f"preproc/{night}/{expid:08d}/preproc-{camera}-{expid:08d}.fits.gz")

    def exposure(self, kind: str, night: int, expid: int, camera: str) -> P:
        """Return the path of a file of an exposure: ``psf``, ``frame``, ``sky``, ``fluxcalib``, ``cframe``, …"""
        suffix = "fits" if kind in ("psf", "fit-psf", "shifted-input-psf", "skycorr") else "fits.gz"
        return self._at(f"exposures/{night}/{expid:08d}/{kind}-{camera}-{expid:08d}.{suffix}")

    def of_exposure(self, name: str, night: int, expid: int) -> P:
        """Return the path of a file of an exposure that has no camera in its name."""
        return self._at(f"exposures/{night}/{expid:08d}/{name}")

    def quality(self, night: int, expid: int, camera: str) -> P:
        """Return the path of what is measured of a camera's exposure."""
        return self._at(f"QA/{night}/{expid:08d}/qa-{camera}-{expid:08d}.yaml")

    def calibnight(self, kind: str, night: int, camera: str) -> P:
        """Return the path of a calibration of a night: ``psfnight``, ``fiberflatnight``."""
        return self._at(f"calibnight/{night}/{kind}-{camera}-{night}.fits")

    def healpix(self, kind: str, survey: str, program: str, pix64: int) -> P:
        """Return the path of a file of an NSIDE=64 pixel: ``spectra``, one of `COADDS`, ``redrock``, ``rrdetails``."""
        suffix = "h5" if kind == "rrdetails" else "fits.gz" if kind == "spectra" else "fits"
        name = f"{kind}-{survey}-{program}-{pix64}.{suffix}"
        return self._at(f"healpix/{survey}/{program}/{pix64 // 100}/{pix64}/{name}")


class Layout(Places[Path]):
    """Paths below a production, ``{results}/reduction/desi/spectro/redux/{specprod}``."""

    def __init__(self, production: Path) -> None:
        super().__init__(production.joinpath)
        self.production = production

    def checksums(self, survey: str, program: str, pix64: int) -> Path:
        """Return the path of the SHA-256 sums of a pixel's directory, which are named after it."""
        name = f"redux_{self.production.name}_healpix_{survey}_{program}_{pix64 // 100}_{pix64}.sha256sum"
        return self.healpix("coadd", survey, program, pix64).with_name(name)

    def tilepix(self) -> Path:
        """Return the path of the table of tiles, petals and pixels: the list of what a release has."""
        return self.production / "healpix/tilepix.fits"

    def tilepix_checksum(self) -> Path:
        """Return the path of the SHA-256 sum of that."""
        return self.production / f"healpix/redux_{self.production.name}_healpix.sha256sum"

    def redshifts(self) -> Path:
        """Return the path of the redshifts of all pixels, in one table."""
        return self.production / f"zcatalog/zall-pix-{self.production.name}.fits"

    def targets(self) -> Path:
        """Return the path of the targets of each tile, with what targeting knew of them."""
        return self.production / f"zcatalog/targetphot-{self.production.name}.fits"

    def tiles(self) -> Path:
        """Return the path of the table of tiles; a CSV of the same name is beside it."""
        return self.production / f"tiles-{self.production.name}.fits"

    def exposures(self) -> Path:
        """Return the path of the tables of exposures and of frames."""
        return self.production / f"exposures-{self.production.name}.fits"
