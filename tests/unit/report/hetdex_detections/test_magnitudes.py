"""Magnitudes by spectra, against the definition of AB magnitudes."""

import numpy as np
import pytest

from skyharvest.report.hetdex_detections.magnitudes import ab_magnitude

WAVE = 3470.0 + 2.0 * np.arange(1036)


def test_a_spectrum_that_is_flat_in_frequency_has_its_magnitude():
    """20 mag are 3631 Jy · 10^-8 at all frequencies."""
    flux = 3631e-23 * 1e-8 * 2.99792458e18 / WAVE**2 / 1e-17
    magnitude, error, is_limit = ab_magnitude(flux, 0.1 * flux)
    assert magnitude == pytest.approx(20.0, abs=1e-3)
    assert error == pytest.approx(1.0857 * 0.1 / np.sqrt(701), rel=0.05)
    assert not is_limit


def test_what_is_not_seen_is_a_limit():
    flux, error = np.full(1036, -0.01), np.full(1036, 0.3)
    magnitude, its_error, is_limit = ab_magnitude(flux, error)
    assert is_limit and np.isnan(its_error)
    assert magnitude == pytest.approx(-2.5 * np.log10(2 * 0.3 / np.sqrt(701) * 1e-17 * 4670**2 / 3e18) - 48.6, abs=0.02)
    flux[:700] = np.nan
    assert np.isnan(ab_magnitude(flux, error)[0])
