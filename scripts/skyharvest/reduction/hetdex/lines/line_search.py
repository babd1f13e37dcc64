"""The search for emission lines in the fibers of an IFU: a matched filter at thousands of positions.

Fibers lose their continuum (`without_continuum`). At each position of a grid around every fiber the spectrum of a point
source is made of what is left (`point_spectrum`), and a Gaussian is laid over it at each wavelength: Σ g p f / σ² by
the root of Σ g² p² / σ² is the signal to noise of a line there.

That is then compared with itself. Errors of calibrated fibers know how wrong the sky may be, and neighbouring bins are
correlated: noise does not scatter by 1. So at each wavelength signal to noise is divided by its own scatter over the
IFU (`Search.ratio`, the column noise_ratio). Where a star or galaxy has absorption lines, what is left of its spectrum
scatters more than noise does; there, signal to noise is divided by that too.
"""

from dataclasses import dataclass

import numba
import numpy as np
from scipy.spatial import KDTree

from skyharvest.core.arrays import Float32s, Floats, Ints
from skyharvest.reduction.hetdex.biweight import TO_SIGMA
from skyharvest.reduction.hetdex.lines.fiber_continuum import without_continuum
from skyharvest.reduction.hetdex.lines.search_noise import noise_of
from skyharvest.reduction.hetdex.source_settings import Detections
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers
from skyharvest.reduction.hetdex.sources.point_spectrum import Extractor, whole_share
from skyharvest.reduction.hetdex.virus import GRID, GRID_STEP, N_GRID

REACH = 3.0
"""So many σ of the filter are summed over."""
KNOWN = 0.7
"""The part of the filter's power at which the spectrum has to be known."""
STRETCH = 148
"""Bins of a position's spectrum whose scatter is compared with the IFU's."""
BUSY = 1.5
"""A stretch of a position's spectrum that scatters by more has something in it: so few bins do not tell better."""
EDGES = np.linspace(-12.0, 12.0, 97)
"""Of the histogram of signal to noise; its first and last bin have what is beyond."""


@dataclass(frozen=True)
class Candidate:
    """A peak of the search.

    Attributes
    ----------
    x, y
        Position of the grid, arcsec.
    wave
        Å.
    sn
        Signal to noise.
    structure
        By what it was divided, as signal to noise scatters more there than elsewhere; 1 where it does not.
    """

    x: float
    y: float
    wave: float
    sn: float
    structure: float


@dataclass(frozen=True)
class Search:
    """What was found.

    Attributes
    ----------
    candidates
        Peaks, one of each group, the best first.
    n_negative
        Groups of peaks of what is negative, which were looked for in the same way: noise makes as many.
    ratio
        (1036,) f8: by what noise scatters more than its errors say.
    bin_ratio
        (1036,) f8: the same, of single bins; neighbours are correlated, and it is less.
    histogram
        (96,) i8: positions and wavelengths by signal to noise (`EDGES`).
    scatter
        Of signal to noise, where there is nothing but noise (robust): 1 if all is well.
    n_positions
        That were searched.
    left
        (n, 1036) f4: flux of fibers without their continuum.
    """

    candidates: list[Candidate]
    n_negative: int
    ratio: Floats
    bin_ratio: Floats
    histogram: Ints
    scatter: float
    n_positions: int
    left: Float32s


def search(fibers: IfuFibers, how: Detections) -> Search:
    """Look for lines.

    Parameters
    ----------
    fibers
        Of an IFU.
    how
        Settings.
    """
    left = without_continuum(fibers.flux, fibers.error)
    x, y = grid(fibers, how)
    sn = np.empty((len(x), N_GRID), np.float32)
    of_bins = []
    template = filter_of(how.filter_width)
    least = how.least_coverage * whole_share(fibers)
    around = len(x) // len(fibers)
    centre = np.arange(len(x)) % around == around // 2
    start = 0
    for piece in Extractor(fibers, how.aperture, left).pieces(x, y):
        stop = start + len(piece.power)
        _filter(piece.weighted, piece.power, piece.apcor, template, least, sn[start:stop])
        here = centre[start:stop]
        with np.errstate(invalid="ignore"):
            of_bins.append(piece.weighted[here] / np.sqrt(piece.power[here]))
        start = stop
    sn[:, ~((how.first_wave <= GRID) & (how.last_wave >= GRID))] = np.nan
    noise = noise_of(sn[centre])
    bin_ratio = noise_of(np.concatenate(of_bins)[noise.calm]).scatter
    structure = np.ones((len(sn), N_GRID // STRETCH), np.float32)
    _normalise(sn, noise.middle.astype(np.float32), noise.scatter.astype(np.float32), structure)
    quiet = sn[centre][noise.calm]
    quiet = quiet[np.isfinite(quiet)]
    return Search(
        candidates=_groups(sn, structure, x, y, how, 1),
        n_negative=len(_groups(sn, structure, x, y, how, -1)),
        ratio=noise.scatter,
        bin_ratio=bin_ratio,
        histogram=_histogram(sn, EDGES[0], EDGES[1] - EDGES[0], len(EDGES) - 1),
        scatter=float(TO_SIGMA * np.median(np.abs(quiet))) if len(quiet) else np.nan,
        n_positions=len(x),
        left=left,
    )


def grid(fibers: IfuFibers, how: Detections) -> tuple[Floats, Floats]:
    """Return the positions that are searched, fiber by fiber: two (n · grid_size²,) f8, arcsec."""
    steps = np.arange(-(how.grid_size // 2), how.grid_size // 2 + 1) * how.grid_step
    dx, dy = (one.ravel() for one in np.meshgrid(steps, steps, indexing="ij"))
    return (fibers.x[:, None] + dx).ravel(), (fibers.y[:, None] + dy).ravel()


def filter_of(width: float) -> Float32s:
    """Return a Gaussian of width σ, Å, at bins around its middle; its sum over all bins is 1: a line of flux 1."""
    half = int(np.ceil(REACH * width / GRID_STEP))
    offset = np.arange(-half, half + 1) * GRID_STEP
    made = np.exp(-0.5 * (offset / width) ** 2)
    template: Float32s = (made / made.sum()).astype(np.float32)
    return template


def _groups(sn: Float32s, structure: Float32s, x: Floats, y: Floats, how: Detections, sign: int) -> list[Candidate]:
    """Return the best peak of each group, in order of signal to noise."""
    row, column = _peaks(sn, float(sign), how.search_sn)
    height = sign * sn[row, column]
    order = np.lexsort((column, row, -height))
    row, column, height = row[order], column[order], height[order]
    if not len(row):
        return []
    scaled = np.column_stack([x[row] / how.group_radius, y[row] / how.group_radius])
    tree = KDTree(scaled)
    taken = np.zeros(len(row), bool)
    kept = []
    for k in range(len(row)):
        if taken[k]:
            continue
        near = np.array(tree.query_ball_point(scaled[k], 1.0))
        taken[near[np.abs(GRID[column[near]] - GRID[column[k]]) <= how.group_wave]] = True
        i, j = int(row[k]), int(column[k])
        divisor = _structure(structure[i], j)
        kept.append(Candidate(float(x[i]), float(y[i]), float(GRID[j]), float(height[k]), float(divisor)))
    return kept


@numba.njit(cache=True)
def _filter(
    weighted: Float32s, power: Float32s, apcor: Float32s, template: Float32s, least: float, out: Float32s
) -> None:
    """Put the signal to noise of a line at each position and wavelength into ``out``; NaN where it is not known."""
    n, n_wave = weighted.shape
    half = template.size // 2
    whole = np.float32(0)
    for t in template:
        whole += t * t
    for i in range(n):
        for j in range(n_wave):
            if not (power[i, j] > 0 and apcor[i, j] >= least):
                out[i, j] = np.nan
                continue
            total, variance, seen = np.float32(0), np.float32(0), np.float32(0)
            for k in range(max(0, half - j), min(template.size, n_wave + half - j)):
                t = template[k]
                p = power[i, j - half + k]
                total += t * weighted[i, j - half + k]
                variance += t * t * p
                if p > 0:
                    seen += t * t
            out[i, j] = total / np.sqrt(variance) if seen >= KNOWN * whole else np.nan


@numba.njit(cache=True)
def _structure(stretches: Float32s, j: int) -> float:
    """Return by what signal to noise is divided at a bin, given that of stretches of the spectrum: linear between."""
    n = stretches.size
    at = min(max((j + 0.5) / N_GRID * n - 0.5, 0.0), n - 1.0)
    s = min(int(at), n - 2)
    part = at - s
    between: float = stretches[s] * (1.0 - part) + stretches[s + 1] * part
    return between


@numba.njit(cache=True)
def _normalise(sn: Float32s, middle: Float32s, ratio: Float32s, structure: Float32s) -> None:
    """Bring signal to noise to a scatter of 1, in place; fill what stretches of spectra, (n, k), are divided by."""
    n, n_wave = sn.shape
    n_stretch = structure.shape[1]
    size = np.empty(n_wave, np.float32)
    for i in range(n):
        for j in range(n_wave):
            sn[i, j] = (sn[i, j] - middle[j]) / ratio[j]
        busy = False
        for s in range(n_stretch):
            known = 0
            for j in range(s * n_wave // n_stretch, (s + 1) * n_wave // n_stretch):
                if not np.isnan(sn[i, j]):
                    size[known] = abs(sn[i, j])
                    known += 1
            scatter = TO_SIGMA * np.median(size[:known]) if known else 0.0
            if scatter > BUSY:
                structure[i, s] = scatter
                busy = True
        if busy:
            for j in range(n_wave):
                sn[i, j] /= np.float32(_structure(structure[i], j))


@numba.njit(cache=True)
def _peaks(sn: Float32s, sign: float, cut: float) -> tuple[Ints, Ints]:
    """Return rows and columns of peaks along wavelength that are higher than a cut."""
    row, column = [], []
    n_wave = sn.shape[1]
    for i in range(sn.shape[0]):
        for j in range(n_wave):
            here = sign * sn[i, j]
            if not here > cut:
                continue
            if j > 0 and sign * sn[i, j - 1] > here:
                continue
            if j < n_wave - 1 and sign * sn[i, j + 1] >= here:
                continue
            row.append(i)
            column.append(j)
    return np.array(row, np.int64), np.array(column, np.int64)


@numba.njit(cache=True)
def _histogram(sn: Float32s, first: float, step: float, n: int) -> Ints:
    """Return how many values are in each bin; what is beyond is in the first and last."""
    made = np.zeros(n, np.int64)
    for i in range(sn.shape[0]):
        for j in range(sn.shape[1]):
            if not np.isnan(sn[i, j]):
                made[min(max(int(np.floor((sn[i, j] - first) / step)), 0), n - 1)] += 1
    return made
