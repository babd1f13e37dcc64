"""The steps psf, psfnight and traceshift, from files to files."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
from desispec.calibfinder import badfibers, findcalibfile
from desispec.io import read_image

from skyharvest import __version__
from skyharvest.core.arrays import Floats
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.reduction.desi.cameras import FIBERS_OF_CAMERA
from skyharvest.reduction.desi.preprocessed import good_ivar, short_path
from skyharvest.reduction.desi.psf.average import average
from skyharvest.reduction.desi.psf.file import read_psf, write_psf
from skyharvest.reduction.desi.psf.fit import FitOptions, fit_psf
from skyharvest.reduction.desi.psf.lines import read_lines
from skyharvest.reduction.desi.psf.shifts import ShiftOptions, read_sky, shift_traces

log = logging.getLogger(__name__)

SHAPE_DEGREE = {"b": 1, "r": 1, "z": 3}
"""Degrees of the shape's polynomials that desispec's programs expect."""


def fit_exposure(image: Path, psf: Path | None, out: Path, options: FitOptions, lines: Path | None = None) -> None:
    """Fit the PSF of an arc's preprocessed image.

    Parameters
    ----------
    psf
        Where to begin; None: the calibration's (``DESI_SPECTRO_CALIB``) for this CCD and date.
    out
        ``fit-psf-{camera}-{expid}.fits``.
    lines
        A list of lines; desispec's own if None.

    Raises
    ------
    MalformedFile
        If there is no light of an arc in it.
    """
    pixels, ivar, noise, camera = _read(image)
    psf = psf or of_calibration(image)
    try:
        fitted = fit_psf(pixels, ivar, noise, read_psf(psf), read_lines(lines), options)
    except ValueError as error:
        raise MalformedFile(f"{image}: {error}") from error
    write_psf(out, fitted, camera, _about(IN_PSF=psf, IN_IMG=image))
    log.info("%s: %d of %d fibers measured", out, np.count_nonzero(fitted.status == 0), fitted.n_fiber)


def average_files(psfs: Sequence[Path], camera: str, out: Path) -> None:
    """Write the mean of PSFs.

    Raises
    ------
    MalformedFile
        If they are not of one camera.
    """
    try:
        made = average([read_psf(path) for path in psfs], [str(path) for path in psfs])
    except ValueError as error:
        raise MalformedFile(str(error)) from error
    inputs = {f"IN_PSF{k}": path for k, path in enumerate(psfs, 1)}
    write_psf(out, made, camera, _about(**inputs))


def shift_exposure(image: Path, psf: Path, out: Path, options: ShiftOptions, *, sky: bool) -> None:
    """Move the traces of a PSF to an exposure's light.

    Parameters
    ----------
    sky
        Whether there is light of the sky; else of a lamp without lines.

    Raises
    ------
    MalformedFile
        If there is too little light.
    """
    pixels, ivar, _, camera = _read(image)
    try:
        moved, in_x, in_y = shift_traces(pixels, ivar, read_psf(psf), options, read_sky() if sky else None)
    except ValueError as error:
        raise MalformedFile(f"{image}: {error}") from error
    about = _about(IN_PSF=psf, IN_IMG=image)
    # desispec's cards for the mean moves.
    about |= {"MEANDX": in_x.mean, "MEANDY": in_y.mean}
    write_psf(out, moved, camera, about)


def broken_fibers(image: str) -> list[int]:
    """Return the fibers, as numbers in their spectrograph, that the calibration says are not to be fitted."""
    found = badfibers([_header(image)], ["BROKENFIBERS", "BADCOLUMNFIBERS"])
    return [int(fiber) % FIBERS_OF_CAMERA for fiber in found]


def _header(image: str | Path) -> dict[str, Any]:
    with fitsio.FITS(str(image)) as file:
        return dict(file["IMAGE"].read_header())


def of_calibration(image: Path) -> Path:
    """Return the calibration's PSF (``DESI_SPECTRO_CALIB``) for the CCD and date of an image.

    Raises
    ------
    InputError
        If it has none.
    """
    found = findcalibfile([_header(image)], "PSF")
    if found is None:
        raise InputError(f"DESI_SPECTRO_CALIB has no PSF for the CCD and date of {image}: name one, with --psf")
    return Path(found)


def _read(image: Path) -> tuple[Floats, Floats, Floats, str]:
    """Return pixels, inverse variances without bad pixels, read noise, and the camera."""
    read = read_image(str(image))
    ivar = good_ivar(read)
    noise = np.broadcast_to(np.asarray(read.readnoise, np.float64), ivar.shape)
    return np.asarray(read.pix, np.float64), ivar, noise, str(read.camera).lower()


def _about(**inputs: Path) -> dict[str, str | float]:
    """Return header cards: what has made the file, and of what."""
    made: dict[str, str | float] = {name: short_path(path) for name, path in inputs.items()}
    return made | {"MADEBY": f"skyharvest {__version__}"}
