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
from skyharvest.formats.planes import read_planes
from skyharvest.formats.tile_table import image_of, is_compressed
from skyharvest.surveys.desi.by_targetid import ByTargetid, blank
from skyharvest.surveys.desi.shown import ARMS
from skyharvest.surveys.desi.spectra import COMBINED_WAVE, N_COMBINED, NODATA, WAVE_TOLERANCE, Arm

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

COORDINATES = {"TARGETID": "iu", "TARGET_RA": "f", "TARGET_DEC": "f"}  # with their NumPy kinds
REDSHIFTS = {
    **{"TARGETID": "iu", "Z": "f", "ZERR": "f", "ZWARN": "iu"},
    **{"SPECTYPE": "S", "SUBTYPE": "S", "DELTACHI2": "f"},
}
N_PIXELS = {"b": 2751, "r": 2326, "z": 2881}
FIRST_WAVE = {"b": 3600.0, "r": 5760.0, "z": 7520.0}  # Å
N_DIAGONALS = 11
NOTHING = {"flux": np.nan, "ivar": 0, "mask": NODATA}  # of an arm that is not there
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


def arm_grid(arm: str) -> Floats:
    """Return the wavelengths (npix,), Å, that DESI's files have for an arm, to the last bit."""
    first, n = FIRST_WAVE[arm], N_PIXELS[arm]
    return np.arange(first, first + 0.8 * (n - 0.5), 0.8)


class Coadd:
    """One coadd file: checked when opened, then read by rows.

    What it may lack, as long as one arm is there, is in ``lacks``; all else that is missing or torn is an error.

    Parameters
    ----------
    source
        The file. Not closed.
    resolution
        Whether the resolution matrices will be read (79 % of a row's bytes).
    positions
        Whether FIBERMAP must have TARGET_RA and TARGET_DEC.

    Attributes
    ----------
    arms
        Those that have a wavelength, flux, ivar and mask.
    lacks
        Part → why it is not read: ``arm z`` (its HDUs are not in the file), ``resolution z``, ``scores``.
    is_torn
        Whether the file breaks off, or is not FITS any more, behind all that is read but SCORES.

    Raises
    ------
    MalformedFile
        If there is no arm, a FIBERMAP coordinate is missing, or the arrays disagree in length. The message names file,
        HDU and column.
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
        self.lacks: dict[str, str] = {}
        self.is_torn = False
        self.arms = [arm for arm in ARMS if self._has("wavelength", *self.kinds[:3], arm=arm, part=f"arm {arm}")]
        if not self.arms:
            raise MalformedFile("; ".join(self.lacks.values()))
        self.n_diagonals = {arm: self._check_arm(arm) for arm in self.arms}
        if self.lacks and (self._breaks_off() or "SCORES" not in self.fits):
            # SCORES are last: without them, too, it is not an arm that is missing, but the end of the file.
            raise MalformedFile(f"{'; '.join(self.lacks.values())}: it is truncated")

    def _breaks_off(self) -> bool:
        """Tell whether the file ends in the padding of its last HDU."""
        return self.fits.hdus[-1].stop > self.fits.source.size()

    def _has(self, *kinds: str, arm: str, part: str) -> bool:
        """Tell whether these images of an arm are there; where the file is torn before them, raise."""
        missing = [name for kind in kinds if (name := f"{arm}_{kind}".upper()) not in self.fits]
        if missing:
            word = "HDUs" if len(missing) > 1 else "HDU"
            there = ", ".join(hdu.name for hdu in self.fits.hdus)
            self.lacks[part] = f"{self.name}: {word} {', '.join(missing)} missing; found {there}"
        return not missing

    def _check_arm(self, arm: str) -> int:
        grid = self.fits[f"{arm}_WAVELENGTH".upper()]
        _check_axes(grid, 1)
        if grid.n_rows > N_COMBINED:
            raise MalformedFile(f"{grid}: has {grid.n_rows} pixels, expected at most {N_COMBINED}")
        resolved = "resolution" in self.kinds and self._has("resolution", arm=arm, part=f"resolution {arm}")
        for kind in self.kinds if resolved else self.kinds[:3]:
            hdu = self._image(arm, kind)
            _check_axes(hdu, 3 if kind == "resolution" else 2)
            if hdu.n_rows != self.n_rows:
                raise MalformedFile(f"{hdu}: has {hdu.n_rows} rows, FIBERMAP has {self.n_rows}")
            if hdu.shape[-1] != grid.n_rows:
                raise MalformedFile(f"{hdu}: has {hdu.shape[-1]} pixels, {grid.name} has {grid.n_rows}")
            if self.dtype(arm, kind).kind not in ("iu" if kind == "mask" else "f"):
                raise MalformedFile(f"{hdu}: holds {self.dtype(arm, kind)}: no {kind}")
        return self._image(arm, "resolution").shape[1] if resolved else 0

    def _image(self, arm: str, kind: str) -> HDU:
        """Return an image; of a compressed one, what it would be without."""
        hdu = self.fits[f"{arm}_{kind}".upper()]
        return image_of(hdu) if is_compressed(hdu) else hdu

    def dtype(self, arm: str, kind: str) -> np.dtype[Any]:
        """Return the native dtype of an image, such as uint32 for a mask with BZERO = 2³¹; if need be another arm's."""
        for each in (arm, *self.arms):
            if each in self.arms and f"{each}_{kind}".upper() in self.fits:
                return self._image(each, kind).image(b"").dtype
        return np.dtype(np.float32)

    def small_tables(self) -> tuple[dict[str, Array], ByTargetid, dict[str, Floats]]:
        """Read FIBERMAP, SCORES and the wavelength grids, which are needed to choose rows.

        Returns
        -------
        fibermap
            Column name → array of length ``n_rows``.
        scores
            To be taken by FIBERMAP's rows.
        wavelength
            Arm that is there → (npix,) float64 Å.

        Raises
        ------
        MalformedFile
            If a wavelength grid is not on DESI's common grid.
        """
        grids = [self.fits[f"{arm}_WAVELENGTH".upper()] for arm in self.arms]
        wanted: list[tuple[HDU, None]] = [(self.fibermap_hdu, None), *((grid, None) for grid in grids)]
        scores_hdu = self._scores_hdu()
        if scores_hdu is not None:
            wanted.append((scores_hdu, None))
        fibermap_bytes, *grid_bytes = self.fits.read(wanted)
        self.fits.source.forget()
        fibermap = _with_signed_ids(self.fibermap_hdu.table(fibermap_bytes))
        scores = {"TARGETID": fibermap["TARGETID"]}
        if scores_hdu is not None:
            try:
                scores = scores_hdu.table(grid_bytes.pop())
                scores_hdu.check_scalars({"TARGETID": "iu"})
                scores = _with_signed_ids(scores)
            except MalformedFile as error:
                self.lacks["scores"] = str(error)
                scores = {"TARGETID": fibermap["TARGETID"]}
        wavelength = {}
        for arm, hdu, data in zip(self.arms, grids, grid_bytes, strict=True):
            wave = hdu.image(data).astype(np.float64)
            if not _on_common_grid(wave):
                raise MalformedFile(f"{hdu}: the wavelengths are not on DESI's common grid of 0.8 Å from 3600 Å")
            wavelength[arm] = wave
        return fibermap, ByTargetid(scores, fibermap["TARGETID"], f"{scores_hdu}", by_place=True), wavelength

    def _scores_hdu(self) -> HDU | None:
        try:
            if "SCORES" in self.fits:
                return self.fits["SCORES"]
            self.is_torn = self._breaks_off()
            self.lacks["scores"] = f"{self.name}: HDU SCORES is missing"
        except MalformedFile as error:  # all that is needed stands before what is torn
            self.is_torn = True
            self.lacks["scores"] = str(error)
        return None

    def read_arms(self, rows: Sequence[int] | Ints, wavelength: Mapping[str, Floats]) -> dict[str, Arm]:
        """Read the spectra of some rows of FIBERMAP, which may repeat.

        Parameters
        ----------
        wavelength
            Of all three arms: those of `small_tables`, and for an arm that is not there those that it shall have.

        Returns
        -------
        dict
            Arm name → `Arm` of ``len(rows)`` rows, bit for bit as in the file, in native byte order. Where the file
            has no such arm flux is NaN, ivar 0 and the mask `NODATA`; a resolution that it has not is None.
        """
        there = [(arm, kind) for arm in self.arms for kind in self.kinds]
        there = [(arm, kind) for arm, kind in there if kind != "resolution" or self.n_diagonals[arm]]
        hdus = {key: self.fits["_".join(key).upper()] for key in there}
        plain = {key: hdu for key, hdu in hdus.items() if not is_compressed(hdu)}
        read = self.fits.read([(hdu, rows) for hdu in plain.values()])
        images = {key: hdu.image(data) for (key, hdu), data in zip(plain.items(), read, strict=True)}
        if compressed := {key: hdu.name for key, hdu in hdus.items() if key not in plain}:
            decoded = read_planes(self.fits, dict.fromkeys(compressed.values(), rows), n_axes=None)
            images |= {key: decoded[name] for key, name in compressed.items()}
        arms = {}
        for arm in ARMS:
            of_arm = {kind: image for (each, kind), image in images.items() if each == arm}
            for kind, nothing in NOTHING.items():
                if kind not in of_arm:
                    of_arm[kind] = np.full((len(rows), len(wavelength[arm])), nothing, self.dtype(arm, kind))
            arms[arm] = Arm(wavelength[arm], **of_arm)
        return arms


def _with_signed_ids(table: dict[str, Array]) -> dict[str, Array]:
    """Return a table with its TARGETIDs as int64: with unsigned ones of other tables they would become float64."""
    return table | {"TARGETID": table["TARGETID"].astype(np.int64)}


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


def read_redshifts(source: Source, targetid: Ints) -> tuple[ByTargetid, str]:
    """Read REDSHIFTS of a redrock file.

    Parameters
    ----------
    source
        The file. Not closed.
    targetid : (n,) int64
        Of the coadd's fibers, all of them: the table probably has as many rows, and is then read in one round trip.

    Returns
    -------
    table
        Every column of REDSHIFTS, and those of `REDSHIFTS` that it lacks, as if they were not known.
    problem
        Which it lacks; empty if none.

    Raises
    ------
    MalformedFile
        If the file is torn, or the table lacks TARGETID, or a column has another type.
    """
    n = len(targetid)
    fits = FitsFile(source, first_read=6 * BLOCK + REDSHIFTS_BYTES * n if n else FIRST_READ)
    hdu = fits["REDSHIFTS"]
    there = hdu.columns if hdu.is_table else {}
    hdu.check_scalars({name: kinds for name, kinds in REDSHIFTS.items() if name in there or name == "TARGETID"})
    table = _with_signed_ids(hdu.table(fits.read([(hdu, None)])[0]))
    missing = [name for name in REDSHIFTS if name not in table]
    for name in missing:
        table[name] = blank(name, hdu.n_rows)
    if table["ZWARN"].dtype.kind == "u":
        table["ZWARN"] = table["ZWARN"].astype(np.int64)  # -1 has to go in
    word = "columns" if len(missing) > 1 else "column"
    problem = f"{hdu}: {word} {', '.join(missing)} missing; found {', '.join(there)}" if missing else ""
    return ByTargetid(table, targetid, f"{hdu}"), problem
