"""Shifts of traces, against those that were put in."""

import numpy as np
import pytest

from hetdex_amplifier import READNOISE, SIGMA, Amplifier, N, U, add_rays, observed, sky
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.detector.profile import first_guess
from skyharvest.reduction.hetdex.settings import Cosmics, Extract
from skyharvest.reduction.hetdex.spectra.trace_shift import shifted_traces

SCATTERED, ONE = np.full((N, N), 0.5, np.float32), np.ones((N, N), np.float32)


def measure(amp, offset, settings=None):
    rng = np.random.default_rng(1)
    light = sky(amp.wave) * amp.norm
    light[30] += 20_000
    image = observed(amp.paint(light, offset=offset), rng)
    add_rays(image, rng, 220)
    image -= SCATTERED
    good = np.ones(image.shape, bool)
    how = settings or Extract()
    return shifted_traces(
        image, good, amp.trace, amp.alive, first_guess(SIGMA), SCATTERED, ONE, READNOISE, how, Cosmics()
    )


@pytest.mark.parametrize("middle", [0.0, -0.35, 0.7])
def test_a_shift_and_its_slope_are_found_to_a_hundredth_of_a_pixel(middle):
    amp = Amplifier()
    offset = middle + 0.1 * U
    found = measure(amp, offset)
    assert np.abs(found.trace - amp.trace - offset)[amp.alive].max() < 0.012
    assert found.shift == pytest.approx([middle, 0.1, 0], abs=0.01)


def test_traces_that_have_moved_too_far_are_an_error():
    with pytest.raises(InputError, match=r"traces that are 0\.[5-7]\d pixels .* expected at most 0\.5"):
        measure(Amplifier(), 0.7, Extract(most_trace_shift=0.5))
