"""Forms of a pixel's coadd: all cameras in one spectrum, on their common grid or on another.

The sums are desispec's (`desispec.coaddition`), equal to the last bit. What its results lack beside the coadd that they
are made of is kept: FIBERMAP, EXP_FIBERMAP and SCORES as they are, the cards of the first HDU, and the bits of MASK.
Format: https://desidatamodel.readthedocs.io (SPECPROD/healpix/SURVEY/PROGRAM/PIXGROUP/PIXNUM/coadd-…), with the one
band ``BRZ`` in place of three.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from desispec import coaddition
from desispec.io import read_spectra, write_spectra
from desispec.spectra import Spectra

from skyharvest.core.arrays import Array, Floats, Ints
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError, MalformedFile

log = logging.getLogger(__name__)

TABLES = ("FIBERMAP", "EXP_FIBERMAP", "SCORES")


def coadd_cameras(coadd: Path, out: Path) -> None:
    """Write a coadd with all cameras in one spectrum, on the grid that they share.

    `desi_coadd_spectra --coadd-cameras` is to do this, and ends with a TypeError in desispec 0.70.

    Parameters
    ----------
    coadd
        ``coadd-{survey}-{program}-{pixel}.fits``, by camera.
    out
        The file to write, which appears whole.

    Raises
    ------
    MalformedFile
        If it is no such coadd, or its cameras have grids that do not fit together.
    """
    spectra = _read(coadd)
    try:
        made = coaddition.coadd_cameras(spectra)
    except ValueError as error:
        raise MalformedFile(f"{coadd}: {error}") from error
    [band] = made.bands
    made.mask = {band: _mask(spectra, made.wave[band], spectra.ivar)}
    _write(out, made, coadd, spectra)


def resample(
    coadd: Path, out: Path, *, lin_step: float = 0.0, log10_step: float = 0.0, fast: bool = False, nproc: int = 1
) -> None:
    """Write a coadd with all cameras in one spectrum, on a new grid from their first wavelength to their last.

    What `desi_coadd_spectra --lin-step` and ``--log10-step`` do.

    Parameters
    ----------
    lin_step, log10_step
        Å, or of the decimal logarithm of Å: one of them.
    fast
        Interpolate: pixels are correlated, and have no resolution. Else spectroperfectionism (Bolton & Schlegel 2010,
        PASP 122, 248): they are not correlated, and have one.
    nproc
        Processes, of spectroperfectionism.

    Raises
    ------
    InputError
        If not one step of the two is given.
    MalformedFile
        If it is no coadd by camera, or has no resolution.
    """
    if (lin_step > 0) == (log10_step > 0) or min(lin_step, log10_step) < 0:
        raise InputError(
            f"found a linear step of {lin_step:g} Å and a logarithmic one of {log10_step:g}; expected one of them, "
            "more than 0"
        )
    spectra = _read(coadd)
    if spectra.resolution_data is None:
        raise MalformedFile(f"{coadd} has no HDUs {_names(spectra.bands, 'RESOLUTION')}: it cannot be resampled")
    lit = np.any([(spectra.ivar[b] > 0).any(axis=1) for b in spectra.bands], axis=0)
    made = coaddition.resample_spectra_lin_or_log(
        spectra[lit], linear_step=lin_step, log10_step=log10_step, fast=fast, nproc=nproc
    )
    [band] = made.bands
    for values in (made.flux, made.ivar, made.resolution_data or {}):
        values.update({b: _among(lit, of_lit) for b, of_lit in values.items() if of_lit is not None})
    good = {b: spectra.ivar[b] * (spectra.mask[b] == 0) for b in spectra.bands} if fast else spectra.ivar
    made.mask = {band: _mask(spectra, made.wave[band], good)}
    _write(out, made, coadd, spectra)


def _read(coadd: Path) -> Any:
    """Return a coadd as desispec's commands read it, with a mask in any case."""
    if not coadd.exists():
        raise FileNotFoundError(2, "there is no coadd", str(coadd))
    try:
        spectra = read_spectra(str(coadd), single=True)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise MalformedFile(f"{coadd}: not a coadd that desispec reads: {error}") from error
    if spectra.fibermap is None or "COADD_FIBERSTATUS" not in spectra.fibermap.colnames:
        raise MalformedFile(
            f"{coadd}: FIBERMAP has no column COADD_FIBERSTATUS: expected a coadd, not spectra of exposures"
        )
    if spectra.mask is None:
        spectra.mask = {band: np.zeros(spectra.flux[band].shape, np.int32) for band in spectra.bands}
    spectra.extra = None  # by camera; it has no place beside a spectrum of all
    # desispec compares each camera with those before and after it in the list, which is in the file's order.
    spectra.bands.sort(key=lambda band: float(np.mean(spectra.wave[band])))
    return spectra


def _among(lit: Array, values: Array) -> Array:
    """Return values of some spectra among zeros: one without a good pixel, of a dead fiber, makes desispec fail."""
    made = np.zeros((lit.size, *values.shape[1:]), values.dtype)
    made[lit] = values
    return made


def _names(bands: list[str], kind: str) -> str:
    return ", ".join(f"{band.upper()}_{kind}" for band in bands)


def _mask(spectra: Any, wave: Floats, weight: Mapping[str, Array]) -> Ints:
    """Return the mask of a spectrum of all cameras, (n, n_wave) i4: bits of the bad pixels that are in it.

    desispec leaves none: a coadd gives a pixel that is bad in all exposures its mask *and* an inverse variance, and
    what is made of it has but the latter.

    Parameters
    ----------
    weight
        Band → (n, n_pixel): 0 for pixels that were not used. Where none was, the bits are those of all.
    """
    used = _near(spectra, wave, {b: np.where(weight[b] > 0, spectra.mask[b], 0) for b in spectra.bands})
    there = _near(spectra, wave, {b: (weight[b] > 0).astype(np.int32) for b in spectra.bands})
    return np.where(there, used, _near(spectra, wave, spectra.mask)).astype(np.int32)


def _near(spectra: Any, wave: Floats, bits: Mapping[str, Array]) -> Ints:
    """Return bits of cameras' pixels at other wavelengths, (n, n_wave): of those nearest to one another, either way."""
    made = np.zeros((len(spectra.fibermap), wave.size), np.int64)
    for band in spectra.bands:
        own, values = np.asarray(spectra.wave[band]), bits[band].astype(np.int64)
        to = _nearest(wave, own)
        first = np.flatnonzero(np.diff(to, prepend=-1))
        made[:, to[first]] |= np.bitwise_or.reduceat(values, first, axis=1)
        back = _nearest(own, wave)
        inside = np.abs(own[back] - wave) <= np.diff(own).max()
        made[:, inside] |= values[:, back[inside]]
    return made


def _nearest(grid: Floats, at: Floats) -> Ints:
    """Return the index of the nearest of increasing wavelengths to each of some."""
    return np.searchsorted((grid[1:] + grid[:-1]) / 2, at)


def _write(out: Path, made: Any, coadd: Path, spectra: Any) -> None:
    """Write spectra with the tables of the coadd that they are made of."""
    meta = {key: value for key, value in dict(spectra.meta).items() if not key.startswith("INFIL")}
    whole = Spectra(
        bands=made.bands,
        wave=made.wave,
        flux=made.flux,
        ivar=made.ivar,
        mask=made.mask,
        resolution_data=made.resolution_data,
        fibermap=spectra.fibermap,
        exp_fibermap=spectra.exp_fibermap,
        scores=spectra.scores,
        meta=meta | {"INFIL000": coadd.name},
    )
    with atomic_path(out) as temporary:
        arrays = temporary.with_name(f"{temporary.name}.fits")  # desispec renames a temporary file of its own
        try:
            write_spectra(str(arrays), whole)
            with fits.open(arrays) as new, fits.open(coadd) as old:
                # Read as tables and written again, they lose units and comments.
                hdus = [old[hdu.name] if hdu.name in TABLES else hdu for hdu in new]
                fits.HDUList(hdus).writeto(temporary, overwrite=True)
        finally:
            arrays.unlink(missing_ok=True)
    log.info("%s: %d spectra of %s", out, len(whole.fibermap), coadd)
