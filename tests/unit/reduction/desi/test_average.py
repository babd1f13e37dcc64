"""The PSF of a night: the mean of its arcs', without what stands out."""

from dataclasses import replace

import numpy as np
import pytest

from reduction_camera import camera, psf_of
from skyharvest.reduction.desi.psf.average import average
from skyharvest.reduction.desi.psf.model import to_domain

MADE = camera(n_fiber=50)
NAMES = ["arc 1", "arc 2", "arc 3"]
WAVE = np.linspace(7450, 7800, 20)


def arcs(*moves: float):
    """Return PSFs whose traces are moved in x, with a good χ²."""
    return [replace(psf_of(MADE, move), chi2=np.full(50, 1.0 + 0.01 * k)) for k, move in enumerate(moves)]


def moved(psf) -> np.ndarray:
    return (psf.traces(WAVE)[0] - psf_of(MADE).traces(WAVE)[0]).mean(axis=1)


def test_it_is_the_mean_of_all_that_is_well():
    made = average(arcs(0.01, 0.03), NAMES[:2])
    np.testing.assert_allclose(moved(made), 0.02, atol=1e-9)
    np.testing.assert_allclose(made.chi2, 1.005)
    assert (made.status == 0).all()


def test_a_fiber_that_one_arc_has_not_measured_is_the_others():
    first, second = arcs(0.01, 0.03)
    status = np.zeros(50, np.int64)
    status[[4, 7]] = 1
    both = np.zeros(50, np.int64)
    both[7] = 1
    made = average([replace(first, status=status), replace(second, status=both)], NAMES[:2])
    assert moved(made)[[3, 4, 7]] == pytest.approx([0.02, 0.03, 0.02])
    assert np.flatnonzero(made.status).tolist() == [7]


def test_a_bundle_with_a_bad_fit_and_an_arc_that_is_elsewhere_are_left_out_and_said(caplog):
    first, second, third = arcs(0.0, 0.02, 0.04)
    chi2 = second.chi2.copy()
    chi2[25:] = 9.0
    made = average([first, replace(second, chi2=chi2), third], NAMES)
    np.testing.assert_allclose(moved(made)[:25], 0.02, atol=1e-9)
    np.testing.assert_allclose(moved(made)[25:], 0.02, atol=1e-9)
    assert "arc 2: 25 fibers are not taken" in caplog.text
    far = psf_of(MADE, 0.8)
    made = average([first, replace(far, chi2=second.chi2), third], NAMES)
    np.testing.assert_allclose(moved(made), 0.02, atol=1e-9)
    assert "arc 2: 50 fibers are not taken" in caplog.text


def test_polynomials_of_other_domains_are_the_same():
    first, second = arcs(0.01, 0.03)
    old, new = (second.wave_min, second.wave_max), (second.wave_min - 20, second.wave_max + 9)
    wider = replace(
        second,
        x=to_domain(second.x, old, new),
        y=to_domain(second.y, old, new),
        shape={name: to_domain(values, old, new) for name, values in second.shape.items()},
        wave_min=new[0],
        wave_max=new[1],
    )
    made = average([first, wider], NAMES[:2])
    np.testing.assert_allclose(moved(made), 0.02, atol=1e-6)


def test_psfs_of_two_cameras_are_refused():
    other = psf_of(camera(n_y=800, n_fiber=50))
    with pytest.raises(ValueError, match="arc 2: n_y is 800, and 700 in arc 1: one camera was expected"):
        average([psf_of(MADE), other], NAMES[:2])
