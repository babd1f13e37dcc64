"""The colours of image cutouts, on contact sheets and in the spectrum browser.

They are those of Lupton et al. 2004 (PASP 116, 133): the noise of the sky becomes `NOISE_LEVELS` grey levels, and a
pixel without light is `SKY_SIGMA` times as bright.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from skyharvest.core.arrays import Array

WHITE = {"g": 0.55, "r": 1.0, "i": 1.3, "z": 1.65}
"""Flux (nanomaggy, relative to r) of what looks white: about a galaxy's of g−r = 0.65, r−i = 0.3, r−z = 0.55."""
BY_WAVELENGTH = ("g", "r", "i", "z", "W1", "W2", "W3", "W4")
Q = 5.5  # Lupton's softening: bright sources keep their structure, faint ones are seen
CHROMA = 0.8  # of the colours; 1 is gaudy
WHITE_SIGMA = 300.0  # where colours have faded by half, as of an overexposed star
NOISE_LEVELS, SKY_SIGMA = 18.0, 1.8
DEFAULT_NOISE = 0.01  # nanomaggy per pixel: of images without any


def shown_bands(bands: Sequence[str]) -> list[str]:
    """Return which bands are red, green and blue: i, r, g, or else z, r, g, or else the first ones by wavelength.

    Three; or two, for red and blue, whose mean is green; or one, for grey; or none.
    """
    for choice in (["i", "r", "g"], ["z", "r", "g"]):
        if set(choice) <= set(bands):
            return choice
    known = [band for band in BY_WAVELENGTH if band in bands]
    by_wavelength = [*known, *(band for band in bands if band not in known)]
    return by_wavelength[:3][::-1]


def shown_planes(image: Array, bands: Sequence[str]) -> tuple[list[Array], list[str]]:
    """Return the planes that are shown, white where they are equal, and the names of the bands that have any pixels.

    Parameters
    ----------
    image
        (band, y, x) nanomaggy; NaN or 0 (the survey's value for no exposure) without data.

    Returns
    -------
    list of (y, x) arrays
        From red to blue, of `shown_bands`; NaN where there is nothing.
    list of str
        In the order of ``bands``.
    """
    image = np.where(image == 0, np.nan, image)
    having = [band for band, plane in zip(bands, image, strict=True) if np.isfinite(plane).any()]
    return [image[list(bands).index(band)] / WHITE.get(band, 1.0) for band in shown_bands(having)], having


def sky_noise(planes: Sequence[Array]) -> float:
    """Return the noise of the sky: the median over planes of each one's spread below its median, without sources."""
    noises = []
    for plane in planes:
        low, middle = np.percentile(plane[np.isfinite(plane)], [15.87, 50])
        noises.append(float(middle - low))
    noise = float(np.median(noises)) if noises else 0.0
    return noise if noise > 0 else DEFAULT_NOISE


def lupton(planes: Sequence[Array], noise: float, nothing: Array) -> npt.NDArray[np.uint8]:
    """Return a colour picture.

    Parameters
    ----------
    planes
        One to three, (y, x), of `shown_planes`; grey where one of them is lacking.
    noise
        From `sky_noise`; the same for pictures to be compared.
    nothing
        (y, x, 3), or an array that broadcasts to it: shown where no plane has data.

    Returns
    -------
    (y, x, 3) uint8
    """
    from astropy.visualization import ManualInterval, make_lupton_rgb  # noqa: PLC0415 (takes a second)

    red, blue = planes[0], planes[-1]
    stack = np.stack([red, planes[1] if len(planes) == 3 else (red + blue) / 2, blue]).astype(np.float64)
    finite = np.isfinite(stack)
    n_finite = finite.sum(axis=0)
    mean = np.where(finite, stack, 0).sum(axis=0) / np.maximum(n_finite, 1)
    stack = np.where(finite, stack, mean)  # grey rather than a colour that is not there
    mean = stack.mean(axis=0)
    stack = mean + (stack - mean) * CHROMA / (1 + np.maximum(mean, 0) / (WHITE_SIGMA * noise))
    stretch = 255 * 0.1 * Q / math.asinh(0.1 * Q) * noise / NOISE_LEVELS  # Lupton's curve is this steep at its foot
    black = -SKY_SIGMA * noise
    stack = np.maximum(stack, 0.999 * black)  # at no intensity at all there is no colour
    drawn = make_lupton_rgb(*stack, interval=ManualInterval(black, None), stretch=stretch, Q=Q)
    return np.asarray(np.where((n_finite > 0)[..., None], drawn, nothing), np.uint8)
