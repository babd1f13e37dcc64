"""The same spectra of a cube, extracted in the ways that people do: a program per way, importing only what it needs.

``python cube_readers.py WAY CUBE POSITIONS N OUT`` writes flux, error and coverage (3, n, 1036) of the first n
positions; ``python cube_readers.py loop CUBES POSITIONS OUT`` does it for the cubes that a file lists, with astropy, as
many of the positions for each; ``python cube_readers.py agree A B`` fails unless two such files are equal to 1e-5.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

RADIUS_ARCSEC, MIN_COVERAGE = 3.5, 0.2


def ours(cube: Path, positions: Any) -> Any:
    """Read what is near the positions, extract all: as a job of the workflow does."""
    import lib  # noqa: F401 (finds skyharvest)
    from skyharvest.surveys.hetdex.cube import read_cube
    from skyharvest.surveys.hetdex.spectra import extract_spectra, reach

    ra, dec = positions.T
    read = read_cube(cube, near=(ra, dec), reach_arcsec=reach(RADIUS_ARCSEC))
    spectra = extract_spectra(read, ra, dec, radius_arcsec=RADIUS_ARCSEC, min_coverage=MIN_COVERAGE)
    return spectra.flux, spectra.error, spectra.coverage


def astropy_sections(cube: Path, positions: Any) -> Any:
    """Read a box of each image for each source with astropy's ``.section``; weigh with photutils."""
    from astropy.coordinates import SkyCoord
    from astropy.io import fits
    from astropy.wcs import WCS
    from astropy.wcs.utils import proj_plane_pixel_scales
    from photutils.aperture import CircularAperture

    with fits.open(cube) as hdus:
        n_wave, *plane = hdus["DATA"].shape
        celestial = WCS(hdus["DATA"].header).celestial
        radius = RADIUS_ARCSEC / 3600 / proj_plane_pixel_scales(celestial)[0]
        spectra = np.full((3, len(positions), n_wave), np.nan)
        for k, (ra, dec) in enumerate(positions):
            at = celestial.world_to_pixel(SkyCoord(ra, dec, unit="deg"))
            weights = CircularAperture(at, radius).to_mask(method="exact").to_image(plane)
            if weights is None or not weights.any():
                continue
            rows, columns = np.nonzero(weights)
            box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
            flux, error, mask = (hdus[name].section[:, *box] for name in ("DATA", "ERROR", "MASK"))
            weights = weights[box]
            good = (mask == 0) & np.isfinite(flux) & np.isfinite(error)
            measured = good & (error != 0) & (np.abs(flux) >= 1e-8)
            coverage = (weights * measured).sum(axis=(1, 2)) / weights.sum()
            coverage[(coverage < MIN_COVERAGE) | (coverage == 0)] = np.nan
            total = np.nansum(weights * np.where(good, flux, np.nan).astype(float), axis=(1, 2))
            variance = np.nansum(weights**2 * np.where(good, error, np.nan).astype(float) ** 2, axis=(1, 2))
            spectra[:, k] = total / coverage / 2, np.sqrt(variance) / coverage / 2, coverage
    return spectra


WAYS: dict[str, Callable[[Path, Any], Any]] = {way.__name__: way for way in (ours, astropy_sections)}


def loop(cubes: Sequence[Path], positions: Any) -> Any:
    """Extract the sources of many cubes, one cube after the other; as many of the positions belong to each."""
    of_cube = np.split(positions, len(cubes))
    return np.concatenate([astropy_sections(cube, there) for cube, there in zip(cubes, of_cube, strict=True)], axis=1)


def agree(first: str, second: str) -> None:
    """Fail unless two results are the same spectra, at the same wavelengths."""
    mine, theirs = np.load(first), np.load(second)
    assert np.isfinite(mine).mean() > 0.5
    for values, expected in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6 * np.nanmax(np.abs(expected)))


def main() -> None:
    """Extract, or compare."""
    if sys.argv[1] == "agree":
        agree(*sys.argv[2:])
        return
    if sys.argv[1] == "loop":
        listed, positions, out = map(Path, sys.argv[2:])
        np.save(
            out, np.array(loop([Path(line) for line in listed.read_text().split()], np.load(positions)), np.float32)
        )
        return
    way, cube, positions, n, out = sys.argv[1:]
    np.save(out, np.array(WAYS[way](Path(cube), np.load(positions)[: int(n)]), np.float32))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()
