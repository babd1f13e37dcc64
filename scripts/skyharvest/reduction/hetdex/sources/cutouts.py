"""Pieces of the detector's images around a fiber and a wavelength.

A piece is made of pixels as they were measured. It is never resampled, so that noise of neighbours stays apart: its
middle is the pixel nearest to where the fiber has the wavelength, and so up to half a pixel off. `Piece.trace` and
`Piece.wave` say exactly where in it the fiber and its wavelengths are. Pixels beyond the detector's edge are NaN, as
masked ones are.

Where something is on the detector has two forms. A *place*, (column, row), has fractions and counts from 0 at the first
pixel's centre. ``x_raw`` and ``y_raw`` of HETDEX's tables are whole pixels that count from 1 (`raw_pixels`), as tables
of bad pixels do, which hetdex_api compares with them. Both are of the images of multifits, in which wavelength grows
with the column and fibers follow one another with the row.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import fitsio
import numpy as np

from skyharvest.core.arrays import Array, Bools, Float32s, Floats, Ints
from skyharvest.core.errors import HarvestError, InputError, MalformedFile
from skyharvest.reduction.hetdex.layout import Pairing, name_of_exposure
from skyharvest.reduction.hetdex.spectra import amps_csv, multifits
from skyharvest.reduction.hetdex.virus import N_FIBERS, SIZE

BEST_FIBERS = 4
"""Of a detection: those of the highest weight, whose pieces are kept one by one."""
_KEPT_OPEN = 12  # files: the amplifiers of an IFU in a shot


class NotCut(HarvestError):
    """A piece could not be cut; the message says why."""


class Fiber(NamedTuple):
    """A fiber of an exposure, as rows of tables name it."""

    expnum: int
    multiframe: str
    fibnum: int
    """From 1."""


@dataclass(frozen=True)
class Piece:
    """A piece of an amplifier's images.

    Attributes
    ----------
    images
        By the names of `multifits.LAYOUT`, each (height, width) f4; NaN beyond the detector and where it is masked.
    wave
        (width,) f8: Å of the fiber at the columns; NaN beyond the detector.
    trace
        (width,) f8: rows of the piece, from 0, at which the fiber is; NaN beyond the detector.
    column, row
        Where the fiber has the wavelength on the detector, from 0.
    """

    images: Mapping[str, Float32s]
    wave: Floats
    trace: Floats
    column: float
    row: float


def places(wavelength: Array, trace: Array, wave: Array | float) -> tuple[Floats, Floats]:
    """Return where fibers have a wavelength: columns and rows, (n,) f8, from 0; NaN if it is not on the detector.

    Parameters
    ----------
    wavelength, trace
        (n, 1032): of the pixels of n fibers, Å and rows, as multifits and shot files have them.
    wave
        Å: of each fiber, (n,), or of all.
    """
    n, size = wavelength.shape
    asked = np.broadcast_to(np.asarray(wave, np.float64), (n,))
    pixels = np.arange(size, dtype=np.float64)
    column = np.full(n, np.nan)
    row = np.full(n, np.nan)
    for i in range(n):
        known = np.isfinite(wavelength[i]) & np.isfinite(trace[i])
        if known.sum() < 2:
            continue
        column[i] = np.interp(asked[i], wavelength[i][known], pixels[known], left=np.nan, right=np.nan)
        row[i] = np.interp(column[i], pixels[known], trace[i][known])
    return column, row


def raw_pixels(place: Floats) -> Ints:
    """Return columns, or rows, as ``x_raw`` and ``y_raw`` have them: whole pixels from 1; -1 if not known."""
    return np.where(np.isfinite(place), np.floor(np.nan_to_num(place) + 0.5) + 1, -1).astype(np.int64)


class DetectorImages:
    """Images of the detectors of a shot, of which pieces are cut.

    Only what is asked for is read. Files stay open until other ones are needed.

    Parameters
    ----------
    directories
        ``science/SHOT/expNN/IFU``, of any exposures and IFUs.

    Raises
    ------
    InputError
        If a directory has no such name.
    """

    def __init__(self, directories: Iterable[Path]) -> None:
        self._directories: dict[tuple[str, str], Path] = {}
        for directory in directories:
            pairing = Pairing.named(directory.name, directory)
            if not directory.is_dir():
                raise InputError(f"{directory}: it is not there; expected a directory science/SHOT/expNN/IFU")
            name = multifits.multiframe(*pairing[:3], "")
            self._directories[directory.parent.name, name] = directory
        self._open: OrderedDict[Path, fitsio.FITS] = OrderedDict()

    def __enter__(self) -> Self:
        """Open nothing yet."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close all files."""
        while self._open:
            self._open.popitem()[1].close()

    def piece(self, fiber: Fiber, wave: float, names: Sequence[str], *, width: int, height: int) -> Piece:
        """Return the piece around a fiber and a wavelength.

        Parameters
        ----------
        fiber
            Which one.
        wave
            Å.
        names
            Of images.
        width, height
            Of the piece: columns and rows. The middle is the pixel ``width // 2, height // 2``.

        Raises
        ------
        NotCut
            If the amplifier has no images, or its spectra do not reach the wavelength.
        MalformedFile
            If its file is no multifits.
        """
        path = self._path(fiber)
        file = self._opened(path)
        k = fiber.fibnum - 1
        assert 0 <= k < N_FIBERS, f"{fiber}: found fiber {fiber.fibnum}; expected 1 to {N_FIBERS}"
        whole = slice(0, SIZE)
        wavelength, trace = (
            multifits.read_part(file, path, name, slice(k, k + 1), whole) for name in ("wavelength", "trace")
        )
        column, row = (float(place[0]) for place in places(wavelength, trace, wave))
        if not (np.isfinite(column) and np.isfinite(row)):
            raise NotCut(f"fiber {fiber.multiframe}_{fiber.fibnum:03d} has no {wave:.1f} Å on its detector")
        columns, rows = _Window.around(column, width), _Window.around(row, height)
        images = {}
        for name in names:
            images[name] = np.full((height, width), np.nan, np.float32)
            images[name][rows.inside, columns.inside] = multifits.read_part(file, path, name, rows.there, columns.there)
        along, across = np.full(width, np.nan), np.full(width, np.nan)
        along[columns.inside] = wavelength[0, columns.there]
        across[columns.inside] = trace[0, columns.there] - rows.first
        return Piece(images, along, across, column, row)

    def _path(self, fiber: Fiber) -> Path:
        exposure, amp = name_of_exposure(fiber.expnum), fiber.multiframe[-2:]
        directory = self._directories.get((exposure, fiber.multiframe[:-2]))
        if directory is None:
            raise NotCut(f"{fiber.multiframe} has no images in {exposure}")
        path = directory / f"{fiber.multiframe}.fits"
        if path not in self._open and not path.exists():
            state = amps_csv.read(directory).get(amp)
            raise NotCut(f"{fiber.multiframe} has no images in {exposure}: {state.reason if state else 'no such file'}")
        return path

    def _opened(self, path: Path) -> fitsio.FITS:
        if path not in self._open:
            try:
                self._open[path] = fitsio.FITS(str(path))
            except OSError as error:
                raise MalformedFile(
                    f"{path}: found no multifits ({error}); remove its directory and run again"
                ) from None
            while len(self._open) > _KEPT_OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(path)
        return self._open[path]


class _Window(NamedTuple):
    """Where a piece is along an axis of the detector.

    Attributes
    ----------
    first
        Its first pixel on the detector, or beyond.
    there, inside
        The pixels that are on the detector, as it counts them, and as the piece does.
    """

    first: int
    there: slice
    inside: slice

    @classmethod
    def around(cls, place: float, n: int) -> "_Window":
        first = int(np.floor(place + 0.5)) - n // 2
        start, stop = max(first, 0), min(first + n, SIZE)
        return cls(first, slice(start, stop), slice(start - first, stop - first))


def weighted_mean(pieces: Sequence[Float32s], weights: Floats) -> Float32s:
    """Return the mean of pieces with weights, (height, width) f4.

    A pixel that some pieces do not have is the mean of the others, if these have half of the weight; else NaN.

    Parameters
    ----------
    pieces
        (height, width) each.
    weights
        (n,).
    """
    stack = np.asarray(pieces, np.float64)
    known: Bools = np.isfinite(stack)
    weight = np.einsum("n,nyx->yx", weights, known)
    total: Any = np.einsum("n,nyx->yx", weights, np.where(known, stack, 0))
    enough = (weight > 0) & (weight >= 0.5 * weights.sum())
    return np.where(enough, total / np.where(enough, weight, 1), np.nan).astype(np.float32)
