"""Where the sky has lines."""

import numpy as np
import pytest

from skyharvest.report.hetdex_detections.sky_light import continuum_of, is_on_sky_line, lines_of

WAVE = 3470.0 + 2.0 * np.arange(1036)


@pytest.fixture
def sky():
    """A sloping sky with a line of mercury, which is unknown from 5000 Å on."""
    made = 100 + 0.02 * (WAVE - 3470) + 60 * np.exp(-0.5 * ((WAVE - 4358.3) / 2.4) ** 2)
    made[WAVE >= 5000] = np.nan
    return made


def test_lines_of_the_sky_are_above_its_continuum(sky):
    near = np.abs(WAVE - 4358.3) < 1.5
    assert lines_of(sky)[near].max() == pytest.approx(60.0, abs=3.0)
    np.testing.assert_allclose(continuum_of(sky)[100:600], 100 + 0.02 * (WAVE - 3470)[100:600], atol=0.5)
    assert np.isnan(lines_of(sky)[WAVE >= 5000]).all()


@pytest.mark.parametrize(("wave", "is_on"), [(4358.0, True), (4364.0, True), (4380.0, False), (5200.0, False)])
def test_a_line_is_on_one_of_the_sky(sky, wave, is_on):
    assert is_on_sky_line(sky, wave, 2.7) is is_on
