"""Lines of known light that are put into the calibrated fibers of an IFU.

Their light is summed over points of each fiber's face, not looked up as the extraction does: what is wrong there is
seen. They have no noise of their own: that of a faint line's photons is small beside the sky's.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from skyharvest.core.arrays import Array, Bools, Floats
from skyharvest.reduction.hetdex.lines.completeness_file import INJECTED
from skyharvest.reduction.hetdex.lines.line_noise import fit_by_noise, line_in_bins, noise_at
from skyharvest.reduction.hetdex.source_settings import Completeness, Detections
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers
from skyharvest.reduction.hetdex.stars.moffat import BETA
from skyharvest.reduction.hetdex.stars.refraction import fwhm_at, shift
from skyharvest.reduction.hetdex.virus import FIBER_RADIUS, GRID

RINGS, SPOKES = 16, 24
"""Points of a fiber's face: rings of equal area."""
REACH = 15.0
"""Arcsec: fibers farther away get nothing."""
APART, WAVES_APART = 10.0, 150.0
"""Arcsec, or Å: lines of one round are so far from one another, and do not change what is found of another."""
MOST_TRIES = 50
"""Places that are drawn for each line, at most: an IFU of which hardly a fiber lives has no room."""


def draw(fibers: IfuFibers, noise_ratio: Floats, how: Completeness, search: Detections) -> Array:
    """Draw lines: evenly over the IFU, wavelengths, widths and signal to noise.

    Parameters
    ----------
    fibers
        Of the IFU, some.
    noise_ratio
        (1036,) f8: by which the noise of fibers' errors is multiplied.
    how
        How many there are, and of which S/N and widths.
    search
        Aperture, wavelengths and least coverage of the search.

    Returns
    -------
    (n,) of `INJECTED`: fewer than were asked for if there is no room.
    """
    rng = np.random.default_rng([how.seed, *fibers.shot.encode(), *str(fibers.ifu).encode()])
    rows = np.zeros(0, INJECTED)
    for _ in range(MOST_TRIES):
        tried = np.zeros(how.lines, INJECTED)
        for name, low, high in (
            ("x", fibers.x.min(), fibers.x.max()),
            ("y", fibers.y.min(), fibers.y.max()),
            ("wave", search.first_wave, search.last_wave),
            ("linewidth", how.narrowest, how.widest),
            ("sn", how.faintest_sn, how.brightest_sn),
        ):
            tried[name] = rng.uniform(low, high, len(tried))
        where = [tried[name].astype(np.float64) for name in ("x", "y", "wave", "linewidth")]
        noise, tried["coverage"] = noise_at(fibers, search.aperture, *where)
        tried["noise"] = noise * np.interp(tried["wave"], GRID, noise_ratio)
        seen = np.isfinite(noise) & (tried["coverage"] >= search.least_coverage)
        rows = np.concatenate([rows, tried[seen]])[: how.lines]
        if len(rows) == how.lines:
            break
    rows["flux"] = rows["sn"] * rows["noise"]
    rows["sn_fit"] = rows["sn"] / fit_by_noise(rows["linewidth"].astype(np.float64), search.fit_half_width)
    rows["ra"], rows["dec"] = fibers.pointing.to_sky(rows["x"], rows["y"])
    rows["round"] = _rounds(rows)
    return rows[np.argsort(rows["round"], kind="stable")]


def _rounds(rows: Array) -> Array:
    """Return the first round that has room for each line, (n,) from 0."""
    made = np.full(len(rows), -1)
    for k, one in enumerate(rows):
        close = np.hypot(rows["x"] - one["x"], rows["y"] - one["y"]) < APART
        close &= np.abs(rows["wave"] - one["wave"]) < WAVES_APART
        taken = set(made[close].tolist())
        made[k] = next(number for number in range(len(rows)) if number not in taken)
    return made


def rounds_of(fibers: IfuFibers, rows: Array) -> Iterator[tuple[Bools, IfuFibers]]:
    """Yield for each round which lines it has, (n,) bool, and the fibers with their light."""
    for number in np.unique(rows["round"]).tolist():
        chosen = rows["round"] == number
        flux = fibers.flux.astype(np.float64)
        for one in rows[chosen]:
            share = shares(fibers, *(float(one[name]) for name in ("x", "y", "wave")))
            flux += float(one["flux"]) * share[:, None] * line_in_bins(float(one["wave"]), float(one["linewidth"]))
        yield chosen, replace(fibers, flux=flux.astype(np.float32))


def shares(fibers: IfuFibers, x: float, y: float, wave: float) -> Floats:
    """Return the share of a source's light in each fiber at a wavelength, (n,) f8, by a sum over its face."""
    dx, dy = fibers.x - x - float(shift(np.array([wave]))[0]), fibers.y - y
    near = np.hypot(dx, dy) < REACH
    radius = FIBER_RADIUS * np.sqrt((np.arange(RINGS) + 0.5) / RINGS)[:, None]
    angle = 2 * np.pi * np.arange(SPOKES) / SPOKES
    on_x, on_y = (radius * of(angle) for of in (np.cos, np.sin))
    distance = np.hypot(dx[near, None, None] + on_x, dy[near, None, None] + on_y)
    # A Moffat profile by its core's width, α = FWHM / (2 √(2^(1/β) - 1)).
    core = fwhm_at(np.array(wave), 1.0) * fibers.fwhm[near] / (2 * np.sqrt(2 ** (1 / BETA) - 1))
    profile = (1 + (distance / core[:, None, None]) ** 2) ** -BETA
    made = np.zeros(len(fibers))
    made[near] = (BETA - 1) / (np.pi * core**2) * profile.mean((1, 2)) * np.pi * FIBER_RADIUS**2
    return made
