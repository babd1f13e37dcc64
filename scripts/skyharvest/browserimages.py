"""Small colour pictures of image cutouts, for the spectrum browser."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

BY_WAVELENGTH = ("u", "g", "r", "i", "z", "y", "Y", "W1", "W2", "W3", "W4")
WHITE = {"g": 1.75, "r": 1.0, "i": 0.8, "z": 0.65}
"""What a band's nanomaggies are multiplied with, so that a usual galaxy (g-r 0.6, r-z 0.5) is nearly white."""
STRETCH_SIGMA, Q = 20.0, 6.0  # of Lupton's asinh, in noise of the sky; its softening
LEAST_NOISE = 1e-3  # nanomaggy per pixel: of images without noise
NO_DATA = 205  # grey of pixels that no image has: the page's own


def color_png(image: Array, bands: Sequence[str]) -> bytes:
    """Return a cutout as PNG, North (the last row) up.

    Red, green and blue are the band of longest, middle and shortest wavelength among those that have pixels; of two
    bands green is the mean; one band is grey. What has no pixel in a shown band is light grey.

    Parameters
    ----------
    image
        (band, size, size) nanomaggy; NaN where there is no image.
    bands
        Their names.

    Returns
    -------
    bytes
        A PNG of size x size pixels, RGB. Colours: Lupton et al. 2004, PASP 116, 133.
    """
    from PIL import Image  # noqa: PLC0415 (only where there are images)

    have = [k for k, plane in enumerate(image) if np.isfinite(plane).any()]
    shown = sorted(have, key=lambda k: BY_WAVELENGTH.index(bands[k]) if bands[k] in BY_WAVELENGTH else len(bands) + k)
    pixels = np.full((*image.shape[1:], 3), NO_DATA, np.uint8)
    if shown:
        scaled = {k: image[k].astype(np.float64) * WHITE.get(bands[k], 1.0) for k in shown}
        blue, red = scaled[shown[0]], scaled[shown[-1]]
        green = scaled[shown[len(shown) // 2]] if len(shown) > 2 else (red + blue) / 2
        there = np.isfinite(red) & np.isfinite(green) & np.isfinite(blue)
        if there.any():
            pixels[there] = _lupton(np.where(there, [red, green, blue], 0.0), there)[there]
    packed = io.BytesIO()
    Image.fromarray(pixels[::-1]).save(packed, "PNG", optimize=True)
    return packed.getvalue()


def _lupton(colors: Array, there: Array) -> Array:
    from astropy.visualization import make_lupton_rgb  # noqa: PLC0415 (takes a second)

    total = colors.mean(axis=0)[there]
    # The sky's level and noise from what is below the median: sources are above it.
    sky = float(np.median(total))
    noise = max(float(np.median(sky - total[total <= sky])) * 1.48, LEAST_NOISE)
    return np.asarray(make_lupton_rgb(*colors, minimum=sky - 2 * noise, stretch=STRETCH_SIGMA * noise, Q=Q), np.uint8)
