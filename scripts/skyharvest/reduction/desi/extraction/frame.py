"""Frames: the spectra of a camera's exposure, as desispec's later steps take them.

What `desi_extract_spectra` does, with the engine of this package. Format:
https://desidatamodel.readthedocs.io (SPECPROD/exposures/NIGHT/EXPID/frame-CAMERA-EXPID).
"""

from pathlib import Path
from typing import Any

import numpy as np
from desispec.frame import Frame
from desispec.heliocentric import barycentric_velocity_multiplicative_corr
from desispec.io import read_fibermap, read_image, write_frame
from desispec.maskbits import specmask
from desispec.specscore import compute_and_append_frame_scores

from skyharvest import __version__
from skyharvest.core.arrays import Floats
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.desi.cameras import FIBERS_OF_CAMERA
from skyharvest.reduction.desi.extraction.bundle import PATCHING, Extracted, Patching, extract
from skyharvest.reduction.desi.extraction.variance import modelled_ivar
from skyharvest.reduction.desi.preprocessed import good_ivar, short_path
from skyharvest.reduction.desi.psf.file import read_psf

SOME_BAD, BAD_FIT = 0.5, 100.0
"""Share of a spot's light on bad pixels, and χ², beyond which desispec sets SOMEBADPIX and BAD2DFIT."""


def extract_frame(
    image: Path,
    psf: Path,
    out: Path,
    wave: Floats,
    *,
    psf_error: float | None = None,
    barycentric: bool = False,
    model_variance: bool = False,
    patching: Patching = PATCHING,
) -> None:
    """Extract a preprocessed image, and write its frame; the file appears whole.

    Parameters
    ----------
    image
        ``preproc-{camera}-{expid}.fits.gz``, with a FIBERMAP.
    psf
        The traces of this exposure.
    wave
        Å, equally spaced, in vacuum; of the solar system's barycentre if ``barycentric``.
    psf_error
        Relative error of the PSF for χ²; the PSF's own if None.
    model_variance
        Whether variances of pixels are of a model of their light, see `modelled_ivar`.

    Raises
    ------
    MalformedFile
        If the image has no fibermap, or other fibers than the PSF.
    """
    read, traces = read_image(str(image)), read_psf(psf)
    try:
        fibermap = read_fibermap(str(image))
    except (OSError, KeyError) as error:
        raise MalformedFile(f"{image} has no HDU FIBERMAP: run its preprocessing again, with a fibermap") from error
    fibermap = fibermap[: traces.n_fiber] if len(fibermap) > traces.n_fiber else fibermap
    place = np.asarray(fibermap["FIBER"]) % FIBERS_OF_CAMERA
    if not np.array_equal(place, traces.first_fiber + np.arange(traces.n_fiber)):
        raise MalformedFile(
            f"{image}: its FIBERMAP has fibers {place[:3].tolist()}…, {psf} {traces.first_fiber} to "
            f"{traces.first_fiber + traces.n_fiber - 1}, expected the same"
        )
    factor = barycentric_factor(read.meta) if barycentric else 1.0
    pixels, ivar, own_wave = np.asarray(read.pix, np.float64), good_ivar(read), wave / factor
    if model_variance:
        ivar = modelled_ivar(pixels, ivar, read.readnoise, traces, own_wave, patching)
    found = extract(pixels, ivar, traces, own_wave, patching, psf_error)
    header = read.meta
    if barycentric:
        header["HELIOCOR"] = factor
    header["NSPEC"] = traces.n_fiber, "number of spectra"
    header["WAVEMIN"], header["WAVEMAX"] = (wave[0], "first wavelength, Angstrom"), (wave[-1], "last wavelength")
    header["WAVESTEP"] = wave[1] - wave[0], "Angstrom"
    header["EXTRACT"] = f"skyharvest {__version__}", "what has extracted"
    header["IN_PSF"], header["IN_IMG"] = short_path(psf), short_path(image)
    header["MODELVAR"] = model_variance, "variances of pixels are of a model"
    header["BUNIT"] = "electron/Angstrom"
    frame = Frame(
        wave,
        found.flux,
        found.ivar,
        mask=masks(found, traces.status),
        resolution_data=found.resolution,
        fibers=fibermap["FIBER"],
        meta=header,
        fibermap=fibermap,
        chi2pix=found.chi2,
    )
    compute_and_append_frame_scores(frame, suffix="RAW")
    with atomic_path(out) as temporary:
        # desispec packs by the name, and makes a temporary file of its own.
        made = temporary.with_name(f"{temporary.name}.{out.name}")
        try:
            write_frame(str(made), frame)
            made.replace(temporary)
        finally:
            made.unlink(missing_ok=True)


def masks(found: Extracted, status: Any) -> Any:
    """Return desispec's ``specmask`` bits, (n_fiber, n_wave) u4.

    Parameters
    ----------
    status
        Of the fibers' PSFs: where it is not 0, nothing is to be trusted.
    """
    made = np.zeros(found.flux.shape, np.uint32)
    made[found.lost > SOME_BAD] |= specmask.SOMEBADPIX
    made[(found.lost >= 1) | (found.ivar == 0)] |= specmask.ALLBADPIX
    made[found.chi2 > BAD_FIT] |= specmask.BAD2DFIT
    made[np.asarray(status) != 0] |= specmask.BADFIBER
    return made


def barycentric_factor(header: Any) -> float:
    """Return what wavelengths are multiplied with, from the telescope's frame to the barycentre's.

    Raises
    ------
    MalformedFile
        If the header does not say where the telescope pointed, or when.
    """
    try:
        ra, dec = (
            next(header[name + axis] for name in ("TARGT", "SKY", "TEL", "") if name + axis in header)
            for axis in ("RA", "DEC")
        )
        mjd = next(header[name] for name in ("MJD-OBS", "MJD") if name in header)
    except (StopIteration, RuntimeError) as error:
        raise MalformedFile(
            "the image's header has no TARGTRA and TARGTDEC (or SKYRA, TELRA, RA), or no MJD-OBS: they are needed for "
            "the barycentric correction (desi_reduction: extract: barycentric)"
        ) from error
    middle = mjd + header.get("EXPTIME", 0) / 2 / 86400
    return float(barycentric_velocity_multiplicative_corr(ra, dec, middle))
