"""Traces, against where the light was painted; and fibers, none shifted by one."""

from dataclasses import replace

import numpy as np
import pytest

from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.calibration.trace import find_traces
from skyharvest.reduction.hetdex.detector.background import scattered_light
from skyharvest.reduction.hetdex.detector.extraction import model_image
from skyharvest.reduction.hetdex.settings import Background, Trace
from skyharvest.simulate.hetdex_month.optics import Fibers, build, scatter
from skyharvest.simulate.hetdex_month.spectra import SUN_SIGMA, Seen, twilight

N_FRAMES = 3
NOISE = 3.0


def amplifier(seed: int = 5, dark: tuple[int, ...] = (), **fibers):
    """Return the optics of an amplifier, and a mean of twilights with its variance."""
    rng = np.random.default_rng(seed)
    optics = build(Fibers(**fibers), rng, rng)
    optics.fiber_to_fiber[list(dark)] = 0
    optics.alive[list(dark)] = False
    light = optics.paint(Seen(twilight(), SUN_SIGMA).at(optics.wavelength, optics.lsf) * optics.response)
    expected = light * 0.965 + scatter(light)
    image = rng.poisson(expected * N_FRAMES) / N_FRAMES + rng.normal(0, NOISE / np.sqrt(N_FRAMES), expected.shape)
    variance = (np.maximum(image, 0) + NOISE**2) / N_FRAMES
    return optics, image.astype("f4"), variance.astype("f4")


def traced(image, variance, named=(), good=None, settings=None):
    good = np.ones(image.shape, bool) if good is None else good

    def scattered(trace):
        return scattered_light(image, trace, good, Background()).image

    return find_traces(image, variance, good, scattered, settings or Trace(), named)


def check(found, optics, far: float = 0.012, fiber: float = 0.03) -> None:
    np.testing.assert_array_equal(found.alive, optics.alive)
    off = (found.trace - optics.trace)[optics.alive]
    assert np.sqrt((off**2).mean()) < far
    assert np.sqrt((off**2).mean(axis=1)).max() < fiber
    assert np.isfinite(found.trace).all()
    assert (np.diff(found.trace, axis=0) > 0).all()


@pytest.mark.parametrize(
    ("fibers", "named"),
    [
        ({"dead": (0, 56, 111)}, ()),
        ({"gaps": (34, 74), "missing": (20,), "dead": (60,)}, (20, 60)),
        ({"gaps": (30, 80), "dark": (50,)}, (50,)),
        ({"gaps": (32, 69), "dead": (2, 18, 110)}, ()),
    ],
    ids=["dead at both ends", "one is missing", "dark", "dead near both ends"],
)
def test_fibers_are_where_their_light_is_and_none_is_shifted_by_one(fibers, named):
    optics, image, variance = amplifier(**fibers)
    found = traced(image, variance, named)
    check(found, optics)
    assert found.numbers.gaps == tuple(fibers.get("gaps", (37, 75)))
    assert found.rms < 0.03
    assert 0.8 < found.chi2 < 1.2
    dead = np.array(fibers.get("dead", ()), int)
    assert np.abs(found.trace[dead] - optics.trace[dead]).max(initial=0) < 0.8
    np.testing.assert_allclose(found.light[dead], 0.02, atol=0.008)
    alone = np.zeros((112, 1032))
    alone[40] = 1.0
    weights = found.profile.weights(np.where(np.isfinite(optics.trace), optics.trace, 0))
    off = optics.paint(alone) - model_image(alone, weights)
    assert np.abs(off[:, 20:]).max() < 0.005  # of 0.2 in the middle


def test_neither_a_star_like_defect_nor_masked_pixels_bend_a_trace():
    optics, image, variance = amplifier(seed=8)
    y, x = np.mgrid[:1032, :1032]
    middle = optics.trace[40, 516] + 2
    image += (4e4 * np.exp(-0.5 * ((y - middle) ** 2 + (x - 516.0) ** 2) / 9)).astype("f4")
    image[300:340, 700:730] *= 0.3
    good = np.ones(image.shape, bool)
    good[:, 250] = False
    image[~good] = 1e5
    found = traced(image, variance, good=good)
    check(found, optics)


def test_what_cannot_be_traced_is_an_error():
    _, image, variance = amplifier(gaps=(34, 74), missing=(20,))
    with pytest.raises(InputError, match=r"found 111 fibers.* 33, 40, 38; 1 of 112 lacking"):
        traced(image, variance)
    dark = np.random.default_rng(1).normal(0, 3, image.shape).astype("f4")
    with pytest.raises(InputError, match="is the amplifier dead"):
        traced(dark, np.full_like(dark, 9))


def test_named_fibers_are_not_used_although_they_have_light():
    optics, image, variance = amplifier()
    found = traced(image, variance, named=(70,))
    expected = replace(optics, alive=np.arange(112) != 70)
    check(found, expected)
    assert found.light[70] > 0.5
