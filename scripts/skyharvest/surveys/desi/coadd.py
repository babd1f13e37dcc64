"""DESI's coadd and redrock files.

A coadd file holds one row per target: FIBERMAP (and SCORES) tables, and for each arm (camera) B, R, Z the images
``{arm}_WAVELENGTH`` (npix,), ``_FLUX``, ``_IVAR``, ``_MASK`` (n, npix) and ``_RESOLUTION`` (n, ndiag, npix). HDUs are
found by name: their order and number differ between releases. A redrock file beside it holds REDSHIFTS, one row per
target in an order of its own. Source: desidatamodel.readthedocs.io, coadd-SURVEY-PROGRAM-PIXNUM and
redrock-SURVEY-PROGRAM-PIXNUM.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skyharvest.core.errors import MalformedFile
from skyharvest.formats.byte_source import Range, Source
from skyharvest.formats.fits_file import FIRST_READ, FitsFile
from skyharvest.formats.fits_hdu import HDU
from skyharvest.formats.fits_header import BLOCK
from skyharvest.surveys.desi.shown import ARMS
from skyharvest.surveys.desi.spectra import COMBINED_WAVE, N_COMBINED, WAVE_TOLERANCE, Arm

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

COORDINATES = {"TARGETID": "iu", "TARGET_RA": "f", "TARGET_DEC": "f"}  # with their NumPy kinds
REDSHIFTS = {
    **{"TARGETID": "iu", "Z": "f", "ZERR": "f", "ZWARN": "iu"},
    **{"SPECTYPE": "S", "SUBTYPE": "S", "DELTACHI2": "f"},
}
N_PIXELS = {"b": 2751, "r": 2326, "z": 2881}
N_DIAGONALS = 11
IMAGES = [(arm, kind) for arm in ARMS for kind in ("wavelength", "flux", "ivar", "mask", "resolution")]
SCORES_BYTES = 190  # of a row, about
REDSHIFTS_BYTES = 190  # ditto


def guess_layout(hdus: Sequence[HDU], position: int) -> list[Range]:
    """Guess the byte ranges of the next headers, to read them at once: a `skyharvest.formats.fits_file.Guess`.

    The rows of FIBERMAP, which are needed anyway, are read together with the header after them. The positions after
    that follow from the number of targets and the arms' grids, if the images are in DESI's order with headers of one
    block; SCORES is last.
    """
    fibermap = next((hdu for hdu in hdus if hdu.name == "FIBERMAP"), None)
    if fibermap is None:
        return []
    if hdus[-1] is fibermap:
        return [fibermap.all_rows()]
    n = fibermap.n_rows
    names = [f"{arm}_{kind}".upper() for arm, kind in IMAGES]
    last = hdus[-1].name
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
    positions
        Whether FIBERMAP must have TARGET_RA and TARGET_DEC.

    Raises
    ------
    MalformedFile
        If an arm, an image or a FIBERMAP coordinate is missing, or the arrays disagree in length. The message names
        file, HDU and column.
    """

    def __init__(self, source: Source, *, resolution: bool = True, positions: bool = True) -> None:
        self.fits = FitsFile(source, guess_layout)
        self.name = source.name
        self.fibermap_hdu = self.fits["FIBERMAP"]
        needed = {
            name: kinds
            for name, kinds in COORDINATES.items()
            if positions or name == "TARGETID" or name in self.fibermap_hdu.columns
        }
        self.fibermap_hdu.check_scalars(needed)
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
        """Read FIBERMAP, SCORES and the wavelength grids, which are needed to choose rows.

        Returns
        -------
        fibermap, scores
            Column name → array of length ``n_rows``; scores are in FIBERMAP's order, and TARGETID alone without
            SCORES in the file.
        wavelength
            Arm → (npix,) float64 Å.

        Raises
        ------
        MalformedFile
            If a TARGETID occurs twice, SCORES lacks one, or a wavelength grid is not on DESI's common grid.
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
        """Read the spectra of some rows of FIBERMAP, which may repeat; ``wavelength`` is from `small_tables`.

        Returns arm name → `Arm` of ``len(rows)`` rows, bit for bit as in the file, in native byte order.
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
        hdu.image(b"")  # raises: a table is no image
    if len(hdu.shape) != n_axes:
        raise MalformedFile(f"{hdu}: has {len(hdu.shape)} axes, expected {n_axes}")


def _on_common_grid(wave: Floats) -> bool:
    if len(wave) == 0:
        return False
    start = int(np.argmin(np.abs(COMBINED_WAVE - wave[0])))
    common = COMBINED_WAVE[start : start + len(wave)]
    return len(common) == len(wave) and bool((np.abs(wave - common) <= WAVE_TOLERANCE).all())


def read_redshifts(source: Source, targetid: Ints, n_rows: int = 0) -> dict[str, Array]:
    """Read REDSHIFTS of a redrock file, in the order of ``targetid``.

    Parameters
    ----------
    source
        The file. Not closed.
    targetid : (n,) int64
        Targets.
    n_rows
        Probable number of rows of the table (that of the coadd), to read it in one round trip.

    Returns
    -------
    dict
        Every column of REDSHIFTS, each of length ``len(targetid)``.

    Raises
    ------
    MalformedFile
        If a TARGETID is missing or occurs twice.
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
        If one is missing, or occurs twice in ``available``. ``where`` names the table in the message.
    """
    order = np.argsort(available, kind="stable")
    ordered = available[order]
    first = np.searchsorted(ordered, wanted, "left")
    count = np.searchsorted(ordered, wanted, "right") - first
    for wrong, problem in ((count == 0, "is missing"), (count > 1, "is there more than once")):
        if wrong.any():
            raise MalformedFile(
                f"{where}, column TARGETID: {wanted[wrong][0]} {problem} ({wrong.sum()} of {len(wanted)} targets): "
                "rows cannot be aligned"
            )
    index = order[first]
    assert np.array_equal(available[index], wanted)
    return index
