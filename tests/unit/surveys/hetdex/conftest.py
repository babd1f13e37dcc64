"""A cube with noise, stars, flaws and all bits of the mask, for several modules' tests."""

import warnings

import numpy as np
import pytest
from astropy.wcs import FITSFixedWarning

from skyharvest.formats.hetdex_mask import MASK_BITS
from skyharvest.surveys.hetdex.cube import N_WAVE, SHAPE
from small_cubes import NAME, PLANES, SPECTRUM, by_astropy, gaussian, plane, write


@pytest.fixture
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", FITSFixedWarning)
        yield


@pytest.fixture(scope="module")
def voxels():
    """Noise, lines, NaN and zeros outside fibers, dead fibers, all bits: arrays as they are before compression."""
    rng = np.random.default_rng(20190405)
    sigma = (0.3 + 0.2 * np.cos(np.arange(104) / 7)[:, None] ** 2) * (1 + 0.3 * rng.random((104, 104)))
    error = plane(sigma, 1 + 2 * np.exp(-np.arange(N_WAVE) / 200))
    flux = error * rng.standard_normal(SHAPE, np.float32)
    for x, y in ((20.3, 30.8), (70.1, 71.9), (3.2, 50.0), (101.0, 100.0)):
        flux += plane(gaussian(x, y), 10 * SPECTRUM)
    mask = np.zeros(SHAPE, np.int16)
    for bit in MASK_BITS.values():
        mask[rng.integers(0, N_WAVE, 300), :, rng.integers(0, 104, 300)] |= bit
        mask[:, rng.integers(0, 104, 4), rng.integers(0, 104, 4)] |= bit
    error[:, 25:28, 18:22] = 0  # a dead fiber, with flux
    flux[300:400, 60:80, 60:80] = 1e-9  # unfilled
    error[500:520, 30:34, 20:24] = np.nan
    error[600:620, 33:36, 18:20] = np.nan
    error[640:660, 33:36, 18:20] *= -1
    outside = np.hypot(*(np.indices((104, 104)) - 51.5)) > 66
    flux[:, outside] = np.nan
    error[:, outside] = 0
    flux[:, :, :1] = np.nan
    return flux, error, mask


@pytest.fixture(scope="module")
def compressed(voxels, tmp_path_factory):
    return write(tmp_path_factory.mktemp("cubes") / NAME, *voxels, tiles=PLANES)


@pytest.fixture(scope="module")
def images(compressed):
    return by_astropy(compressed)
