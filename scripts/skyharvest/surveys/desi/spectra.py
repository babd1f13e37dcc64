"""Arrays of DESI spectra: arms combined on one grid, line-spread functions, the primary spectrum of a target.

Units: wavelength Å (vacuum), flux 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹, ivar the inverse square of that, mask bits of desispec's
``specmask`` (0 = good).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skyharvest.core.errors import MalformedFile

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

WAVE_TOLERANCE = 1e-4  # Å: desispec.coaddition.coadd_cameras
N_COMBINED = 7781
COMBINED_WAVE: Floats = 3600.0 + 0.8 * np.arange(N_COMBINED, dtype=np.float64)
"""(7781,) float64 Å, vacuum: the grid that the three arms share."""


@dataclass
class Arm:
    """Rows of one camera.

    Attributes
    ----------
    wavelength : (npix,) float64, Å
    flux, ivar : (n, npix) float32
    mask : (n, npix) int32 or uint32, as in the file
    resolution : (n, ndiag, npix) float32 or None
        Diagonals of the resolution matrix R: element [i, d, j] is the response of pixel j + d - ndiag // 2 to light
        at pixel j (the layout of ``scipy.sparse.dia_matrix`` with offsets ndiag // 2 … -(ndiag // 2)).
    """

    wavelength: Floats
    flux: Array
    ivar: Array
    mask: Array
    resolution: Array | None = None


def combine_cameras(arms: Mapping[str, Arm]) -> tuple[Floats, Floats, Floats, npt.NDArray[np.int32]]:
    """Combine the arms into one spectrum on their common grid.

    Where two arms overlap: the inverse-variance weighted mean, and the OR of their masks; elsewhere a copy. Where the
    combined ivar is positive the mask is 0. Bit for bit the result of ``desispec.coaddition.coadd_cameras`` (desispec
    0.70), for all rows at once.

    Parameters
    ----------
    arms
        Arm name → `Arm`, all with the same n rows.

    Returns
    -------
    wave : (nwave,) float64, Å
    flux, ivar : (n, nwave) float64
    mask : (n, nwave) int32
    """
    ordered = sorted(arms.values(), key=lambda arm: float(np.mean(arm.wavelength)))
    wave, places, overlaps = _common_grid([arm.wavelength for arm in ordered])
    n = len(ordered[0].flux)
    flux, ivar = np.zeros((n, len(wave))), np.zeros((n, len(wave)))
    mask = np.zeros((n, len(wave)), np.int32)
    for arm, place in zip(ordered, places, strict=True):
        both = overlaps[place]
        arm_flux, arm_ivar = arm.flux.astype(np.float64), arm.ivar.astype(np.float64)
        # Outside the overlaps flux is kept even where ivar is 0.
        flux[:, place] += np.where(both, arm_ivar * arm_flux, arm_flux)
        ivar[:, place] += arm_ivar
        mask[:, place] |= arm.mask.astype(np.int32)
    weight = ivar[:, overlaps]
    flux[:, overlaps] /= weight + (weight == 0)
    mask[ivar > 0] = 0
    return wave, flux, ivar, mask


def _common_grid(waves: Sequence[Floats]) -> tuple[Floats, list[slice], npt.NDArray[np.bool_]]:
    """Return the union of the arms' grids, each arm's slice of it, and which of its pixels two arms share."""
    wave = waves[0]
    for more in waves[1:]:
        wave = np.append(wave, more[more > wave[-1] + WAVE_TOLERANCE])
    places = []
    n_arms = np.zeros(len(wave), int)
    for arm_wave in waves:
        start = int(np.argmin(np.abs(wave - arm_wave[0])))
        place = slice(start, start + len(arm_wave))
        if len(wave[place]) != len(arm_wave) or np.abs(wave[place] - arm_wave).max() > WAVE_TOLERANCE:
            raise ValueError("the arms' wavelength grids are not aligned")
        places.append(place)
        n_arms[place] += 1
    return wave, places, n_arms > 1


def lsf_sigma(arms: Mapping[str, Arm]) -> npt.NDArray[np.float32]:
    """Return the width of the line-spread function of the combined spectrum, per spectrum and pixel.

    The width is the standard deviation (from the second central moment) of a column of the resolution matrix, which is
    the response of the pixels to one wavelength. Where two arms overlap, their matrices are first averaged, weighted
    by the ivar of each element's pixel, as in ``desispec.coaddition.coadd_cameras``.

    Parameters
    ----------
    arms
        Arm name → `Arm` with its resolution, all with the same n rows.

    Returns
    -------
    (n, nwave) float32, pixels of 0.8 Å
        NaN where the matrix has no positive moment.
    """
    ordered = sorted(arms.values(), key=lambda arm: float(np.mean(arm.wavelength)))
    wave, places, overlaps = _common_grid([arm.wavelength for arm in ordered])
    n = len(ordered[0].flux)
    moments = np.zeros((n, 3, len(wave)), np.float32)
    n_diagonals = max(_resolution(arm).shape[1] for arm in ordered)
    half = n_diagonals // 2
    columns = np.flatnonzero(overlaps)
    total = np.zeros((n, n_diagonals, len(columns)))
    weights = np.zeros_like(total)
    unweighted = np.zeros_like(total)
    n_arms = np.zeros(len(columns))
    for arm, place in zip(ordered, places, strict=True):
        resolution = _resolution(arm)
        moments[:, :, place] = _moments(resolution)
        inside = (columns >= place.start) & (columns < place.stop)
        arm_columns = columns[inside] - place.start
        pad = half - resolution.shape[1] // 2
        rows = np.clip(
            arm_columns[None, :] + np.arange(-half + pad, half - pad + 1)[:, None], 0, len(arm.wavelength) - 1
        )
        weight = arm.ivar[:, rows].astype(np.float64)
        block = np.ix_(np.arange(n), np.arange(pad, n_diagonals - pad), np.flatnonzero(inside))
        total[block] += weight * resolution[:, :, arm_columns]
        weights[block] += weight
        unweighted[block] += resolution[:, :, arm_columns]
        n_arms[inside] += 1
    if len(columns):
        weighted = weights > 0
        mean_matrix = np.where(weighted, total / np.where(weighted, weights, 1), unweighted / n_arms)
        moments[:, :, columns] = _moments(mean_matrix.astype(np.float32))
    norm, mean, square = moments[:, 0], moments[:, 1], moments[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = square / norm - (mean / norm) ** 2
        return np.asarray(np.where((norm > 0) & (variance > 0), np.sqrt(variance), np.nan), np.float32)


def _resolution(arm: Arm) -> Array:
    if arm.resolution is None:
        raise ValueError("the arms were read without their resolution")
    return arm.resolution


def _moments(resolution: Array) -> Array:
    """Return the zeroth, first and second moments along the diagonals: (n, ndiag, npix) → (n, 3, npix)."""
    n_diagonals = resolution.shape[1]
    offsets = np.arange(n_diagonals, dtype=np.float32) - n_diagonals // 2
    return np.asarray(np.matmul(np.stack([np.ones_like(offsets), offsets, offsets**2]), resolution))


def primary(groups: Array, zwarn: Array | None, tsnr2_lrg: Array | None) -> npt.NDArray[np.bool_]:
    """Mark the primary spectrum of each group, by DESI's rule.

    ZWARN = 0 comes first, then the highest TSNR2_LRG, then the first in order, as in
    ``desispec.zcatalog.find_primary_spectra``. Missing values (None, NaN) come last.

    Parameters
    ----------
    groups : (n,)
        Group of each spectrum, such as its CSV row.
    zwarn : (n,) int or None
    tsnr2_lrg : (n,) float or None

    Returns
    -------
    (n,) bool, exactly one True per group.
    """
    n = len(groups)
    bad = np.ones(n, bool) if zwarn is None else zwarn != 0
    depth = np.zeros(n) if tsnr2_lrg is None else np.nan_to_num(tsnr2_lrg.astype(np.float64), nan=-np.inf)
    best_first = np.lexsort((np.arange(n), -depth, bad, groups))
    chosen = np.zeros(n, bool)
    _, firsts = np.unique(groups[best_first], return_index=True)
    chosen[best_first[firsts]] = True
    return chosen


def stack_columns(tables: Sequence[Mapping[str, Array]], lengths: Iterable[int]) -> dict[str, Array]:
    """Concatenate the rows of tables whose columns may differ.

    Columns that a table lacks become NaN for floats, 0 for integers, and False or empty otherwise. Columns keep the
    order of their first occurrence. Differing dtypes are widened.

    Raises
    ------
    MalformedFile
        If a column has different shapes or incompatible dtypes in two tables.
    """
    lengths = list(lengths)
    names = list(dict.fromkeys(name for table in tables for name in table))
    stacked = {}
    for name in names:
        model = next(table[name] for table in tables if name in table)
        fill = np.full(
            (1, *model.shape[1:]), np.nan if model.dtype.kind == "f" else np.zeros(1, model.dtype)[0], model.dtype
        )
        parts = [
            table[name] if name in table else np.repeat(fill, n, axis=0)
            for table, n in zip(tables, lengths, strict=True)
        ]
        try:
            stacked[name] = np.concatenate(parts)
        except (TypeError, ValueError) as error:
            shapes = ", ".join(sorted({f"{part.dtype}{part.shape[1:]}" for part in parts}))
            raise MalformedFile(f"column {name} differs between the coadds of a pixel: {shapes}") from error
    return stacked
