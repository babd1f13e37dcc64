"""A science frame's spectra, against the light that was put in: pulls, a star and its neighbours, what is missing."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from scipy.stats import skew

from hetdex_amplifier import READNOISE, SIGMA, Amplifier, N, add_rays, observed, sky
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.detector.profile import first_guess
from skyharvest.reduction.hetdex.settings import Background, Cosmics, Extract, Sky
from skyharvest.reduction.hetdex.spectra.multifits import COUNTS, LAYOUT
from skyharvest.reduction.hetdex.spectra.reduced_amp import AmpCalibration, HowToReduce, reduce_amp

HOW = HowToReduce(Background(), Cosmics(), Extract(), Sky())
STAR = 40


def calibration(amp, **other):
    """Return the true calibration, of a flat detector with a bias of 20 electrons at its left."""
    bias = np.where(np.arange(N) < 300, 20, 0).astype(np.float32) * np.ones((N, 1), np.float32)
    kept = {
        "bias": bias,
        "flat": np.ones((N, N), np.float32),
        "good": np.ones((N, N), bool),
        "trace": amp.trace,
        "alive": amp.alive,
        "profile": first_guess(SIGMA),
        "wavelength": amp.wave,
        "throughput": np.where(amp.alive[:, None], amp.fiber_to_fiber * 0.9, np.nan),
    }
    return AmpCalibration(**(kept | other))


def frame(amp, counts, seed=1, offset=0.15, rays=200):
    """Return a frame of normalised counts, of an amplifier with 0.9 of the field's throughput."""
    rng = np.random.default_rng(seed)
    image = observed(amp.paint(counts * 0.9 * amp.norm, offset=offset), rng)
    add_rays(image, rng, rays)
    return image + calibration(amp).bias


@pytest.fixture(scope="module")
def reduced():
    """A frame with a star of 30,000 counts, whose light its neighbours on the sky have, too, and the true light."""
    amp = Amplifier()
    light = np.zeros(amp.wave.shape)
    light[STAR] = 30_000 * np.interp(amp.wave[STAR], [3470, 5500], [0.3, 1])
    light[STAR + 1] = 0.05 * light[STAR]
    return amp, light, reduce_amp(frame(amp, sky(amp.wave) + light), READNOISE, calibration(amp), HOW)


def test_pulls_of_sky_fibers_are_1(reduced):
    amp, light, made = reduced
    spectra, error = made.arrays["sky_subtracted"], made.arrays["error1d"]
    free = amp.alive & (light.max(1) == 0)
    pull = (spectra / error)[free]
    pull = pull[np.isfinite(pull)]
    assert np.std(pull) == pytest.approx(1, abs=0.03)
    assert abs(pull.mean()) < 0.03
    line = np.abs(amp.wave[free] - 5460.7) < 5
    assert np.nanstd((spectra / error)[free][line]) == pytest.approx(1, abs=0.08)
    assert np.nanmedian(made.arrays["sky_spectrum"] / sky(amp.wave)) == pytest.approx(1, abs=0.01)


def test_sums_of_bins_are_as_often_high_as_low():
    """Errors that follow the light of a few neighbours make what is low by chance seem surer than what is high."""
    amp, found = Amplifier(), []
    for seed in range(1, 6):
        made = reduce_amp(frame(amp, sky(amp.wave), seed), READNOISE, calibration(amp), HOW)
        spectra, error = (made.arrays[name][amp.alive].astype(float) for name in ("sky_subtracted", "error1d"))
        sums, variance = (sliding_window_view(values, 5, axis=1).sum(-1) for values in (spectra, error**2))
        pull = sums / np.sqrt(variance)
        found.append(skew(pull[np.isfinite(pull)]))
    assert abs(np.mean(found)) < 0.03


def test_a_bright_star_keeps_its_light_and_its_neighbours_on_the_detector_get_none(reduced):
    _, light, made = reduced
    spectra, error = made.arrays["sky_subtracted"], made.arrays["error1d"]
    assert np.isfinite(spectra[STAR]).mean() > 0.98
    assert np.nanmedian(spectra[STAR] / light[STAR]) == pytest.approx(1, abs=0.005)
    for fiber in (STAR - 2, STAR - 1, STAR + 1, STAR + 2):
        off = np.nanmean(spectra[fiber] - light[fiber])
        assert abs(off) < max(4 * np.nanmedian(error[fiber]) / np.sqrt(N), 1.5)


def test_images_belong_together_and_what_is_missing_is_nan(reduced):
    amp, _, made = reduced
    arrays, counts, values = made.arrays, made.counts, made.values
    assert set(arrays) == set(LAYOUT) - {"", "ifupos"}
    assert tuple(counts) == COUNTS
    left = (arrays["processed"] - arrays["model2d"]) / arrays["error"]
    assert np.nanstd(left) == pytest.approx(np.sqrt(1 - 111 / 1032), abs=0.02)  # of 1032 pixels 111 fit the fibers
    assert np.isnan(arrays["clean_image"]).sum() == values["n_cosmics"]
    assert np.nanmedian(arrays["clean_image"]) == pytest.approx(0, abs=0.3)
    for name in ("spectrum", "error1d", "sky_subtracted", "rms", "chi2"):
        assert np.isnan(arrays[name][~amp.alive]).all(), name
        assert not (arrays[name] == 0).any(), name
    assert np.isfinite(arrays["sky_spectrum"][~amp.alive]).all()
    assert counts["NBTRACE"] == 1
    assert counts["NBACK"] + counts["NBACKB"] == 111
    assert values["trace_shift"] == pytest.approx(0.15, abs=0.01)
    assert np.nanmedian(arrays["rms"]) == pytest.approx(np.nanmedian(arrays["error"]), rel=0.1)


def test_bad_pixels_and_bad_fits_have_no_spectrum():
    amp = Amplifier()
    good = np.ones((N, N), bool)
    row = int(amp.trace[20, 500])
    good[row - 4 : row + 5, 490:510] = False
    image = frame(amp, sky(amp.wave))
    image[int(amp.trace[70, 300]) + 3 :, 300] -= 400  # an artefact: light is missing from a half of each profile
    made = reduce_amp(image, READNOISE, calibration(amp, good=good), HOW)
    for name in ("spectrum", "error1d", "sky_subtracted"):
        assert np.isnan(made.arrays[name][20, 490:510]).all()
        assert np.isnan(made.arrays[name][71:110, 300]).mean() > 0.9
        assert np.isfinite(made.arrays[name][:, 310:480]).mean() > 0.98
    assert np.nanmin(made.arrays["chi2"][71:110, 300]) > 10  # says why
    assert np.isnan(made.arrays["flat"][~good]).all()
    assert np.isfinite(made.arrays["flat_orig"]).all()


def test_amplifiers_of_different_skies_each_have_their_own():
    for scale, seed in ((0.7, 5), (2.5, 6)):
        amp = Amplifier(seed=seed, gaps=(34, 73), dead=(0, 90))
        made = reduce_amp(frame(amp, sky(amp.wave, scale), seed), READNOISE, calibration(amp), HOW)
        pull = made.arrays["sky_subtracted"] / made.arrays["error1d"]
        assert np.nanstd(pull) == pytest.approx(1, abs=0.04)
        assert np.nanmedian(made.arrays["sky_spectrum"] / sky(amp.wave, scale)) == pytest.approx(1, abs=0.01)


def test_a_frame_without_light_is_an_error():
    amp = Amplifier()
    image = np.random.default_rng(1).normal(0, READNOISE, (N, N)).astype(np.float32) + calibration(amp).bias
    with pytest.raises(InputError, match="no light of the sky"):
        reduce_amp(image, READNOISE, calibration(amp), HOW)


def test_the_noise_of_a_smoothed_bias_is_in_the_errors():
    amp = Amplifier()
    month = calibration(amp)
    frames = np.random.default_rng(9).normal(0, READNOISE / 2, (N, N))  # the mean of four
    smoothed = sum(np.roll(frames, k, axis=0) for k in range(-3, 4)) / 7
    image = frame(amp, sky(amp.wave)) - month.bias
    noisy = calibration(amp, bias=smoothed.astype(np.float32), bias_noise=0.85 * READNOISE / 2)
    made = reduce_amp(image, READNOISE, noisy, HOW)
    pull = made.arrays["sky_subtracted"] / made.arrays["error1d"]
    assert np.nanstd(pull) == pytest.approx(0.995, abs=0.015)  # the fibers tell the sky themselves
