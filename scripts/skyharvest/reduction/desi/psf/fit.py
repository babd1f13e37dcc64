"""Fit the PSF of a camera to the image of an arc lamp.

All fibers of a bundle at once: the traces of each fiber, and for the bundle the widths and Gauss-Hermite terms, which
change smoothly with fiber and wavelength. The flux of each line in each fiber is free, so lamps need not be known, and
lines may be missing. As in specex (Guy et al. 2023, AJ 165, 144, §4.4), by Gauss-Newton steps; other than there, errors
are those of the model's light, so that faint lines are not drawn to low pixels.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from numpy.polynomial.legendre import legvander
from scipy.linalg import LinAlgError, solve, solveh_banded

from skyharvest.core.arrays import Floats, Ints
from skyharvest.reduction.desi.extraction.projection import model, normal_equations
from skyharvest.reduction.desi.psf.model import Psf
from skyharvest.reduction.desi.psf.spot_equations import N_CORE, SIGMA_X, SIGMA_Y, X, Y, equations

log = logging.getLogger(__name__)

Bools = npt.NDArray[np.bool_]

NOT_MEASURED = 1
"""Status of a fiber that has too few lines: its traces are moved as its neighbours' are."""


@dataclass(frozen=True)
class FitOptions:
    """How a PSF is fitted.

    Attributes
    ----------
    degree_trace
        Of the Legendre polynomials of wavelength by which traces are moved; they keep the degree that they have.
    degree_shape
        Of those of widths and Gauss-Hermite terms. desispec merges PSFs only if it is 1 in b and r, and 3 in z.
    degree_fiber
        Of polynomials of fiber for these, within a bundle.
    degree_hermite
        The largest ``i + j`` of terms ``GH-i-j``; below 3 the fit is a Gaussian.
    search
        How far the traces may be off at first, pixels in y; in x it is half of the distance of fibers.
    least_snr
        Signal to noise of a spot that is used.
    most_lost
        Share of a spot's light that may be on bad pixels.
    clip
        Residuals beyond so many σ count less.
    error
        Relative error of the model.
    least_lines
        A fiber with fewer spots is not measured.
    far_pixels
        A spot so far from where the traces have it, and beyond its error, is not the line that it is taken for.
    """

    degree_trace: int = 4
    degree_shape: int = 1
    degree_fiber: int = 1
    degree_hermite: int = 4
    search: int = 12
    least_snr: float = 20.0
    most_lost: float = 0.1
    clip: float = 5.0
    error: float = 0.005
    least_lines: int = 6
    far_pixels: float = 0.3


OPTIONS = FitOptions()

_STAGES = ((1, 0, 0, 3), (None, None, 0, 4), (None, None, None, 5))
"""Degrees of traces, of widths, and of Gauss-Hermite terms in fiber and wavelength, and steps; None: the full ones."""

_BESIDE = 4
"""Columns beside the spots of a bundle: its traces may move."""


def fit_psf(
    image: Floats, ivar: Floats, read_noise: Floats, psf: Psf, lines: Floats, options: FitOptions = OPTIONS
) -> Psf:
    """Fit a PSF.

    Parameters
    ----------
    image, ivar
        (n_y, n_x) f8: electrons, and 1 / electrons²; 0 where a pixel is bad or saturated.
    read_noise
        (n_y, n_x) f8: electrons.
    psf
        Where to begin: of the calibration, or of another night.
    lines
        Å in vacuum.

    Returns
    -------
    Psf
        With a status for each fiber, and a χ² for each bundle.

    Raises
    ------
    ValueError
        If the image has no light where the lines are expected.
    """
    good = (ivar > 0) & np.isfinite(image)
    image, noise2 = np.where(good, image, 0.0), np.where(good, read_noise**2, np.inf)
    lines = lines[(lines >= psf.wave_min) & (lines <= psf.wave_max)]
    dx, dy = offset(image, np.where(good, ivar, 0.0), psf, lines, options.search)
    log.info("traces are off by %.2f, %.2f pixels", dx, dy)
    start = replace(psf, x=_moved(psf.x, dx), y=_moved(psf.y, dy), shape=_with_degree(psf, options.degree_shape))
    fitted = []
    for bundle in start.by_bundle():
        own = _fit_bundle(image, noise2, bundle, lines, options)
        n_bad = np.count_nonzero(own.status)
        log.info("bundle %d: chi2 / dof %.3f, %d fibers not measured", own.bundle[0], own.chi2[0], n_bad)
        fitted.append(own)
    return joined(fitted)


def _fit_bundle(image: Floats, noise2: Floats, psf: Psf, lines: Floats, options: FitOptions) -> Psf:
    """Fit a bundle, on the columns of the image that it has light in."""
    x = psf.traces(np.linspace(psf.wave_min, psf.wave_max, 50))[0]
    first = max(0, int(x.min()) - psf.half_x - _BESIDE)
    stop = min(psf.n_x, int(x.max()) + psf.half_x + _BESIDE + 2)
    columns = np.s_[:, first:stop]
    part = replace(psf, x=_moved(psf.x, -first), n_x=stop - first)
    fitted = _Bundle(np.ascontiguousarray(image[columns]), np.ascontiguousarray(noise2[columns]), part, lines, options)
    made = fitted.fit()
    return replace(made, x=_moved(made.x, first), n_x=psf.n_x)


def joined(parts: Sequence[Psf]) -> Psf:
    """Return the PSF of fibers that follow one another."""
    first = parts[0]
    return replace(
        first,
        x=np.concatenate([part.x for part in parts]),
        y=np.concatenate([part.y for part in parts]),
        shape={name: np.concatenate([part.shape[name] for part in parts]) for name in first.shape},
        status=np.concatenate([part.status for part in parts]),
        chi2=np.concatenate([part.chi2 for part in parts]),
    )


def offset(image: Floats, ivar: Floats, psf: Psf, lines: Floats, search: int) -> tuple[float, float]:
    """Return by how much the traces are off, in x and y, pixels: the centre of all spots laid on one another.

    Raises
    ------
    ValueError
        If there is no light.
    """
    x, y = psf.traces(lines)
    spacing = np.median(np.diff(x, axis=0)) if psf.n_fiber > 1 else 2.0 * psf.half_x
    reach = int(spacing / 2)
    snr = np.clip(image * np.sqrt(ivar), 0, 50)  # bright lines must not outweigh all others
    at_x, at_y = np.rint(x).astype(int).ravel(), np.rint(y).astype(int).ravel()
    inside = (at_x >= reach) & (at_x < psf.n_x - reach) & (at_y >= search) & (at_y < psf.n_y - search)
    stack = np.zeros((2 * search + 1, 2 * reach + 1))
    for i, j in zip(at_x[inside], at_y[inside], strict=True):
        stack += snr[j - search : j + search + 1, i - reach : i + reach + 1]
    stack -= np.median(stack)
    if not inside.any() or stack.max() < inside.sum():  # one σ a spot
        raise ValueError(
            "there is no light where the arc lines are expected: is it an arc, and is the PSF of this camera?"
        )
    j, i = np.unravel_index(int(np.argmax(stack)), stack.shape)
    near = slice(max(j - 2, 0), min(j + 3, len(stack))), slice(max(i - 2, 0), min(i + 3, stack.shape[1]))
    light = np.clip(stack[near], 0, None)
    rows, columns = np.mgrid[near]
    return float((light * columns).sum() / light.sum() - reach), float((light * rows).sum() / light.sum() - search)


def _moved(coefficients: Floats, by: float) -> Floats:
    made = coefficients.copy()
    made[:, 0] += by
    return made


def _with_degree(psf: Psf, degree: int) -> dict[str, Floats]:
    """Return the shape's parameters with another degree: higher terms are dropped or zero."""
    made = {}
    for name, values in psf.shape.items():
        made[name] = np.zeros((psf.n_fiber, degree + 1))
        n = min(degree + 1, values.shape[1])
        made[name][:, :n] = values[:, :n]
    return made


class _Bundle:
    """The fit of a bundle."""

    def __init__(self, image: Floats, noise2: Floats, psf: Psf, lines: Floats, options: FitOptions) -> None:
        self.image, self.noise2, self.options = image, noise2, options
        self.psf = self.start = psf
        y = psf.traces(lines)[1]
        on_image = (y > psf.half_y).all(axis=0) & (y < psf.n_y - psf.half_y - 1).all(axis=0)
        self.lines = lines[on_image]
        self.u = psf.scaled(self.lines)
        top = min(psf.degree_x, psf.degree_y, options.degree_hermite)
        pairs = [(i, j) for i in range(top + 1) for j in range(top + 1) if 3 <= i + j <= top]
        # Lower ones are a shift or a width, but for the spot's tilt.
        self.terms: Ints = np.array([(1, 1), *pairs] if top > 2 else np.zeros((0, 2)), np.int64).reshape(-1, 2)
        self.used: Bools = np.ones((psf.n_fiber, len(self.lines)), bool)
        self.fiber = np.linspace(-1, 1, psf.n_fiber) if psf.n_fiber > 1 else np.zeros(1)

    def fit(self) -> Psf:
        if len(self.lines) < self.options.least_lines:
            return self._not_fitted()
        step = 0
        for trace, width, hermite, steps in _STAGES:
            if hermite is None and not len(self.terms):
                continue
            for _ in range(steps):
                flux, made = self._flux()
                if step > 2:
                    self._reject(flux, made)
                self._step(flux, made, trace, width, hermite, robust=step > 2)
                step += 1
        flux, made = self._flux()
        return self._finished(made)

    def _flux(self) -> tuple[Floats, Floats]:
        """Return the flux of each line in each fiber, (n_fiber, n_line) f8, and the image that they make."""
        psf = self.psf
        spots = psf.spots(self.lines)
        # Numbered by line first, so that the matrix is a band.
        values = np.ascontiguousarray(spots.values.transpose(1, 0, 2, 3))
        corners = np.ascontiguousarray(spots.corners.transpose(1, 0, 2))
        box = (0, psf.n_y, 0, psf.n_x)
        weight = 1 / self.noise2
        made = np.zeros_like(self.image)
        for _ in range(2):  # the first without the light's own noise
            matrix, right, _ = normal_equations(self.image, weight, values, corners, box)
            flux = _solve_band(matrix, right).reshape(len(self.lines), psf.n_fiber)
            made = model(flux, values, corners, box)
            weight = 1 / (self.noise2 + np.clip(made, 0, None))
        return flux.T, made

    def _weight(self, made: Floats, *, robust: bool) -> Floats:
        options = self.options
        variance = self.noise2 + np.clip(made, 0, None) + (options.error * made) ** 2
        if not robust:
            return 1 / variance
        pull = np.abs(self.image - made) / np.sqrt(variance)
        return np.minimum(1, options.clip / np.maximum(pull, 1e-9)) / variance

    def _spot_parameters(self) -> tuple[Floats, Floats]:
        psf = self.psf
        x, y = psf.traces(self.lines)
        core = np.stack([x, y, *(psf.parameter(name, self.lines) for name in ("GHSIGX", "GHSIGY"))], axis=-1)
        return core, psf.hermite(self.lines)

    def _reject(self, flux: Floats, made: Floats) -> None:
        """Leave out spots that are faint, on bad pixels, or not where the others say: a wrong or blended line."""
        options, psf = self.options, self.psf
        weight = self._weight(made, robust=False)
        core, gh = self._spot_parameters()
        half = np.array([psf.half_x, psf.half_y])
        matrix, right = np.empty((N_CORE, N_CORE)), np.empty(N_CORE)
        none = np.zeros((0, 2), np.int64)
        shift, error = np.zeros((*flux.shape, 2)), np.full((*flux.shape, 2), np.inf)
        lost = np.ones(flux.shape)
        residual = self.image - made
        for f, k in np.ndindex(flux.shape):
            lost[f, k] = equations(residual, weight, float(flux[f, k]), core[f, k], gh[f, k], none, half, matrix, right)
            own = matrix[:2, :2]
            if flux[f, k] > 0 and np.linalg.det(own) > 0:
                inverse = np.linalg.inv(own)
                shift[f, k], error[f, k] = inverse @ right[:2], np.sqrt(inverse.diagonal())
        # The error of a centre is about a spot's width over its signal to noise.
        bright = error.max(axis=-1) < core[..., [SIGMA_X, SIGMA_Y]].max(axis=-1) / options.least_snr
        near = (np.abs(shift) < options.far_pixels + 5 * error).all(axis=-1)
        used = bright & near & (lost < options.most_lost) & (flux > 0)
        # A line that most fibers see somewhere else is not the line that it is taken for.
        wrong = (bright & ~near).sum(axis=0) > 0.5 * np.maximum(bright.sum(axis=0), 1)
        self.used = used & ~wrong

    def _step(
        self, flux: Floats, made: Floats, trace: int | None, width: int | None, hermite: int | None, *, robust: bool
    ) -> None:
        options, psf = self.options, self.psf
        n_fiber = len(flux)
        terms = self.terms if hermite is None else np.zeros((0, 2), np.int64)
        degree = options.degree_trace if trace is None else min(trace, options.degree_trace)
        of_width = options.degree_shape if width is None else width
        of_fiber = options.degree_fiber if width is None else 0
        in_trace = legvander(self.u, degree)
        in_wave = np.asarray(legvander(self.u, of_width), np.float64)
        in_fiber = np.asarray(legvander(self.fiber, of_fiber), np.float64)
        n_trace, n_shape = degree + 1, in_wave.shape[1] * in_fiber.shape[1]
        n_shapes = 2 + len(terms)
        n = 2 * n_trace * n_fiber + n_shapes * n_shape
        matrix, right = np.zeros((n, n)), np.zeros(n)
        core, gh = self._spot_parameters()
        weight, residual = self._weight(made, robust=robust), self.image - made
        own, own_right = np.empty((N_CORE + len(terms),) * 2), np.empty(N_CORE + len(terms))
        half = np.array([psf.half_x, psf.half_y])
        shapes = 2 * n_trace * n_fiber + np.arange(n_shapes * n_shape)
        for f in range(n_fiber):
            # Of this fiber's spots: x, y and the shape's parameters, as sums of the unknowns.
            places = np.concatenate([2 * n_trace * f + np.arange(2 * n_trace), shapes])
            block, block_right = np.zeros((len(places),) * 2), np.zeros(len(places))
            for k in np.flatnonzero(self.used[f]):
                lost = equations(residual, weight, flux[f, k], core[f, k], gh[f, k], terms, half, own, own_right)
                if lost > options.most_lost:
                    continue
                basis = np.zeros((N_CORE + len(terms), len(places)))
                basis[X, :n_trace] = basis[Y, n_trace : 2 * n_trace] = in_trace[k]
                in_shape = np.outer(in_fiber[f], in_wave[k]).ravel()
                for m in range(n_shapes):
                    start = 2 * n_trace + m * n_shape
                    basis[SIGMA_X + m, start : start + n_shape] = in_shape
                block += basis.T @ own @ basis
                block_right += basis.T @ own_right
            matrix[np.ix_(places, places)] += block
            right[places] += block_right
        bends = np.stack([psf.x - self.start.x, psf.y - self.start.y], axis=1)[:, :, :n_trace].ravel()
        known = _smoothness(n_fiber, n_trace)
        matrix[: len(bends), : len(bends)] += known
        right[: len(bends)] -= known @ bends
        matrix[shapes, shapes] += 1 / 0.1**2
        try:
            found = solve(matrix, right, assume_a="pos")
        except LinAlgError as error:
            raise ValueError("the fit of a bundle has no solution: are its lines on the image?") from error
        self._apply(found, n_trace, n_shape, in_fiber, of_width, terms)

    def _apply(self, found: Floats, n_trace: int, n_shape: int, in_fiber: Floats, of_width: int, terms: Ints) -> None:
        psf, n_fiber = self.psf, self.psf.n_fiber
        moves = np.clip(found[: 2 * n_trace * n_fiber].reshape(n_fiber, 2, n_trace), -1.5, 1.5)
        x, y = psf.x.copy(), psf.y.copy()
        x[:, :n_trace] += moves[:, 0]
        y[:, :n_trace] += moves[:, 1]
        shape = {name: values.copy() for name, values in psf.shape.items()}
        names = ["GHSIGX", "GHSIGY", *(f"GH-{i}-{j}" for i, j in terms)]
        changes = found[2 * n_trace * n_fiber :].reshape(len(names), n_shape)
        for name, change in zip(names, changes, strict=True):
            per_fiber = in_fiber @ change.reshape(in_fiber.shape[1], of_width + 1)
            values = shape.setdefault(name, np.zeros((n_fiber, self.options.degree_shape + 1)))
            values[:, : of_width + 1] += np.clip(per_fiber, -0.3, 0.3)
        self.psf = replace(psf, x=x, y=y, shape=shape)

    def _finished(self, made: Floats) -> Psf:
        psf, options = self.psf, self.options
        status = np.where(self.used.sum(axis=1) < options.least_lines, NOT_MEASURED, 0).astype(np.int64)
        if (status != 0).all():
            return self._not_fitted()
        variance = self.noise2 + np.clip(made, 0, None) + (options.error * made) ** 2
        chi2 = (self.image - made) ** 2 / variance
        lit = np.isfinite(variance) & (made > 1)
        psf = replace(psf, status=status, chi2=np.full(psf.n_fiber, chi2[lit].mean() if lit.any() else np.nan))
        return moved_as_neighbours(psf, self.start)

    def _not_fitted(self) -> Psf:
        psf = self.start
        none = {f"GH-{i}-{j}": np.zeros((psf.n_fiber, self.options.degree_shape + 1)) for i, j in self.terms}
        status, chi2 = np.full(psf.n_fiber, NOT_MEASURED, np.int64), np.full(psf.n_fiber, np.nan)
        return replace(psf, shape=none | dict(psf.shape), status=status, chi2=chi2)


def _smoothness(n_fiber: int, n_trace: int) -> Floats:
    """Return what is known of the moves of traces before: an inverse covariance, (n, n) f8 with n in `_step`'s order.

    Traces bend little, and those of a bundle do so together: so they go on well where they have no lines.
    """
    degree = np.arange(n_trace)
    made = np.diag(np.tile((1.0 + degree) ** 6 / 2.0**2, 2 * n_fiber))
    apart = np.eye(n_fiber) - 1 / n_fiber
    for axis in range(2):
        for k in degree[1:]:
            places = np.arange(n_fiber) * 2 * n_trace + axis * n_trace + k
            made[np.ix_(places, places)] += apart * (k / 0.05) ** 2
    return made


def _solve_band(matrix: Floats, right: Floats) -> Floats:
    """Solve equations whose matrix is symmetric and has few diagonals; unknowns that nothing tells are zero."""
    n = len(right)
    known = matrix.diagonal() > 0
    rows, columns = np.nonzero(matrix)
    width = int(np.max(columns - rows, initial=0))
    band = np.zeros((width + 1, n))
    for k in range(width + 1):
        band[k, : n - k] = np.diagonal(matrix, k)
    # A little more on the diagonal: spots that lie on one another have no flux of their own.
    band[0] = np.where(known, band[0] * (1 + 1e-9), 1.0)
    return np.asarray(solveh_banded(band, np.where(known, right, 0.0), lower=True))


def moved_as_neighbours(psf: Psf, start: Psf) -> Psf:
    """Give fibers that were not measured the mean move of the nearest two that were, in their bundle."""
    x, y = psf.x.copy(), psf.y.copy()
    measured = np.flatnonzero(psf.status == 0)
    for fiber in np.flatnonzero(psf.status != 0):
        near = measured[np.argsort(np.abs(measured - fiber), kind="stable")[:2]]
        for made, fitted, before in ((x, psf.x, start.x), (y, psf.y, start.y)):
            made[fiber] = before[fiber] + (fitted[near] - before[near]).mean(axis=0)
    return replace(psf, x=x, y=y)
