"""Move the traces of a PSF to where the light of an exposure is: spectrographs breathe between arcs and the sky.

In x, from the profiles of the fibers' light across their traces; along them, from the lines of the night sky. Both are
smooth functions of the place on the detector. Whole fields, as `desi_compute_trace_shifts` does it (Guy et al. 2023, AJ
165, 144, §4.4.3), but with each line's place from one linear fit of a model of the sky, in place of correlations.
"""

import importlib.resources
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.polynomial.legendre import legvander, legvander2d

from skyharvest.core.arrays import Floats
from skyharvest.reduction.desi.psf.model import Psf
from skyharvest.reduction.desi.psf.profiles import across, along

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShiftOptions:
    """How traces are moved.

    Attributes
    ----------
    degrees_x, degrees_y
        Of the polynomials of place, in x and in y, of moves in x and in y.
    rows
        Rows of a measurement in x.
    width
        Pixels of a trace's profile.
    angstrom
        Of a measurement in y.
    most_error
        Of a move anywhere on the traces, pixels, one σ: degrees are lowered until it is so.
    useful_error
        Of a measurement, pixels: in x twice as much, and in y four times, is still used.
    steps
        How often what is left is measured again.
    """

    degrees_x: tuple[int, int] = (2, 0)
    degrees_y: tuple[int, int] = (2, 0)
    rows: int = 64
    width: int = 7
    angstrom: float = 120.0
    most_error: float = 0.01
    useful_error: float = 0.05
    steps: int = 3


OPTIONS = ShiftOptions()


@dataclass(frozen=True)
class Measured:
    """Moves that were measured: places, moves and their errors, (n,) f8, pixels."""

    x: Floats
    y: Floats
    move: Floats
    error: Floats


@dataclass(frozen=True)
class Shift:
    """A move of traces, as a polynomial of their place.

    Attributes
    ----------
    mean, error
        In the middle of the traces, pixels.
    degrees
        In x and y, as far as the measurements could tell them.
    scatter
        Of the measurements about it, pixels.
    """

    mean: float
    error: float
    degrees: tuple[int, int]
    scatter: float
    n: int


NONE = Shift(0.0, float("nan"), (0, 0), float("nan"), 0)


def shift_traces(
    image: Floats,
    ivar: Floats,
    psf: Psf,
    options: ShiftOptions = OPTIONS,
    sky: tuple[Floats, Floats] | None = None,
) -> tuple[Psf, Shift, Shift]:
    """Move the traces of a PSF to the light of an image.

    Parameters
    ----------
    image, ivar
        (n_y, n_x) f8: electrons, and 1 / electrons²; 0 where a pixel is bad.
    sky
        Wavelengths, Å in vacuum, and light of the sky's lines in any unit, (n,) f8 each, as `read_sky` returns them.
        Without them traces are moved in x only, as the light of a lamp without lines tells no more.

    Returns
    -------
    tuple
        The PSF; the moves in x and in y.

    Raises
    ------
    ValueError
        If the image has too little light to see where the traces are.
    """
    light = np.where(np.isfinite(image), image, 0.0)
    weight = np.where(np.isfinite(image), ivar, 0.0)
    in_x, in_y = NONE, NONE
    first = psf
    for _ in range(options.steps):
        measured = measure_across(light, weight, psf, options)
        if len(measured.move) == 0:
            raise ValueError("no fiber has light enough to see where its trace is: is the shutter open, the PSF right?")
        polynomial, in_x = _fit(measured, psf, options.degrees_x, options.most_error)
        psf = _moved(psf, polynomial, None)
        if sky is not None:
            measured = measure_along(light, weight, psf, sky, options)
            if len(measured.move):
                polynomial, in_y = _fit(measured, psf, options.degrees_y, options.most_error)
                psf = _moved(psf, None, polynomial)
    # The last step's moves are what is left: those of all are asked for.
    middle = np.linspace(psf.wave_min, psf.wave_max, 11)[1:-1]
    (x, y), (old_x, old_y) = psf.traces(middle), first.traces(middle)
    in_x, in_y = replace(in_x, mean=float(np.mean(x - old_x))), replace(in_y, mean=float(np.mean(y - old_y)))
    for axis, shift in (("x", in_x), ("y", in_y)):
        log.info(
            "traces moved in %s by %.3f ± %.3f pixels, degrees %s, %d places",
            axis,
            shift.mean,
            shift.error,
            shift.degrees,
            shift.n,
        )
    return psf, in_x, in_y


def read_sky() -> tuple[Floats, Floats]:
    """Return wavelengths, Å in vacuum, and the light of the sky's lines, from desispec's ``spec-sky.dat``."""
    with importlib.resources.as_file(importlib.resources.files("desispec") / "data" / "spec-sky.dat") as path:
        wave, light = np.loadtxt(path, unpack=True)
    return wave, light


def measure_across(image: Floats, weight: Floats, psf: Psf, options: ShiftOptions) -> Measured:
    """Measure how far the light is from the traces in x, in blocks of rows of each fiber."""
    found = []
    rows = np.arange(psf.n_y, dtype=np.float64)
    n_blocks = psf.n_y // options.rows
    for row in _rows_of(psf, rows):
        light, light_weight, move = np.empty(psf.n_y), np.empty(psf.n_y), np.empty((psf.n_y, 2))
        across(image, weight, row.x, row.sigma, row.terms, options.width // 2, light, light_weight, move)
        total = move[: n_blocks * options.rows].reshape(n_blocks, options.rows, 2).sum(axis=1)
        seen = total[:, 1] > 1 / options.useful_error**2 / 4
        place = (np.flatnonzero(seen) + 0.5) * options.rows
        ratio = total[seen, 0] / total[seen, 1]
        found.append(np.stack([np.interp(place, rows, row.x), place, ratio, total[seen, 1] ** -0.5]))
    return _measured(found)


def measure_along(
    image: Floats, weight: Floats, psf: Psf, sky: tuple[Floats, Floats], options: ShiftOptions
) -> Measured:
    """Measure how far the sky's lines are from where the traces have them in y, in pieces of each fiber."""
    found = []
    rows = np.arange(psf.n_y, dtype=np.float64)
    inside = (sky[0] >= psf.wave_min) & (sky[0] <= psf.wave_max) & (sky[1] != 0)
    wave, lines = sky[0][inside], sky[1][inside]
    if not len(wave):
        return _measured([])
    places = psf.traces(wave)[1]
    sigma = psf.parameter("GHSIGY", wave)
    terms = psf.hermite(wave)[:, :, 0, :]
    for fiber, row in enumerate(_rows_of(psf, rows)):
        light, light_weight, move = np.empty(psf.n_y), np.empty(psf.n_y), np.empty((psf.n_y, 2))
        across(image, weight, row.x, row.sigma, row.terms, options.width // 2, light, light_weight, move)
        made, slope = along(places[fiber], sigma[fiber], terms[fiber], lines, psf.half_y, psf.n_y)
        n_pieces = max(1, round((psf.wave_max - psf.wave_min) / options.angstrom))
        for piece in np.array_split(np.arange(psf.n_y), n_pieces):
            one = _line_move(light[piece], light_weight[piece], made[piece], slope[piece])
            if one is not None and one[1] < 4 * options.useful_error and abs(one[0]) < 2:
                # Where the lines are, not in the middle of the piece.
                centre = float((piece * made[piece]).sum() / made[piece].sum())
                found.append(np.array([[np.interp(centre, rows, row.x)], [centre], [one[0]], [one[1]]]))
    return _measured(found)


def _line_move(light: Floats, weight: Floats, made: Floats, slope: Floats) -> tuple[float, float] | None:
    """Fit a model of the sky's lines, moved and on a smooth spectrum, to rows; return its move and error, pixels."""
    use = weight > 0
    if use.sum() < 12 or made.max() <= 0:
        return None
    u = np.linspace(-1, 1, len(light))
    design = np.column_stack([made, slope, legvander(u, 2)])[use]
    scale = np.abs(design).max(axis=0)
    if not (scale > 0).all():
        return None
    design /= scale
    w = weight[use].copy()
    for _ in range(3):
        normal = design.T @ (design * w[:, None])
        try:
            covariance = np.linalg.inv(normal)
        except np.linalg.LinAlgError:
            return None
        fitted = covariance @ (design.T @ (w * light[use]))
        pull = np.abs(light[use] - design @ fitted) * np.sqrt(weight[use])
        w = weight[use] * np.minimum(1, 4 / np.maximum(pull, 1e-9))  # what the model lacks counts less
    amount, moved = fitted[0] / scale[0], fitted[1] / scale[1]
    if amount <= 5 * np.sqrt(covariance[0, 0]) / scale[0]:
        return None
    dof = max(use.sum() - design.shape[1], 1)
    chi2 = float((w * (light[use] - design @ fitted) ** 2).sum() / dof)
    return float(moved / amount), float(np.sqrt(covariance[1, 1] * max(chi2, 1)) / scale[1] / amount)


@dataclass(frozen=True)
class _Row:
    x: Floats
    sigma: Floats
    terms: Floats


def _rows_of(psf: Psf, rows: Floats) -> list[_Row]:
    """Return, of each fiber, where its trace is in each row, and its profile across."""
    waves = psf.wavelengths(rows)
    made = []
    for fiber in range(psf.n_fiber):
        one = psf.select(fiber, fiber + 1)
        wave = np.clip(waves[fiber], psf.wave_min, psf.wave_max)
        terms = one.hermite(wave)[0, :, :, 0]
        x, sigma = one.traces(waves[fiber])[0][0], one.parameter("GHSIGX", wave)[0]
        made.append(_Row(x, sigma, np.ascontiguousarray(terms)))
    return made


def _measured(found: list[Floats]) -> Measured:
    stacked = np.concatenate(found, axis=1) if found else np.zeros((4, 0))
    return Measured(*stacked)


Polynomial = Callable[[Floats, Floats], Floats]


def _fit(measured: Measured, psf: Psf, degrees: tuple[int, int], most_error: float) -> tuple[Polynomial, Shift]:
    """Fit a polynomial of place to moves, without those that stand out; lower its degrees until it is well known."""
    x, y = psf.traces(np.linspace(psf.wave_min, psf.wave_max, 20))
    low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])

    by_x, by_y = degrees

    def basis_at(at_x: Floats, at_y: Floats) -> Floats:
        in_x, in_y = np.clip(2 * (np.stack([at_x, at_y]) - low[:, None]) / (high - low)[:, None] - 1, -1.2, 1.2)
        return np.asarray(legvander2d(in_x, in_y, (by_x, by_y)), np.float64)

    while True:
        basis = basis_at(measured.x, measured.y)
        use = np.ones(len(measured.move), bool)
        floor = 0.0
        for _ in range(5):
            weight = 1 / (measured.error[use] ** 2 + floor**2)
            normal = (basis[use] * weight[:, None]).T @ basis[use]
            if np.linalg.matrix_rank(normal) < len(normal):
                break
            covariance = np.linalg.inv(normal)
            fitted = covariance @ ((basis[use] * weight[:, None]).T @ measured.move[use])
            left = measured.move - basis @ fitted
            spread = 1.4826 * np.median(np.abs(left[use] - np.median(left[use])))
            floor = float(np.sqrt(max(spread**2 - np.median(measured.error[use]) ** 2, 0)))
            use = np.abs(left) < 5 * np.sqrt(measured.error**2 + floor**2) + 1e-3
        else:
            edges = basis_at(x.ravel(), y.ravel())
            worst = float(np.sqrt(np.einsum("ij,jk,ik->i", edges, covariance, edges).max()))
            if worst <= most_error or (by_x, by_y) == (0, 0):
                break
        if (by_x, by_y) == (0, 0):
            raise ValueError("the moves of the traces cannot be fitted: too few places have light")
        by_x, by_y = (by_x, by_y - 1) if by_y > 0 and by_y >= by_x else (by_x - 1, by_y)

    def polynomial(at_x: Floats, at_y: Floats) -> Floats:
        shape = at_x.shape
        return np.asarray(basis_at(at_x.ravel(), at_y.ravel()) @ fitted).reshape(shape)

    middle = legvander2d(np.zeros(1), np.zeros(1), (by_x, by_y))[0]
    error = float(np.sqrt(middle @ covariance @ middle))
    return polynomial, Shift(float(middle @ fitted), error, (by_x, by_y), float(spread), int(use.sum()))


def _moved(psf: Psf, in_x: Polynomial | None, in_y: Polynomial | None) -> Psf:
    """Return the PSF with moved traces: Legendre polynomials of the degree that they have."""
    degree = max(psf.x.shape[1], psf.y.shape[1]) - 1
    u = np.cos(np.pi * (np.arange(4 * degree + 4) + 0.5) / (4 * degree + 4))
    wave = psf.wave_min + (u + 1) / 2 * (psf.wave_max - psf.wave_min)
    x, y = psf.traces(wave)
    made: dict[str, Any] = {}
    for name, moves, coefficients in (("x", in_x, psf.x), ("y", in_y, psf.y)):
        if moves is not None:
            change = np.linalg.lstsq(legvander(u, coefficients.shape[1] - 1), moves(x, y).T, rcond=None)[0].T
            made[name] = coefficients + change
    return replace(psf, **made)
