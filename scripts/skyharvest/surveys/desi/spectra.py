"""Arrays of DESI spectra: arms combined on one grid, line-spread functions, the primary spectrum of a target.

Units: wavelength Å (vacuum), flux 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹, ivar the inverse square of that, mask bits of desispec's
``specmask`` (0 = good).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from skyharvest.core.errors import MalformedFile
from skyharvest.formats import hdf5
from skyharvest.sky.matching import separation_deg

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

WAVE_TOLERANCE = 1e-4  # Å: desispec.coaddition.coadd_cameras
N_COMBINED = 7781
COMBINED_WAVE: Floats = 3600.0 + 0.8 * np.arange(N_COMBINED, dtype=np.float64)
"""(7781,) float64 Å, vacuum: the grid that the three arms share."""
LSF_UNIT = "pixel of 0.8 Angstrom"
NODATA = 1 << 8
"""Bit of desispec's ``specmask``: no data exists."""
ZWARN_NODATA = 1 << 9
"""Bit of redrock's ZWARN: no data for this fiber."""
SAME_OBJECT_ARCSEC = 0.5
"""Fibers so near to each other are on one object, whatever their TARGETIDs."""


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


def combine_cameras(
    arms: Mapping[str, Arm], there: Collection[str] | None = None
) -> tuple[Floats, Floats, Floats, npt.NDArray[np.int32]]:
    """Combine the arms into one spectrum on their common grid.

    Where two arms overlap: the inverse-variance weighted mean, and the OR of their masks; elsewhere a copy. Where the
    combined ivar is positive the mask is 0. Bit for bit the result of ``desispec.coaddition.coadd_cameras`` (desispec
    0.70), for all rows at once.

    Parameters
    ----------
    arms
        Arm name → `Arm`, all with the same n rows.
    there
        The arms that have data; by default all. Of the others only the wavelengths count.

    Returns
    -------
    wave : (nwave,) float64, Å
    flux, ivar : (n, nwave) float64
        NaN and 0 where no arm is there.
    mask : (n, nwave) int32
        `NODATA` where no arm is there.
    """
    wave, ordered, n_arms = _common_grid(arms, there)
    overlaps = n_arms > 1
    n = len(next(iter(arms.values())).flux)
    flux, ivar = np.zeros((n, len(wave))), np.zeros((n, len(wave)))
    mask = np.zeros((n, len(wave)), np.int32)
    for arm, place in ordered:
        both = overlaps[place]
        arm_flux, arm_ivar = arm.flux.astype(np.float64), arm.ivar.astype(np.float64)
        # Outside the overlaps flux is kept even where ivar is 0.
        flux[:, place] += np.where(both, arm_ivar * arm_flux, arm_flux)
        ivar[:, place] += arm_ivar
        mask[:, place] |= arm.mask.astype(np.int32)
    weight = ivar[:, overlaps]
    flux[:, overlaps] /= weight + (weight == 0)
    mask[ivar > 0] = 0
    flux[:, n_arms == 0] = np.nan
    mask[:, n_arms == 0] = NODATA
    return wave, flux, ivar, mask


def combined_grid(wavelength: Mapping[str, Floats]) -> Floats:
    """Return the grid of combined spectra, (nwave,) Å: the union of the arms' own, which are given by their names."""
    wave, *others = sorted(wavelength.values(), key=lambda own: float(np.mean(own)))
    for own in others:
        wave = np.append(wave, own[own > wave[-1] + WAVE_TOLERANCE])
    return wave


def _common_grid(
    arms: Mapping[str, Arm], there: Collection[str] | None
) -> tuple[Floats, list[tuple[Arm, slice]], npt.NDArray[np.int64]]:
    """Return the union of the arms' grids; the arms that are there, blue first, with their slices of it; their number.

    That number is (nwave,), pixel by pixel.
    """
    named = sorted(arms.items(), key=lambda item: float(np.mean(item[1].wavelength)))
    wave = combined_grid({name: arm.wavelength for name, arm in arms.items()})
    ordered = []
    n_arms = np.zeros(len(wave), np.int64)
    for name, arm in named:
        start = int(np.argmin(np.abs(wave - arm.wavelength[0])))
        place = slice(start, start + len(arm.wavelength))
        if len(wave[place]) != len(arm.wavelength) or np.abs(wave[place] - arm.wavelength).max() > WAVE_TOLERANCE:
            raise ValueError("the arms' wavelength grids are not aligned")
        if there is None or name in there:
            ordered.append((arm, place))
            n_arms[place] += 1
    return wave, ordered, n_arms


def lsf_sigma(arms: Mapping[str, Arm], there: Collection[str] | None = None) -> npt.NDArray[np.float32]:
    """Return the width of the line-spread function of the combined spectrum, per spectrum and pixel.

    The width is the standard deviation (from the second central moment) of a column of the resolution matrix, which is
    the response of the pixels to one wavelength. Where two arms overlap, their matrices are first averaged, weighted
    by the ivar of each element's pixel, as in ``desispec.coaddition.coadd_cameras``.

    Parameters
    ----------
    arms
        Arm name → `Arm` with its resolution, all with the same n rows.
    there
        As in `combine_cameras`.

    Returns
    -------
    (n, nwave) float32, pixels of 0.8 Å
        NaN where the matrix has no positive moment, is not known, or no arm is there.
    """
    wave, ordered, n_there = _common_grid(arms, there)
    n = len(next(iter(arms.values())).flux)
    moments = np.zeros((n, 3, len(wave)), np.float32)
    n_diagonals = max((_resolution(arm).shape[1] for arm, _ in ordered), default=1)
    half = n_diagonals // 2
    columns = np.flatnonzero(n_there > 1)
    total = np.zeros((n, n_diagonals, len(columns)))
    weights = np.zeros_like(total)
    unweighted = np.zeros_like(total)
    n_arms = np.zeros(len(columns))
    for arm, place in ordered:
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


def with_resolution(arm: Arm) -> Arm:
    """Return an arm; if its resolution is not known, with one of NaN."""
    if arm.resolution is not None:
        return arm
    n, n_pixels = arm.flux.shape
    return replace(arm, resolution=np.full((n, 1, n_pixels), np.nan, np.float32))


def _resolution(arm: Arm) -> Array:
    if arm.resolution is None:
        raise ValueError("the arms were read without their resolution")
    return arm.resolution


def _moments(resolution: Array) -> Array:
    """Return the zeroth, first and second moments along the diagonals: (n, ndiag, npix) → (n, 3, npix)."""
    n_diagonals = resolution.shape[1]
    offsets = np.arange(n_diagonals, dtype=np.float32) - n_diagonals // 2
    return np.asarray(np.matmul(np.stack([np.ones_like(offsets), offsets, offsets**2]), resolution))


def primary(
    groups: Array,
    zwarn: Array | None,
    tsnr2_lrg: Array | None,
    *,
    farther: Bools | None = None,
    never: Bools | None = None,
) -> Bools:
    """Mark the primary spectrum of each group, by DESI's rule.

    ZWARN = 0 comes first, then the highest TSNR2_LRG, then the first in order, as in
    ``desispec.zcatalog.find_primary_spectra``. Missing values (None, NaN) come last. Before that rule, those of the
    nearest object come before others, and those that redrock had no data for (`ZWARN_NODATA`) after all.

    Parameters
    ----------
    groups : (n,)
        Group of each spectrum, such as its CSV row.
    zwarn : (n,) int or None
    tsnr2_lrg : (n,) float or None
    farther : (n,) bool or None
        Spectra of other objects than the nearest: `is_farther`.
    never : (n,) bool or None
        Spectra that are not chosen, as those of sky.

    Returns
    -------
    (n,) bool, exactly one True per group; none where all are ``never``.
    """
    n = len(groups)
    farther = np.zeros(n, bool) if farther is None else farther
    never = np.zeros(n, bool) if never is None else never
    bad = np.ones(n, bool) if zwarn is None else zwarn != 0
    depth = np.zeros(n) if tsnr2_lrg is None else np.nan_to_num(tsnr2_lrg.astype(np.float64), nan=-np.inf)
    best_first = np.lexsort((np.arange(n), -depth, bad, farther, has_no_data(zwarn, n), never, groups))
    chosen = np.zeros(n, bool)
    _, firsts = np.unique(groups[best_first], return_index=True)
    chosen[best_first[firsts]] = True
    return np.asarray(chosen & ~never)


def is_sky(objtype: Array | None, n: int) -> Bools:
    """Tell which fibers are of sky by FIBERMAP's OBJTYPE (n,), bytes; without that column none is."""
    return np.zeros(n, bool) if objtype is None or objtype.dtype.kind != "S" else np.asarray(objtype == b"SKY")


def arms_of_files(file: h5py.File) -> list[list[str]]:
    """Return, of each of the coadds that an extracted file is of, the arms that it has."""
    return [names.split() for names in hdf5.text(file["files/arms"][:])]


def has_data(arms: Mapping[str, Arm]) -> Bools:
    """Tell which spectra have a good pixel in some arm, (n,): one with ivar > 0 and mask 0."""
    good = [((arm.ivar > 0) & (arm.mask == 0)).any(axis=1) for arm in arms.values()]
    return np.asarray(np.logical_or.reduce(good))


def has_no_data(zwarn: Array | None, n: int) -> Bools:
    """Tell of which spectra redrock says that they have no data, (n,); -1 is no value of redrock's."""
    return np.zeros(n, bool) if zwarn is None else (zwarn > 0) & (zwarn & ZWARN_NODATA != 0)


def is_farther(
    groups: Array, separation_arcsec: Floats, ra: Floats, dec: Floats, targetid: Array, *, but: Bools
) -> Bools:
    """Tell which spectra are of another object than the one that is nearest to the position of their group.

    Fibers within `SAME_OBJECT_ARCSEC` of the nearest one, or with its TARGETID, are on one object.

    Parameters
    ----------
    groups : (n,)
        Group of each spectrum: its CSV row.
    separation_arcsec : (n,) float64
        From the position of the group; NaN comes last.
    ra, dec : (n,) float64, degrees
        Of the fibers.
    targetid : (n,) int64
    but : (n,) bool
        Spectra whose fibers are not the nearest, however near they are: of sky, or without data.

    Returns
    -------
    (n,) bool
    """
    order = np.lexsort((separation_arcsec, but, groups))
    _, firsts, of_group = np.unique(groups[order], return_index=True, return_inverse=True)
    nearest = np.empty(len(groups), np.int64)
    nearest[order] = order[firsts[of_group]]
    apart = 3600 * separation_deg(ra, dec, ra[nearest], dec[nearest])
    return np.asarray(~((apart <= SAME_OBJECT_ARCSEC) | (targetid == targetid[nearest])))


def is_same_grid(wave: Floats, other: Floats) -> bool:
    """Tell whether two wavelength grids of an arm are the same, but for the rounding of their numbers."""
    return len(wave) == len(other) and bool((np.abs(wave - other) <= WAVE_TOLERANCE).all())


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
            stacked[name] = np.concatenate(parts, dtype=_widest([part.dtype for part in parts]))
        except (TypeError, ValueError) as error:
            shapes = ", ".join(sorted({f"{part.dtype}{part.shape[1:]}" for part in parts}))
            raise MalformedFile(f"column {name} differs between the coadds of a pixel: {shapes}") from error
    return stacked


def _widest(dtypes: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """Return the dtype that holds all values of these; `TypeError` if none does: NumPy takes float64, or text."""
    widest = np.result_type(*dtypes)
    kinds = {dtype.kind for dtype in dtypes}
    if (widest.kind == "f" and kinds <= {"i", "u"}) or (len(kinds) > 1 and kinds & {"S", "U"}):
        raise TypeError(f"{dtypes} have no dtype in common")
    return widest


def stack_what_fits(
    tables: Sequence[Mapping[str, Array]], lengths: Sequence[int]
) -> tuple[dict[str, Array], list[tuple[int, str]]]:
    """Concatenate the rows of tables as `stack_columns` does, without columns that do not go with those before them.

    Returns
    -------
    stacked
    misfits
        Number of the table and name of its column, for each one that is left out, as if the table lacked it.
    """
    try:
        return stack_columns(tables, lengths), []
    except MalformedFile:
        kept: list[dict[str, Array]] = [{} for _ in tables]
        misfits = []
        for name in dict.fromkeys(name for table in tables for name in table):
            for k, table in enumerate(tables):
                if name not in table:
                    continue
                so_far = [{name: table[name]} for table in kept if name in table] + [{name: table[name]}]
                try:
                    stack_columns(so_far, [len(one[name]) for one in so_far])
                    kept[k][name] = table[name]
                except MalformedFile:
                    misfits.append((k, name))
        return stack_columns(kept, lengths), misfits
