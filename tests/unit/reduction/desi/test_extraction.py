"""Extraction, against the equations solved at once for a whole small image, and against the light that was put in."""

import numpy as np
import pytest
from scipy.sparse import dia_array

from reduction_camera import camera, noisy, psf_of
from skyharvest.reduction.desi.extraction.bundle import Patching, diagonals, extract
from skyharvest.reduction.desi.extraction.variance import modelled_ivar

STEP = 0.8


def waves(made) -> np.ndarray:
    return np.arange(made.first, made.last + STEP / 2, STEP)


def dense(psf, wave):
    """Return the image of every unknown alone, (n_pixel, n_fiber, n_wave)."""
    spots = psf.spots(wave)
    n_y, n_x = spots.values.shape[2:]
    margin = 60  # some of them are off the image
    images = np.zeros((*spots.values.shape[:2], psf.n_y + 2 * margin, psf.n_x))
    for f, w in np.ndindex(images.shape[:2]):
        x, y = spots.corners[f, w]
        images[f, w, y + margin : y + margin + n_y, x : x + n_x] = spots.values[f, w]
    images = images[:, :, margin:-margin]
    return images.reshape(*images.shape[:2], -1).transpose(2, 0, 1)


def test_one_patch_is_the_least_squares_solution_with_its_decorrelated_errors():
    """Bolton & Schlegel 2010, written down once more, with dense matrices and no patches."""
    made = camera(n_y=120, n_fiber=4)
    psf = psf_of(made)
    wave = waves(made)
    rng = np.random.default_rng(3)
    pad = 12
    padded = np.concatenate([wave[0] - STEP * np.arange(pad, 0, -1), wave, wave[-1] + STEP * np.arange(1, pad + 1)])
    on = dense(psf, padded)
    light = rng.uniform(50, 500, on.shape[1:])
    image, ivar = noisy(np.tensordot(on, light, 2).reshape(psf.n_y, psf.n_x), 3.0)
    ivar[40:43, 230:240] = 0
    found = extract(image, ivar, psf, wave, Patching(n_fiber=4, n_wave=len(wave), pad_wave=pad, pad_pixels=1.0))
    a = on.reshape(len(on), -1)
    precision = (a.T * ivar.ravel()) @ a
    covariance = np.linalg.inv(precision + 1e-15 * np.eye(len(precision)))
    raw = covariance @ (a.T @ (ivar * image).ravel())
    n = len(padded)
    inner = slice(pad, n - pad)
    for fiber in range(4):
        block = slice(fiber * n, (fiber + 1) * n)
        value, vector = np.linalg.eigh(np.linalg.inv(covariance[block, block]))
        root = (vector * np.sqrt(value)) @ vector.T
        sums = root.sum(axis=1)
        flux = (root / sums[:, None]) @ raw[block]
        np.testing.assert_allclose(found.flux[fiber], flux[inner] / STEP, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(found.ivar[fiber], sums[inner] ** 2 * STEP**2, rtol=1e-5)
        matrix = root / sums[:, None]
        for d, offset in enumerate(range(6, -7, -1)):
            expected = [matrix[j - offset, j] for j in range(pad, n - pad)]
            np.testing.assert_allclose(found.resolution[fiber, d], expected, atol=1e-6)


def test_patches_make_no_difference_that_matters():
    made = camera(n_y=260, n_fiber=12)
    psf, wave = psf_of(made), waves(made)
    fine = np.arange(made.wave_min - 5, made.wave_max + 5, 0.1)
    light = 30 + 25 * np.sin(fine / 7) + np.where(np.arange(len(fine)) % 400 == 0, 3000.0, 0)
    image, ivar = noisy(made.image(fine, np.tile(light, (12, 1))), 3.0)
    whole = extract(image, ivar, psf, wave, Patching(n_fiber=12, n_wave=len(wave)))
    parts = extract(image, ivar, psf, wave)
    difference = np.abs(parts.flux - whole.flux) * np.sqrt(whole.ivar)
    assert np.median(difference) < 0.002
    assert difference.max() < 0.1
    np.testing.assert_allclose(parts.ivar, whole.ivar, rtol=0.02)


def test_what_comes_out_is_the_light_times_the_resolution_with_the_errors_it_says():
    made = camera(n_y=400)
    psf, wave = psf_of(made), waves(made)
    pad = STEP * np.arange(1, 25)
    padded = np.concatenate([wave[0] - pad[::-1], wave, wave[-1] + pad])
    rng = np.random.default_rng(5)
    light = 160 * (1 + 0.3 * np.sin(padded / 20)) * rng.uniform(0.2, 2, (25, 1))
    light[:, rng.integers(40, len(padded) - 40, 9)] += rng.uniform(500, 9000, 9)
    image, ivar = noisy(made.image(padded, light), 2.5)
    found = extract(image, ivar, psf, wave)
    inner = light[:, 24:-24] / STEP
    expected = np.array([matrix_of(found.resolution[fiber]) @ inner[fiber] for fiber in range(25)])
    # Near the ends light from beyond them is missing in this product.
    whole = np.s_[:, 12:-12]
    pull = ((found.flux - expected) * np.sqrt(found.ivar))[whole]
    assert pull.std() == pytest.approx(1, abs=0.03)
    assert pull.mean() == pytest.approx(0, abs=0.03)
    # Neighbouring errors are independent.
    assert abs(np.mean(pull[:, 1:] * pull[:, :-1])) < 0.03
    # Below 1: there are some three unknowns in four rows of a fiber, for its two or three bright pixels in each.
    assert np.median(found.chi2) == pytest.approx(0.75, abs=0.05)
    np.testing.assert_allclose(np.array([matrix_of(r).sum(axis=1) for r in found.resolution])[whole], 1, atol=0.02)


def matrix_of(resolution: np.ndarray) -> np.ndarray:
    """Return a resolution matrix from its diagonals, as scipy and desispec understand them."""
    n, size = resolution.shape
    return dia_array((resolution, np.arange(n // 2, -(n // 2) - 1, -1)), shape=(size, size)).toarray()


def test_bad_pixels_cost_what_they_hide_and_no_more():
    made = camera(n_y=300)
    psf, wave = psf_of(made), waves(made)
    fine = np.arange(made.wave_min - 5, made.wave_max + 5, 0.1)
    clean = made.image(fine, np.full((25, len(fine)), 20.0))
    image, ivar = noisy(clean, 2.5)
    x, y = psf.traces(wave)
    column, row = round(x[7, 100]), round(y[7, 100])
    image[row - 3 : row + 4, column - 3 : column + 4] = 1e6  # a cosmic that was seen
    image[5, 5] = np.nan
    ivar[row - 3 : row + 4, column - 3 : column + 4] = 0
    found = extract(image, ivar, psf, wave)
    assert np.isfinite(found.flux).all()
    assert np.isfinite(found.ivar).all()
    assert found.lost[7, 100] > 0.9
    assert found.lost[9].max() < 1e-6
    known = found.lost < 0.5
    pull = (found.flux - 20.0 * 10) * np.sqrt(found.ivar)
    assert np.abs(pull[known]).max() < 6
    assert found.ivar[7, 100] < 0.05 * np.median(found.ivar)


def test_wavelengths_beyond_the_image_are_not_known():
    made = camera(n_y=300)
    psf = psf_of(made)
    wave = np.arange(made.wave_min - 60, made.wave_min + 60, STEP)
    found = extract(*noisy(np.full((psf.n_y, psf.n_x), 5.0), 2.5), psf, wave)
    beyond = wave < made.wave_min - 20
    assert (found.lost[:, beyond] == 1).all()
    assert np.isfinite(found.flux).all()
    assert (found.lost[:, wave > made.wave_min + 20] < 0.01).all()


@pytest.mark.parametrize("n", [1, 3, 5])
def test_diagonals_are_those_of_scipy(n):
    matrix = np.random.default_rng(2).normal(size=(8, 8))
    near = np.abs(np.subtract.outer(np.arange(8), np.arange(8))) <= n // 2
    np.testing.assert_allclose(matrix_of(diagonals(matrix, n)), np.where(near, matrix, 0))


def test_an_image_of_another_camera_is_refused():
    psf = psf_of(camera(n_y=120, n_fiber=4))
    image = np.zeros((100, 100))
    with pytest.raises(ValueError, match=r"an image of \(100, 100\) .* the PSF is of \(120, 640\)"):
        extract(image, image, psf, np.arange(7500.0, 7510))
    image = np.zeros((120, 640))
    with pytest.raises(ValueError, match="expected equal steps"):
        extract(image, image, psf, np.array([7500.0, 7501, 7503]))


def test_variances_of_a_model_do_not_make_faint_light_fainter():
    """By a pixel's own electrons, as desi_preproc has them, each amount is half a σ too small."""
    made = camera(n_y=400)
    psf, wave = psf_of(made), waves(made)
    pad = STEP * np.arange(1, 25)
    padded = np.concatenate([wave[0] - pad[::-1], wave, wave[-1] + pad])
    rng = np.random.default_rng(11)
    light = np.tile(20 * (1 + 0.3 * np.sin(padded / 20)), (25, 1))
    light[:, rng.integers(40, len(padded) - 40, 9)] += rng.uniform(100, 3000, 9)  # the sky's lines
    light *= rng.uniform(0.8, 1.2, (25, 1))
    light[5] *= 5  # an object, and a line of its own
    light[8, 150] += 4000
    image = rng.poisson(made.image(padded, light)) + rng.normal(0, 2.5, (psf.n_y, psf.n_x))
    image[200:203, 200:210] += 5000  # a cosmic ray that was not seen
    own = 1 / (np.maximum(image, 0) + 2.5**2)
    own[300:303, 300:310] = 0
    modelled = modelled_ivar(image, own, np.full(image.shape, 2.5), psf, wave)

    def pull(ivar: np.ndarray) -> np.ndarray:
        found = extract(image, ivar, psf, wave)
        expected = [matrix_of(found.resolution[k]) @ light[k, 24:-24] / STEP for k in range(25)]
        good = np.isfinite(found.flux)
        x, y = psf.traces(wave)
        good &= ~((np.abs(x - 205) < 20) & (np.abs(y - 201) < 12))
        return ((found.flux - np.array(expected)) * np.sqrt(found.ivar))[:, 12:-12][good[:, 12:-12]]

    assert pull(own).mean() < -0.4
    found = pull(modelled)
    assert found.mean() == pytest.approx(0, abs=0.03)
    assert found.std() == pytest.approx(1, abs=0.04)
    assert (modelled[300:303, 300:310] == 0).all()
    assert (modelled[200:203, 200:210] == own[200:203, 200:210]).all()
