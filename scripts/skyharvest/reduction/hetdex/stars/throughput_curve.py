"""The throughput of a shot from its stars: what was counted over the photons that a star sent.

A star's ratio is compared with a reference curve; stars whose ratio has another shape are refused; of the others the
shape and the level are a biweight each, in which bright stars count more. The throughput is the reference times a
polynomial. HETDEX's own has two coefficients, ``c1 + c2 (λ - 4500) / 2000``: its reference is the mean of its own
shots. Ours is but a typical curve, so that more coefficients are allowed where the stars ask for them (Schwarz's
criterion); who gives a better one may set ``degree`` to 1, so that what templates lack does not get into it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import speclite.filters
from scipy.interpolate import PchipInterpolator

from skyharvest.core.arrays import Array, Bools, Floats
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.reduction.hetdex import biweight
from skyharvest.reduction.hetdex.virus import AREA_CM2, EXPOSURE_S, GRID, GRID_STEP, LIGHT, PLANCK

CENTRE, WIDTH = 4500.0, 2000.0  # Å, of the polynomial
NEAR_ANCHOR = 500.0  # Å: the level is told by what is so near to it
ANCHOR = 4540.0  # Å: a row of the table is here, for response_4540
UNLIKE = 0.03
"""How wrong a star's own level, or a bin of its shape, is at least: its spectrum is one of a template."""
FAR = 4.0  # σ beyond which a value does not count
LEAST = 0.0005
"""Less is no throughput."""

_REFERENCE = ((3470, 3600, 3800, 4000, 4250, 4500, 4750, 5000, 5250, 5540),
              (0.020, 0.036, 0.065, 0.092, 0.116, 0.132, 0.141, 0.144, 0.141, 0.128))  # fmt: skip


def reference_curve(wave: Floats, path: Path | None = None) -> Floats:
    """Return a typical throughput of VIRUS with telescope and air.

    Parameters
    ----------
    wave
        Å.
    path
        A text file with wavelength and throughput in its first two columns; None: a smooth curve like that of figures
        of VIRUS (Hill et al. 2021, AJ 162, 298).

    Raises
    ------
    MalformedFile
        If the file has no such columns, or does not cover the wavelengths.
    """
    if path is None:
        return np.asarray(PchipInterpolator(*_REFERENCE)(np.clip(wave, _REFERENCE[0][0], _REFERENCE[0][-1])))
    try:
        known, values = np.loadtxt(path, usecols=(0, 1), unpack=True, ndmin=2)
    except (ValueError, IndexError) as error:
        raise MalformedFile(f"{path}: expected columns wavelength and throughput ({error})") from None
    if known.size < 2 or (np.diff(known) <= 0).any() or known[0] > wave[0] + 50 or known[-1] < wave[-1] - 50:
        raise MalformedFile(
            f"{path}: found {known.size} wavelengths; expected increasing ones from {wave[0]:g} to {wave[-1]:g} Å"
        )
    if not (values > 0).all():
        raise MalformedFile(f"{path}: found throughputs of 0 or less; expected more")
    return np.asarray(np.interp(wave, known, values))


def photons_per_bin(flux: Array, wave: Floats = GRID) -> Floats:
    """Return the photons in 2 Å of 360 s and 5e5 cm² for a flux in erg/s/cm²/Å."""
    return np.asarray(flux * GRID_STEP * EXPOSURE_S * AREA_CM2 * wave / (PLANCK * LIGHT))


def bin_centres(width: float) -> Floats:
    """Return centres (n,) f8 of bins of a width, Å: as many as fit into the grid, one at 4540 Å."""
    first, last = GRID[0] - GRID_STEP / 2, GRID[-1] + GRID_STEP / 2
    below = int((ANCHOR - width / 2 - first) // width)
    above = int((last - ANCHOR - width / 2) // width)
    return ANCHOR + width * np.arange(-below, above + 1, dtype=np.float64)


@dataclass(frozen=True)
class Ratios:
    """Counts over photons.

    Attributes
    ----------
    centres
        (n_bin,) f8: Å.
    ratio
        (n_star, n_bin) f8; NaN where less than half of a bin is known.
    error
        (n_star, n_bin) f8: of the counts' noise.
    sky
        (n_star, n_bin) f8: what may be left of the sky.
    """

    centres: Floats
    ratio: Floats
    error: Floats
    sky: Floats


def combine_exposures(counts: Array, variance: Array, norm: Floats) -> tuple[Floats, Floats]:
    """Return spectra of stars as if seen in one exposure of norm 1.

    An exposure counts by its norm and the median of its variance: by variances of single pixels, which are smaller
    where there is by chance less light, faint light would come out too faint.

    Parameters
    ----------
    counts, variance
        (n_star, n_exp, n_wave): of the whole star, and of its noise; NaN where nothing is known.
    norm
        (n_exp,): how much light each exposure has, relative to their mean.

    Returns
    -------
    tuple
        Counts and variance, (n_star, n_wave) f8; NaN where no exposure knows anything.
    """
    known = np.isfinite(counts) & (variance > 0)
    scale = norm[None, :, None]
    usual = np.full((*counts.shape[:2], 1), np.inf)
    for k in np.ndindex(*counts.shape[:2]):
        if known[k].any():
            usual[k] = np.median(variance[k][known[k]])
    weight = np.where(known, scale**2 / usual, 0.0)
    total = weight.sum(axis=1)
    safe = np.where(total > 0, total, np.nan)
    mean = (weight * np.where(known, counts, 0) / scale).sum(axis=1) / safe
    noise = (weight**2 * np.where(known, variance, 0) / scale**2).sum(axis=1) / safe**2
    return mean, noise


def ratios(counts: Floats, variance: Floats, photons: Floats, width: float, sky: float = 0.0) -> Ratios:
    """Return how much of the photons of each star was counted, in bins.

    Parameters
    ----------
    counts, variance, photons
        (n_star, 1036), in each 2 Å of `GRID`; NaN where nothing is known.
    width
        Å of a bin.
    sky
        Counts that may be left of the sky, or lack with it, in each 2 Å of a star.
    """
    centres = bin_centres(width)
    ratio, error, left = np.full((3, len(counts), centres.size), np.nan)
    good = np.isfinite(counts) & np.isfinite(variance) & (photons > 0)
    counts, variance, photons = (np.where(good, values, 0.0) for values in (counts, variance, photons))
    for k, centre in enumerate(centres):
        inside = np.abs(GRID - centre) < width / 2
        known = good[:, inside].sum(axis=1) >= inside.sum() / 2
        sent = np.where(known, photons[:, inside].sum(axis=1), np.nan)
        ratio[:, k] = counts[:, inside].sum(axis=1) / sent
        error[:, k] = np.sqrt(variance[:, inside].sum(axis=1)) / sent
        left[:, k] = sky * good[:, inside].sum(axis=1) / sent
    return Ratios(centres, ratio, error, left)


@dataclass(frozen=True)
class Judged:
    """Which stars are taken.

    Attributes
    ----------
    level, scatter, rms
        (n_star,) f8: of ratio over reference its biweight, the biweight scale relative to that, and the rms of
        reference less normalised ratio.
    reason
        Why a star is not taken; empty if it is.
    """

    level: Floats
    scatter: Floats
    rms: Floats
    reason: tuple[str, ...]

    @property
    def taken(self) -> Bools:
        """(n_star,): whether a star is taken."""
        return np.array([not why for why in self.reason], bool)


def judge(
    found: Ratios, reference: Floats, *, max_scatter: float, max_rms: float, last: float, min_bins: int = 10
) -> Judged:
    """Compare the shapes of the stars' ratios with that of the reference.

    Parameters
    ----------
    found
        Of `ratios`.
    reference
        (n_bin,): the reference curve at the bins.
    max_scatter, max_rms
        A star with more of one of them is refused.
    last
        Å: bins beyond are not looked at.
    min_bins
        So many bins have to be known.
    """
    fitted = found.centres < last
    relative = np.where(fitted, found.ratio / reference, np.nan)
    level, scatter = biweight.location_scale(relative, axis=1)
    positive = level > 0
    safe = np.where(positive, level, np.nan)
    scatter = scatter / safe
    off = (reference - found.ratio / safe[:, None])[:, fitted]
    known = np.isfinite(off).sum(axis=1)
    rms = np.sqrt(np.nansum(off**2, axis=1) / np.maximum(known, 1))
    bins = np.isfinite(relative).sum(axis=1)
    reasons = []
    for k in range(len(relative)):
        if bins[k] < min_bins:
            reasons.append(f"{bins[k]} bins are known, fewer than {min_bins}")
        elif not positive[k]:
            reasons.append(f"its level is {level[k]:.3f}")
        elif not scatter[k] < max_scatter:
            reasons.append(f"scatter {scatter[k]:.3f}, not less than {max_scatter:g}")
        elif not rms[k] < max_rms:
            reasons.append(f"rms {rms[k]:.4f}, not less than {max_rms:g}")
        else:
            reasons.append("")
    return Judged(level, scatter, rms, tuple(reasons))


@dataclass(frozen=True)
class Curve:
    """A throughput.

    Attributes
    ----------
    throughput, low, high
        (n_bin,) f8: of the model, and its limits of 1 σ.
    data_over_fit
        (n_bin,) f8: what the stars say relative to the model; NaN where they say nothing.
    on_grid
        (1036,) f8: the model on `GRID`.
    coefficients
        Of the polynomial in (λ - 4500) / 2000.
    linear
        Of that with two coefficients, c1 and c2.
    """

    throughput: Floats
    low: Floats
    high: Floats
    data_over_fit: Floats
    on_grid: Floats
    coefficients: Floats
    linear: Floats


def fit_curve(
    found: Ratios, judged: Judged, reference: Floats, on_grid: Floats, degree: int, min_sn: float, last: float
) -> Curve:
    """Return the throughput that the taken stars tell.

    Parameters
    ----------
    found, judged
        Of `ratios` and `judge`; at least one star has to be taken.
    reference, on_grid
        (n_bin,) and (1036,): the reference curve at the bins and on `GRID`.
    degree
        Largest degree of the polynomial; 1 is the least.
    min_sn
        A star's bin with less signal-to-noise is not used.
    last
        Å: bins beyond are not fitted.

    Raises
    ------
    InputError
        If too few bins are known.
    """
    taken = judged.taken
    n_star = int(taken.sum())
    ratio, error = found.ratio[taken], np.hypot(found.error[taken], found.sky[taken])
    lit = ratio > min_sn * error
    relative = np.where(lit, error / np.where(lit, ratio, 1), np.nan)
    shape = np.where(lit, ratio / reference / judged.level[taken, None], np.nan)
    in_g = np.abs(found.centres - ANCHOR) < NEAR_ANCHOR
    sky = np.where(lit, found.sky[taken] / np.where(lit, ratio, 1), np.nan)[:, in_g]
    of_sky = np.array([np.median(one[np.isfinite(one)]) if np.isfinite(one).any() else 1.0 for one in sky])
    level, spread = weighted_biweight(judged.level[taken], np.hypot(of_sky, UNLIKE))
    data, scatter = weighted_biweight(shape, np.hypot(relative, UNLIKE))
    data = data * level
    known = np.isfinite(data) & (found.centres < last)
    if known.sum() < degree + 2:
        raise InputError(
            f"found {known.sum()} bins below {last:g} Å with signal-to-noise {min_sn:g} in {n_star} stars; expected "
            f"{degree + 2}: lower throughput.min_sn, or leave this shot out"
        )
    x = (found.centres - CENTRE) / WIDTH
    fits = [np.polynomial.polynomial.polyfit(x[known], data[known], d) for d in range(1, degree + 1)]
    best = min(fits, key=lambda fit: _schwarz(fit, x[known], data[known]))
    factor = np.polynomial.polynomial.polyval(x, best)
    model = np.maximum(reference * factor, LEAST)
    relative = np.hypot(
        spread / max(level, LEAST) / np.sqrt(n_star), np.where(np.isfinite(scatter), scatter, 0) / np.sqrt(n_star)
    )
    grid_factor = np.polynomial.polynomial.polyval((GRID - CENTRE) / WIDTH, best)
    return Curve(
        model,
        np.maximum(model * (1 - relative), 0),
        model * (1 + relative),
        data * reference / model,
        np.maximum(on_grid * grid_factor, LEAST),
        best,
        fits[0],
    )


def weighted_biweight(values: Floats, error: Floats) -> tuple[Any, Any]:
    """Return a biweight location over the first axis in which values count by their errors, and the biweight scale.

    Parameters
    ----------
    values
        (n, …): NaN is left out.
    error
        (n, …): of them.
    """
    middle, scale = biweight.location_scale(values, axis=0)
    wide = FAR * np.where(scale > 0, scale, np.inf)
    weight = np.clip(1 - ((values - middle) / wide) ** 2, 0, None) ** 2 / error**2
    known = np.isfinite(values) & np.isfinite(weight)
    total = np.where(known, weight, 0).sum(axis=0)
    mean = np.where(known, weight * values, 0).sum(axis=0) / np.where(total > 0, total, 1)
    return np.where(total > 0, mean, np.nan)[()], scale


def _schwarz(fit: Floats, x: Floats, data: Floats) -> float:
    off = data / np.polynomial.polynomial.polyval(x, fit) - 1
    mean_square = max(float(np.mean(off**2)), 1e-12)
    return float(x.size * np.log(mean_square) + fit.size * np.log(x.size))


def level_in_g(counts: Floats, g: Floats, on_grid: Floats) -> Floats:
    """Return for each star how its counts in g compare with the reference's, by its magnitude alone.

    Parameters
    ----------
    counts
        (n_star, 1036): NaN where nothing is known; those wavelengths are left out on both sides.
    g
        (n_star,): AB.
    on_grid
        (1036,): the reference curve.

    Returns
    -------
    Floats
        (n_star,): NaN where less than half of the band is known.
    """
    response = speclite.filters.load_filter("sdss2010-g")(GRID)
    known = np.isfinite(counts)
    flat = 10 ** (-0.4 * (g[:, None] + 48.6)) * LIGHT / GRID**2  # of constant F_ν
    expected = (np.where(known, photons_per_bin(flat) * on_grid, 0) * response).sum(axis=1)
    seen = (np.where(known, counts, 0) * response).sum(axis=1)
    enough = (known * response).sum(axis=1) > response.sum() / 2
    return np.where(enough & (expected > 0), seen / np.where(expected > 0, expected, 1), np.nan)
