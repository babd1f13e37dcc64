"""The DESI coadd: its data model, the combination of its cameras, and its line-spread function.

A coadd file holds one row per target: FIBERMAP (and SCORES) tables, and for each arm (camera) B, R, Z the images
``{arm}_WAVELENGTH`` (npix,), ``_FLUX``, ``_IVAR``, ``_MASK`` (n, npix) and ``_RESOLUTION`` (n, ndiag, npix). HDUs are
found by name: their order and number differ between releases. A redrock file beside it holds REDSHIFTS, one row per
target in an order of its own. Source: desidatamodel.readthedocs.io, coadd-SURVEY-PROGRAM-PIXNUM and
redrock-SURVEY-PROGRAM-PIXNUM.

Units: wavelength Å (vacuum), flux 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹, ivar the inverse square of that, mask bits of desispec's
``specmask`` (0 = good).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skyharvest.core.errors import MalformedFile
from skyharvest.formats.byte_source import Range, Source
from skyharvest.formats.fits_file import FIRST_READ, FitsFile
from skyharvest.formats.fits_hdu import HDU
from skyharvest.formats.fits_header import BLOCK
from skyharvest.surveys.desi.shown import ARMS as ARMS  # noqa: PLC0414 (others take it from here)

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

COORDINATES = {"TARGETID": "iu", "TARGET_RA": "f", "TARGET_DEC": "f"}  # and what they hold: NumPy's kinds
REDSHIFTS = {
    **{"TARGETID": "iu", "Z": "f", "ZERR": "f", "ZWARN": "iu"},
    **{"SPECTYPE": "S", "SUBTYPE": "S", "DELTACHI2": "f"},
}
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


N_PIXELS = {"b": 2751, "r": 2326, "z": 2881}
N_DIAGONALS = 11
IMAGES = [(arm, kind) for arm in ARMS for kind in ("wavelength", "flux", "ivar", "mask", "resolution")]
SCORES_BYTES = 190  # of a row, about
REDSHIFTS_BYTES = 190  # ditto


def guess_layout(found: Sequence[HDU], position: int) -> list[Range]:
    """Guess where the rest of a coadd is, to read its headers in one go: a `skyharvest.formats.fits_file.Guess`.

    Behind FIBERMAP the next header is behind its rows, which are wanted anyway. Behind that, every image's place
    follows from the number of targets and the arms' grids, if the images are in DESI's order with headers of one block;
    SCORES is last.
    """
    fibermap = next((hdu for hdu in found if hdu.name == "FIBERMAP"), None)
    if fibermap is None:
        return []
    if found[-1] is fibermap:
        return [fibermap.all_rows()]
    n = fibermap.n_rows
    names = [f"{arm}_{kind}".upper() for arm, kind in IMAGES]
    last = found[-1].name
    ranges = []
    for arm, kind in IMAGES[names.index(last) + 1 if last in names else 0 :]:
        pixels = N_PIXELS[arm]
        data = pixels * {"wavelength": 8, "resolution": 4 * N_DIAGONALS * n}.get(kind, 4 * n)
        padded = -(-data // BLOCK) * BLOCK
        ranges.append((position, position + BLOCK + (padded if kind == "wavelength" else 0)))
        position += BLOCK + padded
    return [*ranges, (position, position + 4 * BLOCK + SCORES_BYTES * n)]


class Coadd:
    """One coadd file: checked when opened, then read by rows.

    Parameters
    ----------
    source
        The file. Not closed.
    resolution
        Whether the resolution matrices will be read (79 % of a row's bytes).

    Raises
    ------
    MalformedFile
        If an arm, an image or a FIBERMAP coordinate is missing, or the arrays disagree in length. The message names
        file, HDU and column.
    """

    def __init__(self, source: Source, *, resolution: bool = True) -> None:
        self.fits = FitsFile(source, guess_layout)
        self.name = source.name
        self.fibermap_hdu = self.fits["FIBERMAP"]
        self.fibermap_hdu.check_scalars(COORDINATES)
        self.n_rows = self.fibermap_hdu.n_rows
        self.kinds = ("flux", "ivar", "mask", "resolution") if resolution else ("flux", "ivar", "mask")
        self.n_diagonals = {arm: self._check_arm(arm) for arm in ARMS}

    def _check_arm(self, arm: str) -> int:
        grid = self._image(arm, "wavelength")
        _check_axes(grid, 1)
        if grid.n_rows > N_COMBINED:
            raise MalformedFile(f"{grid}: has {grid.n_rows} pixels, expected at most {N_COMBINED}")
        for kind in self.kinds:
            hdu = self._image(arm, kind)
            _check_axes(hdu, 3 if kind == "resolution" else 2)
            if hdu.n_rows != self.n_rows:
                raise MalformedFile(f"{hdu}: has {hdu.n_rows} rows, FIBERMAP has {self.n_rows}")
            if hdu.shape[-1] != grid.n_rows:
                raise MalformedFile(f"{hdu}: has {hdu.shape[-1]} pixels, {grid.name} has {grid.n_rows}")
            if self.dtype(arm, kind).kind not in ("iu" if kind == "mask" else "f"):
                raise MalformedFile(f"{hdu}: holds {self.dtype(arm, kind)}: no {kind}")
        return self._image(arm, "resolution").shape[1] if "resolution" in self.kinds else 0

    def _image(self, arm: str, kind: str) -> HDU:
        return self.fits[f"{arm}_{kind}".upper()]

    def dtype(self, arm: str, kind: str) -> np.dtype[Any]:
        """Return the native dtype of an image, such as uint32 for a mask with BZERO = 2³¹."""
        return self._image(arm, kind).image(b"").dtype

    def small_tables(self) -> tuple[dict[str, Array], dict[str, Array], dict[str, Floats]]:
        """Read what must be known before rows are chosen: FIBERMAP, SCORES and the wavelength grids.

        Returns
        -------
        fibermap, scores
            Column name → array of length ``n_rows``; scores (aligned to FIBERMAP by TARGETID) has TARGETID alone if
            the file has no SCORES.
        wavelength
            Arm → (npix,) float64 Å.

        Raises
        ------
        MalformedFile
            If a TARGETID is there twice, SCORES lacks one, or a grid is not the one that DESI's arms share.
        """
        grids = [self._image(arm, "wavelength") for arm in ARMS]
        wanted: list[tuple[HDU, None]] = [(self.fibermap_hdu, None), *((grid, None) for grid in grids)]
        if "SCORES" in self.fits:
            wanted.append((self.fits["SCORES"], None))
        fibermap_bytes, *grid_bytes = self.fits.read(wanted)
        self.fits.source.forget()
        fibermap = self.fibermap_hdu.table(fibermap_bytes)
        targetid = fibermap["TARGETID"]
        align(targetid, targetid, f"{self.fibermap_hdu}")
        scores = {"TARGETID": targetid}
        if "SCORES" in self.fits:
            hdu = self.fits["SCORES"]
            scores = hdu.table(grid_bytes.pop())
            hdu.check_scalars({"TARGETID": "iu"})
            order = align(targetid, scores["TARGETID"], f"{hdu}")
            scores = {name: values[order] for name, values in scores.items()}
        wavelength = {}
        for arm, hdu, data in zip(ARMS, grids, grid_bytes, strict=True):
            wave = hdu.image(data).astype(np.float64)
            if not _on_common_grid(wave):
                raise MalformedFile(f"{hdu}: the wavelengths are not on DESI's common grid of 0.8 Å from 3600 Å")
            wavelength[arm] = wave
        return fibermap, scores, wavelength

    def read_arms(self, rows: Sequence[int] | Ints, wavelength: Mapping[str, Floats]) -> dict[str, Arm]:
        """Read the spectra of some rows, all arms in one go.

        Parameters
        ----------
        rows
            Row numbers in FIBERMAP's order; may repeat.
        wavelength
            From `small_tables`.

        Returns
        -------
        dict
            Arm name → `Arm` whose arrays have ``len(rows)`` rows, bit for bit as in the file (native byte order).
        """
        hdus = [self._image(arm, kind) for arm in ARMS for kind in self.kinds]
        data = iter(self.fits.read([(hdu, rows) for hdu in hdus]))
        arms = {}
        for arm in ARMS:
            images = {kind: self._image(arm, kind).image(next(data)) for kind in self.kinds}
            arms[arm] = Arm(wavelength[arm], **images)
        return arms


def _check_axes(hdu: HDU, n_axes: int) -> None:
    if hdu.is_table:
        hdu.image(b"")  # raises: says that a table is no image
    if len(hdu.shape) != n_axes:
        raise MalformedFile(f"{hdu}: has {len(hdu.shape)} axes, expected {n_axes}")


def _on_common_grid(wave: Floats) -> bool:
    if len(wave) == 0:
        return False
    start = int(np.argmin(np.abs(COMBINED_WAVE - wave[0])))
    there = COMBINED_WAVE[start : start + len(wave)]
    return len(there) == len(wave) and bool((np.abs(wave - there) <= WAVE_TOLERANCE).all())


def read_redshifts(source: Source, targetid: Ints, n_rows: int = 0) -> dict[str, Array]:
    """Read REDSHIFTS of a redrock file, in the order of ``targetid``.

    Parameters
    ----------
    source
        The file. Not closed.
    targetid : (n,) int64
        Whose redshifts.
    n_rows
        How many rows the table probably has (those of the coadd): then one round trip reads all.

    Returns
    -------
    dict
        Every column of REDSHIFTS, each of length ``len(targetid)``.

    Raises
    ------
    MalformedFile
        If a TARGETID is missing or there twice.
    """
    fits = FitsFile(source, first_read=6 * BLOCK + REDSHIFTS_BYTES * n_rows if n_rows else FIRST_READ)
    hdu = fits["REDSHIFTS"]
    hdu.check_scalars(REDSHIFTS)
    table = hdu.table(fits.read([(hdu, None)])[0])
    order = align(targetid, table["TARGETID"], f"{hdu}")
    return {name: values[order] for name, values in table.items()}


def align(wanted: Ints, available: Ints, where: str) -> Ints:
    """Return for each wanted TARGETID its index in ``available``.

    Raises
    ------
    MalformedFile
        If one is missing, or ``available`` holds one of the wanted twice. ``where`` names the table in the message.
    """
    order = np.argsort(available, kind="stable")
    ordered = available[order]
    first = np.searchsorted(ordered, wanted, "left")
    count = np.searchsorted(ordered, wanted, "right") - first
    for wrong, what in ((count == 0, "is missing"), (count > 1, "is there more than once")):
        if wrong.any():
            raise MalformedFile(
                f"{where}, column TARGETID: {wanted[wrong][0]} {what} ({wrong.sum()} of {len(wanted)} targets): "
                "rows cannot be aligned"
            )
    found = order[first]
    assert np.array_equal(available[found], wanted)
    return found


def combine_cameras(arms: Mapping[str, Arm]) -> tuple[Floats, Floats, Floats, npt.NDArray[np.int32]]:
    """Combine the arms into one spectrum on their common grid.

    Where two arms overlap: the inverse-variance weighted mean, and the OR of their masks; elsewhere a copy. Where the
    combined ivar is positive the mask is 0. This is the definition of ``desispec.coaddition.coadd_cameras`` (desispec
    0.70), reproduced to the last bit, on all rows at once.

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
        # Where only one arm measures, its flux is kept even where its ivar is 0.
        flux[:, place] += np.where(both, arm_ivar * arm_flux, arm_flux)
        ivar[:, place] += arm_ivar
        mask[:, place] |= arm.mask.astype(np.int32)
    weight = ivar[:, overlaps]
    flux[:, overlaps] /= weight + (weight == 0)
    mask[ivar > 0] = 0
    return wave, flux, ivar, mask


def _common_grid(waves: Sequence[Floats]) -> tuple[Floats, list[slice], npt.NDArray[np.bool_]]:
    """Return the union of the arms' grids, each arm's place in it, and which of its pixels two arms share."""
    wave = waves[0]
    for more in waves[1:]:
        wave = np.append(wave, more[more > wave[-1] + WAVE_TOLERANCE])
    places = []
    times = np.zeros(len(wave), int)
    for of_arm in waves:
        start = int(np.argmin(np.abs(wave - of_arm[0])))
        place = slice(start, start + len(of_arm))
        if len(wave[place]) != len(of_arm) or np.abs(wave[place] - of_arm).max() > WAVE_TOLERANCE:
            raise ValueError("the arms' wavelength grids are not aligned")
        places.append(place)
        times[place] += 1
    return wave, places, times > 1


def lsf_sigma(arms: Mapping[str, Arm]) -> npt.NDArray[np.float32]:
    """Return the width of the line-spread function of the combined spectrum, per spectrum and pixel.

    The standard deviation (second central moment) of each column of the resolution matrix: of what one wavelength's
    light becomes on the pixels. Where two arms overlap, their matrices are first averaged with the weights of the flux
    (the ivar of the pixel that each element belongs to), as ``desispec.coaddition.coadd_cameras`` does.

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
    plain = np.zeros_like(total)
    n_arms = np.zeros(len(columns))
    for arm, place in zip(ordered, places, strict=True):
        resolution = _resolution(arm)
        moments[:, :, place] = _moments(resolution)
        inside = (columns >= place.start) & (columns < place.stop)
        mine = columns[inside] - place.start
        pad = half - resolution.shape[1] // 2
        rows = np.clip(mine[None, :] + np.arange(-half + pad, half - pad + 1)[:, None], 0, len(arm.wavelength) - 1)
        weight = arm.ivar[:, rows].astype(np.float64)
        here = np.ix_(np.arange(n), np.arange(pad, n_diagonals - pad), np.flatnonzero(inside))
        total[here] += weight * resolution[:, :, mine]
        weights[here] += weight
        plain[here] += resolution[:, :, mine]
        n_arms[inside] += 1
    if len(columns):
        known = weights > 0
        mixed = np.where(known, total / np.where(known, weights, 1), plain / n_arms)
        moments[:, :, columns] = _moments(mixed.astype(np.float32))
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
    """Mark in each group the spectrum that DESI's own rule would choose.

    ZWARN = 0 comes first, then the highest TSNR2_LRG, then the first in order: the rule of
    ``desispec.zcatalog.find_primary_spectra``. A value that is missing (None, NaN) comes last.

    Parameters
    ----------
    groups : (n,)
        What the spectra are grouped by, such as the CSV row.
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
    """Put tables with differing columns below one another.

    What a table lacks is NaN for floats, 0 for integers and False or empty otherwise. Columns keep the order in which
    they first occur. Differing types widen.

    Raises
    ------
    MalformedFile
        If two tables have the same column with different shapes or kinds that do not go together.
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
