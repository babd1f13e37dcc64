"""Errors of lines from noise that is added to them, many times.

To what fibers should have of a line, noise is added as large as theirs is; place and line are fitted to it, as before.
The scatter of the results is the error, with all that is not linear, as where the place is fitted, too. The noise is
that of sums of a few bins (`Search.ratio`), and the same in each run.
"""

from dataclasses import replace

import numpy as np

from skyharvest.reduction.hetdex.lines.gaussian_fit import fit
from skyharvest.reduction.hetdex.lines.line_fit import Line, LineFitter
from skyharvest.reduction.hetdex.lines.line_search import Search
from skyharvest.reduction.hetdex.source_settings import Detections
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers

FEWEST = 10
"""Fits that succeed: the scatter of fewer is no error, and those of the model stay."""


def with_errors(fibers: IfuFibers, found: Search, lines: list[Line], how: Detections) -> list[Line]:
    """Return lines with errors of flux, wavelength, width, continuum, signal to noise, χ² and position."""
    fitter = LineFitter(fibers, found, how)
    return [_with_errors(fitter, line, how) for line in lines]


def _with_errors(fitter: LineFitter, line: Line, how: Detections) -> Line:
    near = fitter.neighbourhood(line.candidate)
    share = near.share(line.place.x, line.place.y, line.fit.wave)[:, None]
    light = share * line.fit.line(near.wave)
    sigma = np.where(near.inverse > 0, line.noise_ratio / np.sqrt(np.where(near.inverse > 0, near.inverse, 1.0)), 0.0)
    random = np.random.default_rng(round(1000 * line.fit.wave))
    found: list[list[float]] = []
    for _ in range(how.monte_carlo):
        noisy = near.holding(light + sigma * random.standard_normal(sigma.shape))
        place = noisy.best(line.candidate.x, line.candidate.y, line.candidate.wave)
        if place is None:
            continue
        spectrum, inverse = noisy.spectrum(place.x, place.y, line.candidate.wave)
        alone = noisy.fit(place.x, place.y, line.candidate.wave)
        made = fit(near.wave, spectrum, inverse, line.candidate.wave, how.filter_width)
        if made is None or alone is None:
            continue
        of_bins = made.chi2 / made.n_free / line.noise_ratio**2
        sn = alone.flux / alone.noise / line.noise_ratio
        found.append([made.flux, made.wave, made.width, made.continuum, made.slope, sn, of_bins, place.x, place.y])
    if len(found) < FEWEST:
        return line
    errors = np.std(found, axis=0, ddof=1)
    return replace(
        line,
        errors=errors[:5],
        sn_err=float(errors[5]),
        chi2_err=float(errors[6]),
        place=replace(line.place, x_err=float(errors[7]), y_err=float(errors[8])),
    )
