"""A point source in fibers: where it is, how wide its image is, and its light, by χ².

The light of a Moffat profile in each fiber (`moffat`) is compared with what was measured. Its total is the best one for
each position and width (variable projection), for which scipy's Levenberg-Marquardt looks.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import least_squares

from skyharvest.core.arrays import Floats
from skyharvest.reduction.hetdex.stars.moffat import fractions
from skyharvest.reduction.hetdex.virus import FIBER_RADIUS

MODEL_ERROR = 0.02
"""Of the light in a fiber: no image is a Moffat profile exactly, and bright fibers must not outweigh all others."""
FILLING = 2 * np.pi * FIBER_RADIUS**2 / (np.sqrt(3) * 2.54**2)
"""Share of the light that fibers 2.54″ apart get of a star that is far from the edge, in the mean over positions."""
NEAR = 7.0
"""Arcsec: fibers so near to a source of a scene are fitted."""
LEFT = 0.1
"""Of a source's light in a fiber: what its model may leave where another is fitted."""
WIDTHS = (0.6, 6.0)
"""Arcsec: images are not narrower or wider."""


@dataclass(frozen=True)
class Source:
    """What was found.

    Attributes
    ----------
    x, y
        Arcsec.
    fwhm
        Arcsec; the mean of the fibers', where each has its own.
    total, total_error
        All of the light, in the unit of the fibers'.
    chi2
        χ² by degrees of freedom; NaN if there are none.
    coverage
        How much of the light the fibers got, by what they get of a star far from the edge (1 in the mean).
    x_error, y_error, fwhm_error
        Arcsec; NaN where it was not fitted.
    """

    x: float
    y: float
    fwhm: float
    total: float
    total_error: float
    chi2: float
    coverage: float
    x_error: float
    y_error: float
    fwhm_error: float


def fit(
    x: Floats,
    y: Floats,
    light: Floats,
    error: Floats,
    start: tuple[float, float],
    fwhm: float | Floats,
    *,
    fit_fwhm: bool = False,
    fit_position: bool = True,
    level: bool = False,
    most_moved: float = 2.5,
) -> Source | None:
    """Fit a point source.

    Parameters
    ----------
    x, y
        (n,) f8, arcsec: where the fibers are.
    light, error
        (n,) f8; fibers where either is NaN are left out.
    start
        Where the source is, about: arcsec.
    fwhm
        Of its image, arcsec, or where to begin with it: one for all, or (n,) if images of exposures differ, which are
        then fitted by one factor.
    fit_fwhm, fit_position
        Whether they are fitted.
    level
        Whether there may be light, the same in all fibers, beside the source's: a sky that was taken off with the
        wings of the source in it is too low by some counts, and images look too narrow.
    most_moved
        Arcsec, in x and in y: what is fitted is not further from the start.

    Returns
    -------
    Source or None
        None if there are fewer fibers than parameters, or nothing is found within the limits.
    """
    known = np.isfinite(light) & np.isfinite(error) & (error > 0)
    x, y, light = x[known], y[known], light[known]
    widths = np.broadcast_to(fwhm, known.shape)[known]
    sigma = np.hypot(error[known], MODEL_ERROR * np.clip(light, 0, None))
    value = light / sigma
    free = 2 * fit_position + fit_fwhm
    n_parameters = free + 1 + level
    if len(x) < n_parameters:
        return None

    def parameters(values: Floats) -> tuple[float, float, Floats]:
        at = (start[0] + values[0], start[1] + values[1]) if fit_position else start
        return at[0], at[1], widths * np.exp(np.clip(values[-1], -3, 3)) if fit_fwhm else widths

    def best(values: Floats) -> tuple[Floats, float, float, Floats]:
        """Return the residual, the total and its variance, and the share of each fiber, by its error."""
        at_x, at_y, width = parameters(values)
        share = fractions(x - at_x, y - at_y, width) / sigma
        power, with_value = float(share @ share), float(share @ value)
        if level:
            even = 1 / sigma
            shared, all_even, even_value = float(share @ even), float(even @ even), float(even @ value)
            determinant = power * all_even - shared**2
            if determinant > 1e-9 * power * all_even:
                total = (all_even * with_value - shared * even_value) / determinant
                height = (power * even_value - shared * with_value) / determinant
                return value - total * share - height * even, total, all_even / determinant, share
        if power <= 0:
            return value, 0.0, np.inf, share
        total = with_value / power
        return value - total * share, total, 1 / power, share

    values = np.zeros(free)
    errors = np.full(3, np.nan)
    if free:
        found = least_squares(lambda tried: best(tried)[0], values, method="lm", diff_step=1e-4, x_scale=[0.5] * free)
        values = found.x
        try:
            spread = np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac)))
        except np.linalg.LinAlgError:
            return None
        if fit_position:
            errors[:2] = spread[:2]
        if fit_fwhm:
            errors[2] = spread[-1] * parameters(values)[2].mean()
    at_x, at_y, width = parameters(values)
    moved = max(abs(at_x - start[0]), abs(at_y - start[1]))
    if not (moved <= most_moved and WIDTHS[0] <= width.min() and width.max() <= WIDTHS[1]):
        return None
    residual, total, variance, share = best(values)
    if not np.isfinite(variance):
        return None
    left = len(x) - n_parameters
    chi2 = float(residual @ residual) / left if left > 0 else np.nan
    coverage = float((share * sigma).sum()) / FILLING
    total_error = float(np.sqrt(variance))
    return Source(at_x, at_y, float(width.mean()), total, total_error, chi2, coverage, *(float(e) for e in errors))


@dataclass
class Scene:
    """Fibers, and the sources in them: each is fitted to what the others leave.

    Attributes
    ----------
    x, y
        (n,) f8, arcsec: where the fibers are.
    light, error
        (n,) f8; NaN for fibers of which nothing is known.
    level
        See `fit`.
    sources
        By any number.
    """

    x: Floats
    y: Floats
    light: Floats
    error: Floats
    level: bool = False
    sources: dict[int, Source] = field(default_factory=dict)

    def left(self) -> Floats:
        """Return the light that all sources leave, (n,) f8."""
        rest = self.light.copy()
        for source in self.sources.values():
            rest -= source.total * fractions(self.x - source.x, self.y - source.y, source.fwhm)
        return rest

    def fit(
        self,
        start: tuple[float, float],
        fwhm: float,
        *,
        index: int | None = None,
        fit_fwhm: bool = False,
        fit_position: bool = True,
        most_moved: float = 2.5,
    ) -> Source | None:
        """Fit a source to what the others leave: see `fit`.

        Parameters
        ----------
        index
            Which of the sources it is, if it is one already. It stays as it was.
        """
        near = np.flatnonzero(np.hypot(self.x - start[0], self.y - start[1]) < NEAR)
        x, y, rest, variance = self.x[near], self.y[near], self.light[near].copy(), self.error[near] ** 2
        for number, other in self.sources.items():
            if number != index and np.hypot(other.x - start[0], other.y - start[1]) < 2 * NEAR:
                model = other.total * fractions(x - other.x, y - other.y, other.fwhm)
                rest -= model
                variance += (LEFT * model) ** 2
        return fit(
            x,
            y,
            rest,
            np.sqrt(variance),
            start,
            fwhm,
            fit_fwhm=fit_fwhm,
            fit_position=fit_position,
            level=self.level,
            most_moved=most_moved,
        )
