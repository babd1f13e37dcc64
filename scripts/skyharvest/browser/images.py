"""Small colour pictures of image cutouts, for the spectrum browser."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skyharvest.surveys.legacysurvey.colors import lupton, shown_planes, sky_noise

Array = npt.NDArray[Any]

NO_DATA = 205  # grey of pixels that no image has: the page's own


def color_png(image: Array, bands: Sequence[str]) -> bytes:
    """Return a cutout as PNG, North (the last row) up, in the colours of contact sheets.

    Parameters
    ----------
    image
        (band, size, size) nanomaggy; NaN where there is no image.
    bands
        Their names.

    Returns
    -------
    bytes
        A PNG of size x size pixels, RGB.
    """
    from PIL import Image  # noqa: PLC0415 (only where there are images)

    pixels = np.full((*image.shape[1:], 3), NO_DATA, np.uint8)
    planes, _ = shown_planes(image, bands)
    if planes:
        pixels = lupton(planes, sky_noise(planes), pixels)
    packed = io.BytesIO()
    Image.fromarray(pixels[::-1]).save(packed, "PNG", optimize=True)
    return packed.getvalue()
