"""The spectra of positions on a HETDEX cube: in a circular aperture, and by the optimal extraction."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skyharvest.core.arrays import Array, Bools, Float32s, Floats
from skyharvest.core.errors import InputError
from skyharvest.surveys.hetdex.cube import N_WAVE, UNFILLED, Box, Cube, Masking, spaxel_box
from skyharvest.surveys.hetdex.settings import Settings

PSF_REACH = 3.0  # FWHM: the radius within which the optimal extraction looks
PSF_NODES = 5  # of a Gauss-Legendre rule along each side of a spaxel
LEAST_WEIGHT = 1e-9  # of a spaxel in a circle: less is a rounding error
N_DECIMALS = 12  # of sums of weights: full coverage is 1, not 1 - 2e-16
SHARE_DECIMALS = 6  # of the circle's part on the cube, which lacks what is below `LEAST_WEIGHT`


@dataclass(frozen=True)
class Psf:
    """What a point source looks like: for the optimal extraction.

    Attributes
    ----------
    kind
        ``gaussian`` or ``moffat`` (Moffat 1969, A&A 3, 455).
    fwhm_arcsec
        Full width at half maximum: the index's ``fwhm_virus``.
    beta
        The Moffat profile's exponent; HETDEX's own extraction (hetdex_api) uses 3.5.

    Raises
    ------
    InputError
        If the kind is unknown, or the numbers make no profile.
    """

    kind: str
    fwhm_arcsec: float
    beta: float = 3.5

    def __post_init__(self) -> None:
        if self.kind not in ("gaussian", "moffat"):
            raise InputError(f"{self.kind!r} is no PSF; expected gaussian or moffat")
        if not 0 < self.fwhm_arcsec < np.inf:
            raise InputError(f"the PSF's FWHM is {self.fwhm_arcsec}″, expected a positive number")
        if not 1 < self.beta < np.inf:
            raise InputError(f"the Moffat profile's beta is {self.beta}, expected a number above 1")

    def profile(self, r2: Array) -> Floats:
        """Return the surface brightness of a source of total 1, per arcsec², at squared distances in arcsec²."""
        if self.kind == "gaussian":
            variance = self.fwhm_arcsec**2 / (8 * np.log(2))
            return np.asarray(np.exp(-r2 / (2 * variance)) / (2 * np.pi * variance))
        alpha2 = self.fwhm_arcsec**2 / (4 * (2 ** (1 / self.beta) - 1))
        return np.asarray((self.beta - 1) / (np.pi * alpha2) * (1 + r2 / alpha2) ** -self.beta)

    def fractions(self, dx: Array, dy: Array, spaxel_arcsec: float) -> Floats:
        """Return the fraction of a point source's light that falls on each spaxel; on the whole plane it adds up to 1.

        Parameters
        ----------
        dx, dy : (nx,), (ny,)
            From the source to the centres of columns and rows of spaxels, in spaxels.
        spaxel_arcsec
            Their side.

        Returns
        -------
        (ny, nx) float64
        """
        nodes, weights = np.polynomial.legendre.leggauss(PSF_NODES)
        x2, y2 = ((offsets[:, None] + nodes / 2) ** 2 * spaxel_arcsec**2 for offsets in (dx, dy))
        sampled = self.profile(y2[:, None, :, None] + x2[None, :, None, :])  # (ny, nx, nodes of y, nodes of x)
        return np.asarray(sampled @ (weights / 2) @ (weights / 2) * spaxel_arcsec**2)


def reach(radius_arcsec: float, psf: Psf | None = None) -> float:
    """Return how far from its position an extraction looks, arcsec."""
    return max(radius_arcsec, PSF_REACH * psf.fwhm_arcsec if psf is not None else 0.0)


@dataclass
class CubeSpectra:
    """Spectra of n positions in one cube.

    Attributes
    ----------
    on_cube : (n,) bool
        Whether any of the aperture is on the cube; if not, its spectrum is NaN.
    x, y : (n,) float64
        Position in spaxels, 0 = the first one's centre.
    aperture_on_cube : (n,) float64
        Share of the aperture's area that lies on the cube, measured or not.
    flux, error : (n, 1036) float32
        10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹ in the aperture, on `WAVE_AIR`.
    coverage : (n, 1036) float32
        Fraction of the aperture's part on the cube that was measured.
    optimal_flux, optimal_error : (n, 1036) float32 or None
        The same for all light of a point source, by the optimal extraction.
    """

    on_cube: Bools
    x: Floats
    y: Floats
    aperture_on_cube: Floats
    flux: Float32s
    error: Float32s
    coverage: Float32s
    optimal_flux: Float32s | None = None
    optimal_error: Float32s | None = None


def extract_spectra(
    cube: Cube,
    ra: Any,
    dec: Any,
    *,
    radius_arcsec: float = Settings.aperture_radius_arcsec,
    masking: Masking | None = None,
    min_coverage: float = Settings.min_coverage,
    psf: Psf | None = None,
) -> CubeSpectra:
    """Extract the spectra of positions from a cube.

    In the aperture: with w the exact fraction of each spaxel that lies in the circle, at each wavelength

    - coverage = Σ w over good voxels of \\|flux\\| ≥ 1e-8 and ERROR ≠ 0, over Σ w;
    - flux = Σ w flux over good voxels, / coverage / bin width;
    - error = √(Σ w² error²) over good voxels, / coverage / bin width;
    - all NaN where coverage < ``min_coverage`` or is 0.

    Good is a voxel that is not masked, of finite flux and finite error. The part of the circle off the cube does not
    count, for the light there is not known: ``aperture_on_cube`` tells how large the other part is. This is the
    definition of HETDEX/dexcube's ``get_spectra``, but for a voxel of which only one of flux and error is finite: there
    it is covered with an error of 0, or adds its error to no flux.

    The optimal extraction is Horne's (1986, PASP 98, 609): with P the fraction of a point source's light on each
    spaxel within 3 FWHM, flux = Σ P flux/error² / Σ P²/error², error = 1/√(Σ P²/error²) over the voxels that coverage
    counts with error > 0; NaN where they see less than ``min_coverage`` of the source's light.

    Parameters
    ----------
    ra, dec : (n,) degrees, ICRS
        They need not be on the cube.
    masking
        Which voxels are good; by default those with no bit set.
    min_coverage
        0 to 1.

    Raises
    ------
    InputError
        If the radius is not positive.
    """
    if not 0 < radius_arcsec < np.inf:
        raise InputError(f"the aperture's radius is {radius_arcsec}″, expected a positive number")
    masking = masking or Masking()
    x, y = cube.spaxels(ra, dec)
    shape = (len(x), N_WAVE)
    spectra = CubeSpectra(
        np.zeros(len(x), bool), x, y, np.zeros(len(x)), *(np.full(shape, np.nan, np.float32) for _ in range(3))
    )
    if psf is not None:
        spectra.optimal_flux, spectra.optimal_error = (np.full(shape, np.nan, np.float32) for _ in range(2))
    radius, widest = (arcsec / cube.sky.pixel_arcsec for arcsec in (radius_arcsec, reach(radius_arcsec, psf)))
    for k in range(len(x)):
        box = spaxel_box(x[k], y[k], widest)
        weights = _in_circle(x[k], y[k], radius, box)
        if not weights.any():
            continue
        spectra.on_cube[k] = True
        spectra.aperture_on_cube[k] = min(1.0, round(weights.sum() / (np.pi * radius**2), SHARE_DECIMALS))
        voxels = _Voxels(cube, box, masking)
        spectra.flux[k], spectra.error[k], spectra.coverage[k] = voxels.in_aperture(weights.ravel(), min_coverage)
        if psf is not None and spectra.optimal_flux is not None and spectra.optimal_error is not None:
            dx, dy = _offsets(x[k], y[k], box)
            fractions = psf.fractions(dx, dy, cube.sky.pixel_arcsec)
            fractions[np.hypot(dy[:, None], dx) > PSF_REACH * psf.fwhm_arcsec / cube.sky.pixel_arcsec] = 0
            spectra.optimal_flux[k], spectra.optimal_error[k] = voxels.optimal(fractions.ravel(), min_coverage)
    return spectra


def _offsets(x: float, y: float, box: Box) -> tuple[Floats, Floats]:
    """Return the columns' and the rows' centres relative to a position."""
    rows, columns = box
    return np.arange(columns.start, columns.stop, dtype=np.float64) - x, np.arange(
        rows.start, rows.stop, dtype=np.float64
    ) - y


def _in_circle(x: float, y: float, radius: float, box: Box) -> Floats:
    """Return the exact fraction of each spaxel of the box that lies in a circle.

    At every corner of the grid, the area of the disc left of it and below it, by integration of the circle's equation;
    a spaxel's area is the difference of the differences of its four corners. (photutils' `circular_overlap_grid` gives
    the same, but importing it takes 0.9 s.)
    """
    dx, dy = (np.append(offsets - 0.5, offsets[-1:] + 0.5) for offsets in _offsets(x, y, box))
    a, b = np.clip(dx, -radius, radius), np.clip(dy, -radius, radius)[:, None]

    def height(at: Floats) -> Floats:
        return np.asarray(np.sqrt(np.maximum(radius**2 - at**2, 0)))

    def quarter(at: Floats) -> Floats:  # area between the x axis and the circle, left of a point
        return np.asarray((at * height(at) + radius**2 * (np.arcsin(at / radius) + np.pi / 2)) / 2)

    half = height(b)  # of the chord
    inside = np.clip(a, -half, half)
    area = b * (inside + half) + quarter(inside) - quarter(-half)
    area += np.where(b > 0, 2 * (quarter(np.minimum(a, -half)) + quarter(np.maximum(a, half)) - quarter(half)), 0)
    weights = np.diff(np.diff(area, axis=0), axis=1)
    return np.where(weights > LEAST_WEIGHT, weights, 0)


class _Voxels:
    """A box of a cube at all wavelengths: arrays (1036, m)."""

    def __init__(self, cube: Cube, box: Box, masking: Masking) -> None:
        assert cube.rows[box[0]].all(), f"{cube.name}: read without the rows of spaxels that are asked for"
        flux, error, mask = (array[:, *box].reshape(N_WAVE, -1) for array in (cube.flux, cube.error, cube.mask))
        self.flux, self.error, self.bin_width = flux, error, cube.bin_width
        self.good = masking.good(mask) & np.isfinite(flux) & np.isfinite(error)
        self.measured = self.good & (error != 0) & (np.abs(flux) >= UNFILLED)

    def in_aperture(self, weights: Floats, min_coverage: float) -> tuple[Floats, Floats, Floats]:
        """Return flux, error (per Å) and coverage, (1036,) each."""
        coverage = np.round(_sum(self.measured, weights) / weights.sum(), N_DECIMALS)
        coverage[(coverage < min_coverage) | (coverage == 0)] = np.nan
        scale = coverage * self.bin_width
        flux, error = (np.where(self.good, values, 0) for values in (self.flux, self.error))
        return _sum(flux, weights) / scale, np.sqrt(_sum(error, error, weights**2)) / scale, coverage

    def optimal(self, fractions: Floats, min_coverage: float) -> tuple[Floats, Floats]:
        """Return flux and error per Å of the optimal extraction, (1036,) each."""
        seen = self.measured & (self.error > 0)
        ivar = 1 / np.square(np.where(seen, self.error, np.inf), dtype=np.float64)
        covered = _sum(seen, fractions)
        norm = _sum(ivar, fractions**2)
        norm[(covered < min_coverage) | (covered == 0)] = np.nan
        flux = _sum(ivar, np.where(seen, self.flux, 0), fractions)
        return flux / norm / self.bin_width, norm**-0.5 / self.bin_width


def _sum(*factors: Array) -> Floats:
    """Return at each wavelength the sum over spaxels of a product whose last factor is the same at all of them.

    In float64. Not by matrix products: where a job runs on every core, their threads wait for each other, some 10 ms
    each.
    """
    subscripts = ",".join(["ij"] * (len(factors) - 1) + ["j"])
    return np.asarray(np.einsum(f"{subscripts}->i", *factors, dtype=np.float64))
