"""Redshift guesses against other people's numbers, and against spectra whose lines are known."""

import numpy as np
import pytest

from skyharvest.report.hetdex_detections.line_fluxes import measure_lines
from skyharvest.report.hetdex_detections.redshift_guesses import ObservedLine, guess_redshifts

WAVE = 3470.0 + 2.0 * np.arange(1036)
SIGMA, NOISE = 2.7, 0.3
AIR = {"[O II]": 3727.42, "Hβ": 4861.325, "[O III]": 5006.843, "Hγ": 4340.464}
"""Å in air: NIST and the SDSS's table; [O II] is the mean of its two lines."""
VACUUM = {"Lyα": 1215.67, "[O II]": 3728.48, "Hβ": 4862.683, "[O III]": 5008.240, "C IV": 1549.06}


def spectrum(lines, continuum=0.0, sigma=SIGMA):
    """Return a spectrum without noise: wavelength and flux of lines."""
    made = np.full(WAVE.shape, float(continuum))
    for wave, flux in lines:
        made += flux * np.exp(-0.5 * ((WAVE - wave) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)
    return made


def guesses(lines, continuum=0.0, sigma=SIGMA, continuum_error=0.04):
    wave, flux = lines[0]
    line = ObservedLine(wave, flux, 1.5, sigma, continuum, continuum_error)
    return guess_redshifts(line, WAVE, spectrum(lines, continuum, sigma), np.full(WAVE.shape, NOISE))


def by_label(found, label):
    return next(guess for guess in found if guess.label == label)


def test_redshifts_are_those_of_vacuum():
    """A line at 5006.843 Å in air is [O III] at rest, or what else has 5008.240 Å in vacuum."""
    found = guesses([(5006.843, 20.0)])
    labels = [guess.label for guess in found]
    assert len(labels) == len(set(zip(labels, (guess.rest for guess in found), strict=True)))
    at_rest = next(guess for guess in found if guess.label == "[O III]" and guess.rest > 5000)
    assert at_rest.redshift == pytest.approx(0.0, abs=2e-6)
    for label in ("Lyα", "[O II]", "C IV"):
        assert by_label(found, label).redshift == pytest.approx(5008.240 / VACUUM[label] - 1, abs=2e-6)
    assert sum(guess.probability for guess in found) == pytest.approx(1.0)
    assert min(guess.redshift for guess in found) >= -0.001


def test_luminosities_and_equivalent_widths():
    lya = by_label(guesses([(4300.0, 20.0)], continuum=0.5), "Lyα")
    z_lya = 4301.21 / 1215.67 - 1
    assert lya.redshift == pytest.approx(z_lya, abs=1e-4)
    x = np.linspace(0, z_lya, 20_001)  # Hogg 1999, arXiv:astro-ph/9905116, eq. 15 and 21
    distance = (1 + z_lya) * 299792.458 / 70 * np.trapezoid(1 / np.sqrt(0.3 * (1 + x) ** 3 + 0.7), x)  # Mpc
    assert lya.luminosity == pytest.approx(4 * np.pi * (distance * 3.0856776e24) ** 2 * 20e-17, rel=1e-3)
    assert lya.width == pytest.approx(40.0 / (1 + z_lya), rel=1e-4)
    assert lya.width_error == pytest.approx(lya.width * np.hypot(1.5 / 20, 0.04 / 0.5), rel=1e-6)


def test_width_without_a_continuum_is_a_limit():
    lya = by_label(guesses([(4300.0, 20.0)], continuum=-0.03), "Lyα")
    assert np.isnan(lya.width)
    assert lya.width_least == pytest.approx(20.0 / 0.08 / (1 + lya.redshift), rel=1e-6)


@pytest.mark.parametrize("detected", ["[O II]", "[O III]", "Hβ"])
def test_a_galaxy_is_known_by_any_of_its_lines(detected):
    z = 0.08
    fluxes = {"[O II]": 20.0, "Hβ": 7.0, "[O III]": 15.0}
    waves = {label: AIR[label] * (1 + z) for label in fluxes}  # the index of air hardly changes between
    order = sorted(fluxes, key=lambda label: label != detected)
    found = guesses([(waves[label], fluxes[label]) for label in order], continuum=0.6)
    best = found[0]
    assert (best.label, best.kind) == (detected, "galaxy")
    assert best.redshift == pytest.approx(z, abs=1e-4)
    assert best.probability > 0.95 and best.sureness == "sure, by more than one line"
    measured = {line.label: line for line in best.others if line.wave < 4900 * (1 + z) or line.wave > 5000 * (1 + z)}
    for label in order[1:]:
        assert measured[label].wave == pytest.approx(waves[label], abs=0.1)
        assert measured[label].flux == pytest.approx(fluxes[label], rel=0.02)
    assert measured["Hγ"].flux == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize(
    ("continuum", "best"),
    [(0.0, "Lyα"), (0.15, "Lyα"), (3.0, "[O II]")],
)
def test_equivalent_width_tells_lyman_alpha_from_oxygen(continuum, best):
    assert guesses([(4300.0, 20.0)], continuum)[0].label == best


def test_an_agn_is_known_by_its_broad_lines():
    z = 2.3
    waves = [(VACUUM[label] * (1 + z) - 1.2, flux) for label, flux in (("C IV", 60.0), ("Lyα", 200.0))]
    best = guesses(waves, continuum=1.0, sigma=7.5)[0]
    assert (best.label, best.kind) == ("C IV", "AGN")
    assert [line.label for line in best.seen] == ["Lyα"]


def test_nothing_is_guessed_of_what_is_not_known():
    line = ObservedLine(np.nan, 20.0, 1.0, 2.7, 0.0, 0.1)
    assert guess_redshifts(line, WAVE, spectrum([]), np.full(WAVE.shape, NOISE)) == []
    unknown = np.full(WAVE.shape, np.nan)
    found = guess_redshifts(ObservedLine(4300.0, 20.0, 1.0, 2.7, np.nan, np.nan), WAVE, unknown, unknown)
    assert found[0].label == "Lyα"
    assert all(np.isnan(line.flux) for guess in found for line in guess.others)


def test_fluxes_are_those_of_least_squares():
    random = np.random.default_rng(2)
    error = random.uniform(0.2, 0.6, WAVE.size)
    flux = spectrum([(4301.3, 20.0), (3480.0, 15.0)], 0.4) + error * random.normal(size=WAVE.size)
    flux[410] = np.nan  # 4290 Å
    centres, sigmas = np.array([4301.3, 3474.0, 4100.0, 5600.0, np.nan]), np.array([2.7, 3.0, 2.0, 2.7, 2.7])
    found, its_error, continuum, chi2 = measure_lines(WAVE, flux, error, centres, sigmas)
    for k in (0, 2):
        middle = WAVE[np.argmin(np.abs(WAVE - centres[k]))]
        used = (np.abs(WAVE - middle) <= 40) & np.isfinite(flux)
        x = WAVE[used] - centres[k]
        design = np.column_stack(
            [np.exp(-0.5 * (x / sigmas[k]) ** 2) / np.sqrt(2 * np.pi) / sigmas[k], np.ones(x.size), x]
        )
        weighted = design / error[used][:, None]
        solved, *_ = np.linalg.lstsq(weighted, flux[used] / error[used], rcond=None)
        assert (found[k], continuum[k]) == pytest.approx(tuple(solved[:2]), rel=1e-8)
        left = weighted @ solved - flux[used] / error[used]
        assert chi2[k] == pytest.approx((left**2).sum() / (used.sum() - 3), rel=1e-8)
        assert its_error[k] == pytest.approx(np.sqrt(np.linalg.inv(weighted.T @ weighted)[0, 0]), rel=1e-8)
    assert np.isnan(found[[1, 3, 4]]).all()  # on an edge, beyond it, nowhere
