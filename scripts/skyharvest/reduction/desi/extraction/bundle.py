"""Extract the fibers of a bundle: maximum likelihood in patches of fibers and wavelengths that overlap.

Bolton & Schlegel 2010, PASP 122, 248; as DESI does it: Guy et al. 2023, AJ 165, 144, §4.5. The flux that comes out is
convolved with the resolution matrix of its fiber, so that its errors are independent; the matrix is what a model is to
be multiplied with before it is compared.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from skyharvest.core.arrays import Floats
from skyharvest.reduction.desi.extraction.projection import Box, box_of, model, normal_equations, spot_means
from skyharvest.reduction.desi.psf.model import Psf, Spots

STARVED = 1e-4
"""An unknown whose pixels have less than this share of the largest weight is held near zero."""


@dataclass(frozen=True)
class Patching:
    """How a bundle is divided.

    Attributes
    ----------
    n_fiber, n_wave
        Fibers and wavelengths of a patch that are kept.
    pad_fiber, pad_wave
        How many more on each side are solved for, and discarded.
    pad_pixels
        How much of the padding's rows of pixels is used, 0 to 1: the outermost have light of what is not modelled.
    """

    n_fiber: int = 5
    n_wave: int = 50
    pad_fiber: int = 1
    pad_wave: int = 12
    pad_pixels: float = 0.8


PATCHING = Patching()


@dataclass(frozen=True)
class Extracted:
    """Spectra of fibers.

    Attributes
    ----------
    flux, ivar
        (n_fiber, n_wave) f8: electrons per Å, convolved with the resolution; 1 / (that)².
    resolution
        (n_fiber, n_diagonals, n_wave) f8: diagonals of the resolution matrices, as `desispec.resolution.Resolution`
        takes them.
    lost
        (n_fiber, n_wave) f8: the share of each spot's light on pixels that are bad, 0 to 1.
    chi2
        (n_fiber, n_wave) f8: mean χ² of the pixels of each spot.
    """

    flux: Floats
    ivar: Floats
    resolution: Floats
    lost: Floats
    chi2: Floats


def extract(
    image: Floats, ivar: Floats, psf: Psf, wave: Floats, patching: Patching = PATCHING, error: float | None = None
) -> Extracted:
    """Extract all fibers of a PSF, bundle by bundle.

    Parameters
    ----------
    image, ivar
        (n_y, n_x) f8: electrons, and 1 / electrons²; 0 where a pixel is bad.
    wave
        (n_wave,) f8: equally spaced, Å in vacuum as the traces have it.
    error
        Relative error of the PSF, for χ²; the PSF's own if None.

    Raises
    ------
    ValueError
        If the image is not of the PSF's shape, or the wavelengths are not equally spaced.
    """
    if image.shape != (psf.n_y, psf.n_x) or ivar.shape != image.shape:
        raise ValueError(f"an image of {image.shape} with ivar of {ivar.shape}: the PSF is of {(psf.n_y, psf.n_x)}")
    step = np.diff(wave)
    if not np.allclose(step, step[0], rtol=1e-6):
        raise ValueError(f"wavelengths in steps of {step.min():g} to {step.max():g} Å, expected equal steps")
    error = psf.error if error is None else error
    good = np.where(np.isfinite(image), image, 0.0), np.where(np.isfinite(image), ivar, 0.0)
    made = [_extract_bundle(*good, bundle, wave, patching, error) for bundle in psf.by_bundle()]
    flux, inverse, resolution, lost, chi2 = (
        np.concatenate([getattr(one, field.name) for one in made]) for field in fields(Extracted)
    )
    return Extracted(flux / step[0], inverse * step[0] ** 2, resolution, lost, chi2)


def padded(wave: Floats, n: int) -> Floats:
    """Return equally spaced wavelengths with ``n`` more at each end."""
    outside = (wave[1] - wave[0]) * np.arange(1, n + 1)
    return np.concatenate([wave[0] - outside[::-1], wave, wave[-1] + outside])


def light_of(
    image: Floats, weight: Floats, psf: Psf, wave: Floats, stiff: float, patching: Patching = PATCHING
) -> Floats:
    """Return the light of a bundle's fibers as it fits an image best, not convolved, and not bent without need.

    Parameters
    ----------
    image, wave
        As in `extract`.
    weight
        (n_y, n_x) f8: of pixels; 1 where they are good makes it independent of their noise.
    stiff
        Weight of second differences of the light: without it neighbours scatter widely.

    Returns
    -------
    Floats
        (n_fiber, n_wave) f8: electrons of each wavelength.
    """
    spots = psf.spots(padded(wave, patching.pad_wave))
    made = np.zeros((psf.n_fiber, len(wave)))
    for patch, few, box in _patches_of(spots, len(wave), patching, image.shape):
        n_fiber, n_wave = few.values.shape[:2]
        matrix, right = _equations(image, weight, few, box)
        bends = np.diff(np.eye(n_wave), 2, axis=0)
        matrix += np.kron(np.eye(n_fiber), stiff * bends.T @ bends)
        raw = _solution(matrix, right).reshape(n_fiber, n_wave)
        made[patch.out_fibers, patch.out_waves] = raw[patch.kept_fibers, patch.kept_waves]
    return made


@dataclass(frozen=True)
class _Patch:
    """Fibers and padded wavelengths: those to solve for, and which of these are kept."""

    fibers: slice
    waves: slice
    kept_fibers: slice  # of those to solve for
    kept_waves: slice
    out_fibers: slice  # of the bundle
    out_waves: slice


def _extract_bundle(image: Floats, ivar: Floats, psf: Psf, wave: Floats, patching: Patching, error: float) -> Extracted:
    spots = psf.spots(padded(wave, patching.pad_wave))
    n_fiber, n_wave = psf.n_fiber, len(wave)
    n_diagonals = 2 * psf.half_y + 1
    made = Extracted(
        flux=np.zeros((n_fiber, n_wave)),
        ivar=np.zeros((n_fiber, n_wave)),
        resolution=np.zeros((n_fiber, n_diagonals, n_wave)),
        lost=np.ones((n_fiber, n_wave)),
        chi2=np.zeros((n_fiber, n_wave)),
    )
    for patch, few, box in _patches_of(spots, n_wave, patching, image.shape):
        flux, inverse, resolution, lost, chi2 = _solve(image, ivar, few, box, n_diagonals, error)
        kept, out = (patch.kept_fibers, patch.kept_waves), (patch.out_fibers, patch.out_waves)
        made.flux[out], made.ivar[out] = flux[kept], inverse[kept]
        made.lost[out], made.chi2[out] = lost[kept], chi2[kept]
        made.resolution[patch.out_fibers, :, patch.out_waves] = resolution[patch.kept_fibers, :, patch.kept_waves]
    return made


def _patches_of(
    spots: Spots, n_wave: int, patching: Patching, shape: tuple[int, ...]
) -> Iterator[tuple[_Patch, Spots, Box]]:
    """Yield the patches of a bundle, those off the image left out: with their spots, and the pixels to use."""
    for patch in _patches(len(spots.values), n_wave, patching):
        few = Spots(spots.values[patch.fibers, patch.waves], spots.corners[patch.fibers, patch.waves])
        box = _box(few, patch, patching, shape)
        if box[0] < box[1] and box[2] < box[3]:
            yield patch, few, box


def _patches(n_fiber: int, n_wave: int, patching: Patching) -> Iterator[_Patch]:
    for fiber in range(0, n_fiber, patching.n_fiber):
        stop = min(fiber + patching.n_fiber, n_fiber)
        first = max(fiber - patching.pad_fiber, 0)
        for start in range(0, n_wave, patching.n_wave):
            n = min(patching.n_wave, n_wave - start)
            yield _Patch(
                fibers=slice(first, min(stop + patching.pad_fiber, n_fiber)),
                waves=slice(start, start + n + 2 * patching.pad_wave),
                kept_fibers=slice(fiber - first, stop - first),
                kept_waves=slice(patching.pad_wave, patching.pad_wave + n),
                out_fibers=slice(fiber, stop),
                out_waves=slice(start, start + n),
            )


def _box(spots: Spots, patch: _Patch, patching: Patching, shape: tuple[int, ...]) -> Box:
    """Return the pixels of a patch: all that the kept wavelengths light, and a part of the padding's rows."""
    size = spots.values.shape[2:]
    first_y, stop_y, first_x, stop_x = box_of(spots.corners, *size)
    own_first, own_stop, _, _ = box_of(spots.corners[:, patch.kept_waves], *size)
    first_y += int((own_first - first_y) * (1 - patching.pad_pixels))
    stop_y = own_stop + int((stop_y - own_stop) * patching.pad_pixels)
    return max(first_y, 0), min(stop_y, shape[0]), max(first_x, 0), min(stop_x, shape[1])


def _solve(
    image: Floats, ivar: Floats, spots: Spots, box: Box, n_diagonals: int, error: float
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Solve for the flux of a patch; return what `Extracted` has, with the padding."""
    values, corners = spots.values, spots.corners
    n_fiber, n_wave = values.shape[:2]
    matrix, right = _equations(image, ivar, spots, box)
    covariance = _inverse(matrix)
    raw = covariance @ right
    flux, inverse = np.empty((n_fiber, n_wave)), np.empty((n_fiber, n_wave))
    resolution = np.zeros((n_fiber, n_diagonals, n_wave))
    blocks = np.stack([covariance[k : k + n_wave, k : k + n_wave] for k in range(0, n_fiber * n_wave, n_wave)])
    eigenvalues, vectors = np.linalg.eigh(blocks)
    roots = (vectors / np.sqrt(eigenvalues)[:, None, :]) @ vectors.transpose(0, 2, 1)
    for k, root in enumerate(roots):  # eq. 11 to 19 of the paper, for each fiber: fibers are not decorrelated
        sums = root.sum(axis=1)
        convolving = root / sums[:, None]
        flux[k] = convolving @ raw[k * n_wave : (k + 1) * n_wave]
        inverse[k] = sums**2
        resolution[k] = diagonals(convolving, n_diagonals)
    made = model(raw.reshape(n_fiber, n_wave), values, corners, box)
    rows, columns = slice(box[0], box[1]), slice(box[2], box[3])
    use = ivar[rows, columns] > 0
    variance = np.divide(1, ivar[rows, columns], where=use, out=np.ones(use.shape)) + (error * made) ** 2
    chi2, lost = spot_means((image[rows, columns] - made) ** 2 / variance, use, values, corners, box)
    return flux, inverse, resolution, lost, chi2


def _equations(image: Floats, ivar: Floats, spots: Spots, box: Box) -> tuple[Floats, Floats]:
    """Return the inverse covariance of a patch's light, and the right-hand side of its equations."""
    matrix, right, weight = normal_equations(image, ivar, spots.values, spots.corners, box)
    # Weak knowledge that it is zero, where there is next to none: the matrix must have an inverse.
    least = STARVED * weight.max()
    matrix[np.diag_indices_from(matrix)] += np.where(weight < least, (least - weight) ** 2, 0) + 1e-15
    return matrix, right


def _solution(matrix: Floats, right: Floats) -> Floats:
    """Solve equations with a symmetric, positive definite matrix.

    Raises
    ------
    np.linalg.LinAlgError
        If it is not positive definite.
    """
    _, found, failed = lapack.dposv(matrix, right, lower=1)
    if failed:
        raise np.linalg.LinAlgError(f"the equations of a patch have no solution (LAPACK says {failed})")
    return np.asarray(found)


def _inverse(matrix: Floats) -> Floats:
    """Return the inverse of a symmetric, positive definite matrix.

    Raises
    ------
    np.linalg.LinAlgError
        If it is not positive definite.
    """
    factor, failed = lapack.dpotrf(matrix, lower=1)
    if not failed:
        made, failed = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise np.linalg.LinAlgError(f"the equations of a patch have no solution (LAPACK says {failed})")
    lower = np.tril(made)
    return np.asarray(lower + np.tril(lower, -1).T)


def diagonals(matrix: npt.NDArray[Any], n: int) -> Floats:
    """Return the ``n`` middle diagonals of a square matrix, (n, m) f8, as `scipy.sparse.dia_array` has them.

    The first is the outermost above the main one: element j of diagonal d is ``matrix[j - (n // 2 - d), j]``.
    """
    size, half = len(matrix), n // 2
    made = np.zeros((n, size))
    for d, offset in enumerate(range(half, -half - 1, -1)):
        column = np.arange(max(offset, 0), min(size, size + offset))
        made[d, column] = matrix[column - offset, column]
    return made
