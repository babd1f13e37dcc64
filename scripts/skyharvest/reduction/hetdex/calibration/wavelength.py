"""Wavelengths of an amplifier's pixels, from the Sun's lines in a twilight.

All fibers at once, by Gauss-Newton steps: the wavelength is one two-dimensional Chebyshev polynomial of the column and
of the fiber's place on the detector, the width of lines another, of lower degree. Each fiber has its own smooth
continuum (a cubic spline) by which the Sun's spectrum is multiplied, and light without lines, in proportion to its own
smooth spectrum: lines of the twilight are a little shallower than the Sun's, as light is scattered (Grainger & Ring
1962, Nature 193, 762). These are linear and are eliminated in each step (variable projection: Golub & Pereyra 1973,
SIAM J. Numer. Anal. 10, 413). Every pixel counts with its information, so that ends of the spectrum are as good as its
light allows; single segments matched one by one were 0.4 to 0.8 Å wrong there.

At last each fiber may stand a little beside the polynomial, as far as more scatter is found than noise makes.

First guess: groups of fibers against the Sun's spectrum, by correlation over zero point, dispersion and curvature.

An amplifier takes 0.3 s. The two compiled kernels, of the first guess and of the Sun's spectrum at all pixels, are six
times as fast as numpy; the rest is linear algebra.
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.polynomial import chebyshev
from scipy.interpolate import BSpline
from scipy.ndimage import gaussian_filter1d

from skyharvest.core.arrays import Bools, Float32s, Floats
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.calibration.solar_spectrum import STEP, SolarSpectrum
from skyharvest.reduction.hetdex.settings import Wavelength

FWHM_GRID = np.arange(2.5, 11.1, 0.25)
"""Å: widths for which the Sun's spectrum is held convolved."""
FWHM_GUESS = 5.5
"""Å: of VIRUS."""
FWHM_DEGREES = (2, 1)
"""Of the polynomial of widths: in columns, in fibers."""
CONTINUUM_PIXELS = 75
"""Between two knots of a continuum."""
MODEL_ERROR = 0.01
"""Of the flux: what no model of a twilight reaches."""
OUTLIER_SIGMA = 4.0
"""Pixels farther than this from the model count less: by Cauchy's weights."""
CUT_SIGMA = 8.0
"""Farther ones count nothing, once the fit is near: a bad column would still pull."""
NEAR_STEPS = 4
"""Steps after which it is."""
STEPS = 12
SETTLED = 0.003
"""Å: no wavelength moves more in the last step."""
SMOOTH_PIXELS = 40
"""σ of the smoothing that takes continua off for the first guess."""
GROUP = 8
"""Fibers of a group of the first guess."""
SEGMENTS = 12
"""Pieces of a spectrum that are compared one by one, for the record, of `SEGMENT_FIBERS` fibers together."""
SEGMENT_FIBERS = 4
MEASURED = 0.15
"""Å: a segment's shift counts if it is known as well."""
ALIKE = 0.5
"""A segment matches if it correlates so with the model, or more, and its shift is below `FAR`."""
FAR = 0.5


@dataclass(frozen=True)
class Solution:
    """Wavelengths of an amplifier.

    Attributes
    ----------
    wavelength
        In air, Å, at the centre of each pixel, (n_fiber, n_column) float64; dead fibers have those of their place.
    fwhm
        Full width at half maximum of lines, Å, same shape, float32.
    rms
        Scatter of the segments' shifts, Å.
    worst
        The largest mean shift of a piece of the spectrum over all fibers, Å.
    n_segments, n_matched
        Segments that could be measured, and those of them that match the Sun's spectrum.
    offset_rms
        How far fibers stand beside the polynomial, Å, rms.
    """

    wavelength: Floats
    fwhm: Float32s
    rms: float
    worst: float
    n_segments: int
    n_matched: int
    offset_rms: float


def solve(
    spectrum: Float32s, variance: Float32s, alive: Bools, y: Floats, sun: SolarSpectrum, options: Wavelength
) -> Solution:
    """Return the wavelengths of an amplifier.

    Parameters
    ----------
    spectrum, variance
        Of a twilight, electrons per pixel, (n_fiber, n_column) float32; NaN where nothing is known.
    alive
        Fibers that have light, (n_fiber,) bool.
    y
        Where each fiber is on the detector, rows, (n_fiber,) float64.
    sun
        As `solar_spectrum.read` returns it.
    options
        First guess, degrees and limits.

    Raises
    ------
    InputError
        If there are too few fibers or too little light, or what was found is not the Sun's spectrum; says which.
    """
    n_fiber, n_column = spectrum.shape
    assert variance.shape == spectrum.shape
    assert alive.shape == y.shape == (n_fiber,)
    good = np.isfinite(spectrum) & np.isfinite(variance) & (variance > 0)
    use = np.flatnonzero(alive & (good.sum(axis=1) > n_column / 2))
    if use.size < options.min_fibers:
        raise InputError(f"found {use.size} fibers with a twilight; expected {options.min_fibers}: see the trace")
    values = np.where(good, spectrum, 0).astype(np.float64)[use]
    inverse = np.where(good, 1 / np.where(good, variance, 1), 0).astype(np.float64)[use]
    depth = _signal_to_noise(values, inverse)
    if depth < options.min_signal:
        raise InputError(
            f"found a twilight of {depth:.1f} σ in a pixel; expected {options.min_signal:g}: more or brighter twilights"
        )
    photons = sun.photons()
    u = np.linspace(-1, 1, n_column)
    v = 2 * y / (n_column - 1) - 1
    guess = _first_guess(values, inverse, u, v[use], photons, options)
    fit = _Fit(values, inverse, u, v[use], photons, options)
    fit.begin(guess)
    fit.run()
    offsets, spread = fit.offsets()
    segments = fit.segments(offsets)
    _check(segments, fit, options)
    every = np.zeros(n_fiber)
    every[use] = offsets
    dead = np.setdiff1d(np.arange(n_fiber), use)
    every[dead] = np.interp(dead, use, offsets)
    wavelength = fit.wavelength(v) + every[:, None]
    return Solution(
        wavelength,
        fit.fwhm(v).astype(np.float32),
        segments.rms,
        segments.worst,
        segments.n,
        segments.n_matched,
        spread,
    )


def _signal_to_noise(values: Floats, inverse: Floats) -> float:
    """Return the median signal over noise of a pixel in the middle third of the columns."""
    third = values.shape[1] // 3
    part = slice(third, 2 * third)
    known = inverse[:, part] > 0
    return float(np.median(values[:, part][known] * np.sqrt(inverse[:, part][known]))) if known.any() else 0.0


def _lines(values: Floats, inverse: Floats, pixels: float) -> Floats:
    """Return spectra over their smooth continua, minus 1; 0 where nothing is known."""
    known = (inverse > 0).astype(np.float64)
    share = gaussian_filter1d(known, pixels, axis=-1, mode="nearest")
    smooth = gaussian_filter1d(values * known, pixels, axis=-1, mode="nearest") / np.maximum(share, 1e-6)
    positive = (smooth > 0) & (known > 0)
    return np.asarray(np.where(positive, values / np.where(positive, smooth, 1) - 1, 0), np.float64)


@numba.njit(cache=True)
def _best(lines, weight, u, template, first, step, centres, slopes, bends):  # type: ignore[no-untyped-def]
    """Return the best correlation of lines with a template, and its centre, slope and bend."""
    best, found = -2.0, (0.0, 0.0, 0.0)
    n = lines.size
    for slope in slopes:
        for bend in bends:
            for centre in centres:
                s = sx = sy = sxx = syy = sxy = 0.0
                for k in range(n):
                    w = weight[k]
                    if w <= 0:
                        continue
                    at = (centre + slope * u[k] + bend * (2 * u[k] * u[k] - 1) - first) / step
                    i = int(at)
                    if i < 0 or i >= template.size - 1:
                        continue
                    t = template[i] + (at - i) * (template[i + 1] - template[i])
                    x = lines[k]
                    s += w
                    sx += w * x
                    sy += w * t
                    sxx += w * x * x
                    syy += w * t * t
                    sxy += w * x * t
                if s <= 0:
                    continue
                vx, vy = sxx - sx * sx / s, syy - sy * sy / s
                if vx <= 0 or vy <= 0:
                    continue
                score = (sxy - sx * sy / s) / np.sqrt(vx * vy)
                if score > best:
                    best, found = score, (centre, slope, bend)
    return best, found[0], found[1], found[2]


def _first_guess(
    values: Floats, inverse: Floats, u: Floats, v: Floats, photons: SolarSpectrum, options: Wavelength
) -> Floats:
    """Return coefficients (4, 3) of a Chebyshev polynomial in column and fiber, from groups of fibers."""
    half = (values.shape[1] - 1) / 2
    n_group = max(3, len(v) // GROUP)
    groups = np.array_split(np.arange(len(v)), n_group)
    flat = _lines(values, inverse, SMOOTH_PIXELS)
    template = photons.convolved(np.hypot(FWHM_GUESS, 3.0))  # fibers of a group are not quite at one wavelength
    template = template / gaussian_filter1d(template, SMOOTH_PIXELS * options.step / STEP, mode="nearest") - 1
    first = float(photons.wavelength[0])
    centre, slope = options.start + half * options.step, half * options.step
    reach = options.tolerance + 10.0
    wide = (
        centre + np.arange(-reach, reach + 0.1, 2.0),
        slope * (1 + np.linspace(-0.03, 0.03, 25)),
        np.arange(-16.0, 16.1, 4.0),
    )
    found = np.full((n_group, 4), np.nan)
    middle = n_group // 2
    for k in [*range(middle, n_group), *range(middle - 1, -1, -1)]:
        part = groups[k]
        weight = inverse[part].sum(axis=0) * np.abs(values[part]).mean(axis=0) ** 2 / len(part)
        weight = np.minimum(weight, np.percentile(weight, 90))  # a faint end counts, too
        mean = np.median(flat[part], axis=0)
        known = mean[weight > 0]
        spread = 1.48 * np.median(np.abs(known - np.median(known)))
        lines = np.clip(mean, -8 * spread, 8 * spread)
        if k == middle:
            grids = wide
        else:
            near = found[k - 1 if k > middle else k + 1]
            grids = (
                near[1] + np.arange(-10.0, 10.1, 1.0),
                near[2] + np.arange(-3.0, 3.1, 1.5),
                near[3] + np.array([-2.0, 0.0, 2.0]),
            )
        score, *where = _best(lines, weight, u, template, first, STEP, *grids)
        finer = zip(where, ((1.0, 0.5), (2.5, 1.25), (2.0, 1.0)), strict=True)
        score, *where = _best(
            lines, weight, u, template, first, STEP, *(at + np.arange(-a, a + 0.01, da) for at, (a, da) in finer)
        )
        found[k] = score, *where
        if k == middle and score < options.min_correlation:
            raise InputError(
                f"found no place where the twilight looks like the Sun: correlation {score:.2f}, expected "
                f"{options.min_correlation:g}, within {options.tolerance:g} Å of a start at {options.start:g} Å"
            )
    places = np.array([v[part].mean() for part in groups])
    degree = min(2, n_group - 1)
    coefficients = np.zeros((4, degree + 1))
    basis = chebyshev.chebvander(places, degree)
    weight = np.clip(found[:, 0], 0.05, 1)[:, None]
    for _ in range(3):  # a group that went astray counts no more
        solved = np.linalg.lstsq(basis * weight, found[:, 1:] * weight, rcond=None)[0]
        off = np.abs(found[:, 1] - basis @ solved[:, 0])
        limit = 3 * max(1.48 * float(np.median(off)), 0.5)
        weight = np.clip(found[:, 0], 0.05, 1)[:, None] * (off < limit)[:, None]
    coefficients[:3] = solved.T
    return coefficients


@numba.njit(cache=True)
def _sample(table, slope, first, step, wave, fwhm, first_fwhm, step_fwhm):  # type: ignore[no-untyped-def]
    """Return the Sun's spectrum at wavelengths and widths, with its derivatives by both: three (n, m) float64."""
    n, m = wave.shape
    value, by_wave, by_fwhm = np.empty((n, m)), np.empty((n, m)), np.empty((n, m))
    n_fwhm, n_wave = table.shape
    for i in range(n):
        for j in range(m):
            at = min(max((wave[i, j] - first) / step, 0.0), n_wave - 1.001)
            a = int(at)
            t = at - a
            wide = min(max((fwhm[i, j] - first_fwhm) / step_fwhm, 0.0), n_fwhm - 1.001)
            b = int(wide)
            s = wide - b
            low = table[b, a] + t * (table[b, a + 1] - table[b, a])
            high = table[b + 1, a] + t * (table[b + 1, a + 1] - table[b + 1, a])
            value[i, j] = low + s * (high - low)
            by_fwhm[i, j] = (high - low) / step_fwhm
            low = slope[b, a] + t * (slope[b, a + 1] - slope[b, a])
            high = slope[b + 1, a] + t * (slope[b + 1, a + 1] - slope[b + 1, a])
            by_wave[i, j] = low + s * (high - low)
    return value, by_wave, by_fwhm


@dataclass(frozen=True)
class _Segments:
    rms: float
    worst: float
    n: int
    n_matched: int


class _Fit:
    """The fit of living fibers: values (n_fiber, n_column), their inverse variance, columns and fibers from -1 to 1."""

    def __init__(
        self, values: Floats, inverse: Floats, u: Floats, v: Floats, photons: SolarSpectrum, options: Wavelength
    ) -> None:
        self.values, self.inverse, self.u, self.v, self.options = values, inverse, u, v, options
        grid = FWHM_GRID[photons.fwhm < FWHM_GRID]
        self.grid = grid
        self.table = np.stack([photons.convolved(width) for width in grid])
        self.slope = np.gradient(self.table, STEP, axis=1)
        self.first = float(photons.wavelength[0])
        n_column = values.shape[1]
        inner = np.linspace(-1, 1, max(4, round(n_column / CONTINUUM_PIXELS) + 1))
        knots = np.concatenate([[-1] * 3, inner, [1] * 3])
        self.continuum = np.ascontiguousarray(BSpline.design_matrix(u, knots, 3).toarray())
        known = (inverse > 0).astype(np.float64)
        share = np.maximum(gaussian_filter1d(known, SMOOTH_PIXELS, axis=1, mode="nearest"), 1e-6)
        smooth = gaussian_filter1d(values * known, SMOOTH_PIXELS, axis=1, mode="nearest") / share
        self.smooth = np.maximum(smooth, 1e-3 * np.abs(smooth).max(axis=1, keepdims=True))
        self.x_wave = chebyshev.chebvander(u, options.degree_x)
        self.y_wave = chebyshev.chebvander(v, options.degree_y)
        self.x_fwhm = chebyshev.chebvander(u, FWHM_DEGREES[0])
        self.y_fwhm = chebyshev.chebvander(v, FWHM_DEGREES[1])
        self.c_wave = np.zeros((options.degree_x + 1, options.degree_y + 1))
        self.c_fwhm = np.zeros((FWHM_DEGREES[0] + 1, FWHM_DEGREES[1] + 1))
        self.c_fwhm[0, 0] = FWHM_GUESS
        self.trust = np.ones_like(values)  # of pixels, from the step before
        # Terms of a total degree above the larger of both would only be free to turn corners of the detector.
        i, j = np.indices(self.c_wave.shape)
        self.terms = np.flatnonzero((i + j <= max(options.degree_x, options.degree_y)).ravel())

    def begin(self, guess: Floats) -> None:
        """Take a first guess: coefficients of fewer terms."""
        a, b = (min(n, m) for n, m in zip(guess.shape, self.c_wave.shape, strict=True))
        self.c_wave[:a, :b] = guess[:a, :b]

    def wavelength(self, v: Floats) -> Floats:
        """Return wavelengths of fibers at some places, (n, n_column)."""
        return np.asarray(chebyshev.chebvander(v, self.options.degree_y) @ self.c_wave.T @ self.x_wave.T, np.float64)

    def fwhm(self, v: Floats) -> Floats:
        """Return widths, (n, n_column)."""
        wide = chebyshev.chebvander(v, FWHM_DEGREES[1]) @ self.c_fwhm.T @ self.x_fwhm.T
        return np.asarray(np.clip(wide, self.grid[0], self.grid[-1]), np.float64)

    def run(self) -> None:
        """Step until nothing moves."""
        before = self.wavelength(self.v)
        for k in range(STEPS):
            self._linearise(is_near=k >= NEAR_STEPS)
            self._move(with_fwhm=k > 0)
            after = self.wavelength(self.v)
            moved = float(np.abs(after - before).max())
            before = after
            if k > NEAR_STEPS and moved < SETTLED:
                break
        self._linearise(is_near=True)

    def _linearise(self, *, is_near: bool) -> None:
        """Fit the continua, and keep residuals and derivatives from which the continua's part is taken."""
        wave = self.wavelength(self.v)
        value, by_wave, by_fwhm = _sample(
            self.table, self.slope, self.first, STEP, wave, self.fwhm(self.v), self.grid[0], self.grid[1] - self.grid[0]
        )
        # In units of the smooth spectrum, so that continua are near 1 and weights are comparable.
        data = self.values / self.smooth
        weight = 1 / (1 / np.maximum(self.inverse * self.smooth**2, 1e-12) + MODEL_ERROR**2)
        weight[self.inverse <= 0] = 0
        basis = np.concatenate(
            [self.continuum[None] * value[:, :, None], np.ones_like(value)[:, :, None]], axis=2
        )  # fiber, column, term
        robust = np.where(weight > 0, self.trust, 0) * weight
        for _ in range(2):
            weighted = basis * robust[:, :, None]
            normal = np.matmul(weighted.transpose(0, 2, 1), basis)
            ridge = 1e-9 * np.trace(normal, axis1=1, axis2=2) / normal.shape[1]
            normal += np.eye(normal.shape[1])[None] * np.maximum(ridge, 1e-30)[:, None, None]
            terms = np.linalg.solve(normal, np.matmul(weighted.transpose(0, 2, 1), data[:, :, None]))
            model = np.matmul(basis, terms)[:, :, 0]
            residual = data - model
            chi2 = residual**2 * weight
            self.trust = 1 / (1 + chi2 / OUTLIER_SIGMA**2)
            if is_near:
                self.trust[chi2 > CUT_SIGMA**2] = 0
            robust = self.trust * weight
        continuum = terms[:, :-1, 0] @ self.continuum.T
        slopes = np.stack([continuum * by_wave, continuum * by_fwhm], axis=2)
        self.steepness = by_wave / value
        self.model, self.noise_weight, self.weight, self.residual = model, weight, robust, residual
        n_wave, n_fwhm = self.x_wave.shape[1], self.x_fwhm.shape[1]
        columns = np.concatenate([slopes[:, :, :1] * self.x_wave[None], slopes[:, :, 1:] * self.x_fwhm[None]], axis=2)
        part = np.linalg.solve(normal, np.matmul(weighted.transpose(0, 2, 1), columns))
        self.columns = columns - np.matmul(basis, part)
        self.n_wave, self.n_fwhm = n_wave, n_fwhm

    def _move(self, *, with_fwhm: bool) -> None:
        weighted = self.columns * self.weight[:, :, None]
        square = np.matmul(weighted.transpose(0, 2, 1), self.columns)
        right = np.matmul(weighted.transpose(0, 2, 1), self.residual[:, :, None])[:, :, 0]
        y_of = [self.y_wave] * self.n_wave + [self.y_fwhm] * self.n_fwhm
        sizes = [basis.shape[1] for basis in y_of]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        normal, gradient = np.zeros((starts[-1], starts[-1])), np.zeros(starts[-1])
        for a, in_a in enumerate(y_of):
            rows = slice(starts[a], starts[a + 1])
            gradient[rows] = in_a.T @ right[:, a]
            for b, in_b in enumerate(y_of):
                normal[rows, starts[b] : starts[b + 1]] = in_a.T @ (in_b * square[:, a, b, None])
        n_wave = self.c_wave.size
        free = np.concatenate([self.terms, np.arange(n_wave, starts[-1] if with_fwhm else n_wave)])
        normal, gradient = normal[np.ix_(free, free)], gradient[free]
        scale = np.sqrt(np.maximum(np.diag(normal), 1e-30))
        normal = normal / np.outer(scale, scale) + 1e-8 * np.eye(len(scale))
        step = np.zeros(starts[-1])
        step[free] = np.linalg.solve(normal, gradient / scale) / scale
        wave = step[:n_wave].reshape(self.c_wave.shape)
        moved = float(np.abs(self.x_wave @ wave @ self.y_wave.T).max())
        self.c_wave += wave * min(1.0, 6.0 / max(moved, 1e-9))  # lines are not jumped over
        if with_fwhm:
            wide = step[n_wave:].reshape(self.c_fwhm.shape)
            moved = float(np.abs(self.x_fwhm @ wide @ self.y_fwhm.T).max())
            self.c_fwhm += wide * min(1.0, 1.0 / max(moved, 1e-9))

    def offsets(self) -> tuple[Floats, float]:
        """Return each fiber's own shift against the polynomial, Å, (n_fiber,), and the rms that they have beyond noise.

        Each is drawn to 0 by its noise: the mean of the posterior, for the scatter under which the shifts that were
        measured are most likely.
        """
        slope = self.columns[:, :, 0]
        information = np.maximum((slope * slope * self.weight).sum(axis=1), 1e-12)
        shift = (slope * self.residual * self.weight).sum(axis=1) / information
        chi2 = np.median((self.residual**2 * self.weight).sum(axis=1) / np.maximum((self.weight > 0).sum(axis=1), 1))
        noise = max(float(chi2), 1.0) / information
        shift = np.clip(shift, -FAR, FAR)
        scatter = np.concatenate([[0.0], np.geomspace(0.002, FAR, 100)])
        total = scatter[:, None] ** 2 + noise[None]
        likelihood = -0.5 * (np.log(total) + np.minimum(shift**2 / total, 9.0)).sum(axis=1)
        best = int(np.argmax(likelihood))
        spread = float(scatter[best]) if likelihood[best] > likelihood[0] + 3 else 0.0
        return shift * spread**2 / (spread**2 + noise), spread

    def segments(self, offsets: Floats) -> _Segments:
        """Return how well pieces of the spectra agree with the model."""
        slope = self.columns[:, :, 0]
        information = slope * slope * self.weight
        # What so much light would tell if it were the Sun's: where it is not, the fit turns to light without lines, and
        # that is to be seen.
        expected_information = self.steepness**2 * self.noise_weight
        left = slope * self.residual * self.weight - information * offsets[:, None]
        # Lines alone, over the continuum: what looks like the Sun has this shape.
        found = _lines(self.values, self.inverse, SMOOTH_PIXELS)
        expected = _lines(self.model * self.smooth, self.inverse, SMOOTH_PIXELS)
        counts = np.sqrt(self.weight)  # without what stands out, such as cosmic rays
        columns = np.array_split(np.arange(self.values.shape[1]), SEGMENTS)
        fibers = np.array_split(np.arange(len(self.values)), max(1, len(self.values) // SEGMENT_FIBERS))
        shifts, alike, known = (np.full((len(fibers), SEGMENTS), np.nan) for _ in range(3))
        for i, fiber in enumerate(fibers):
            for j, column in enumerate(columns):
                block = np.ix_(fiber, column)
                if expected_information[block].sum() <= MEASURED**-2:
                    continue
                total = max(float(information[block].sum()), 1e-9)
                known[i, j] = total
                shifts[i, j] = left[block].sum() / total
                each = counts[block]
                mean = each.sum(axis=0)
                a, b = (found[block] * each).sum(axis=0), (expected[block] * each).sum(axis=0)
                a, b = a - mean * (a.sum() / max(mean.sum(), 1e-9)), b - mean * (b.sum() / max(mean.sum(), 1e-9))
                alike[i, j] = (a @ b) / np.sqrt(max(float((a @ a) * (b @ b)), 1e-30))
        usable = np.isfinite(shifts)
        matched = usable & (alike > ALIKE) & (np.abs(shifts) < FAR)
        self.shifts, self.alike = shifts, alike
        n, n_matched = int(usable.sum()), int(matched.sum())
        if not n:
            return _Segments(np.nan, np.nan, 0, 0)
        weight = np.where(usable, known, 0)
        total = weight.sum(axis=0)
        mean = np.where(total > 0, np.where(usable, shifts * weight, 0).sum(axis=0) / np.maximum(total, 1e-30), 0)
        rms = float(np.sqrt(np.mean(shifts[matched] ** 2))) if n_matched else np.nan
        return _Segments(rms, float(np.abs(mean).max()), n, n_matched)


def _check(segments: _Segments, fit: _Fit, options: Wavelength) -> None:
    dispersion = np.diff(fit.wavelength(fit.v), axis=1)
    if not (0.9 * options.step < dispersion.min() and dispersion.max() < 1.1 * options.step):
        raise InputError(
            f"found {dispersion.min():.3f} to {dispersion.max():.3f} Å a pixel; expected {options.step:g} within 10 %: "
            "the twilight does not fit the Sun's spectrum"
        )
    expected = options.min_matched * segments.n
    if segments.n < options.min_segments or segments.n_matched < expected:
        raise InputError(
            f"found {segments.n} segments with enough light, of which {segments.n_matched} look like the Sun; "
            f"expected {options.min_segments} and {100 * options.min_matched:g} % of them"
        )
    if segments.rms > options.max_rms:
        raise InputError(
            f"found a scatter of {segments.rms:.3f} Å between segments; expected {options.max_rms:g} or less"
        )
