"""Where the files of a production stand: the paths of `desispec.io.findfile`, as far as they are made here.

Light: it is imported whenever the workflow is parsed.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Paths below a production, ``{results}/reduction/desi/spectro/redux/{specprod}``."""

    production: Path

    def preproc(self, night: int, expid: int, camera: str) -> Path:
        """Return the path of a preprocessed image."""
        return self.production / f"preproc/{night}/{expid:08d}/preproc-{camera}-{expid:08d}.fits.gz"

    def exposure(self, kind: str, night: int, expid: int, camera: str) -> Path:
        """Return the path of a file of an exposure: ``psf``, ``frame``, ``sky``, ``fluxcalib``, ``cframe``, …"""
        suffix = "fits" if kind in ("psf", "fit-psf", "shifted-input-psf") else "fits.gz"
        return self.production / f"exposures/{night}/{expid:08d}/{kind}-{camera}-{expid:08d}.{suffix}"

    def of_exposure(self, name: str, night: int, expid: int) -> Path:
        """Return the path of a file of an exposure that has no camera in its name."""
        return self.production / f"exposures/{night}/{expid:08d}/{name}"

    def calibnight(self, kind: str, night: int, camera: str) -> Path:
        """Return the path of a calibration of a night: ``psfnight``, ``fiberflatnight``."""
        return self.production / f"calibnight/{night}/{kind}-{camera}-{night}.fits"

    def healpix(self, kind: str, survey: str, program: str, pix64: int) -> Path:
        """Return the path of a file of an NSIDE=64 pixel: ``spectra``, ``coadd``, ``redrock``, ``rrdetails``."""
        suffix = "h5" if kind == "rrdetails" else "fits.gz" if kind == "spectra" else "fits"
        name = f"{kind}-{survey}-{program}-{pix64}.{suffix}"
        return self.production / f"healpix/{survey}/{program}/{pix64 // 100}/{pix64}/{name}"
