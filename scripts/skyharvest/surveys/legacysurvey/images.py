"""The images of a brick: https://www.legacysurvey.org/dr10/files/#image-stacks-south-coadd."""

import math
from dataclasses import dataclass

PIXEL_ARCSEC = 0.262  # of all coadds: legacysurvey.org/dr10/description
NOT_READ = -1
"""Bits and counts where no file of them was read: it is absent or unreadable, or no brick has the pixel.

With all bits set, the sign's too, no selection of clean pixels takes it. No release has this value: maskbits use the
bits 0 to 13 in DR8 and DR9 (int16), 0 to 15 in DR10 (int32); see legacysurvey.org/dr10/bitmasks."""


@dataclass(frozen=True)
class Product:
    """A kind of image of a brick.

    Attributes
    ----------
    kinds
        Letters of the NumPy kinds of its values: ``f`` or ``iu``.
    pad
        Value where no file has a pixel: NaN; `NOT_READ` for counts and bits; 0 for inverse variances, as without data.
    per_band
        Whether there is one image per band, or one per brick.
    """

    kinds: str
    pad: float
    unit: str
    per_band: bool = True


PRODUCTS = {
    "image": Product("f", math.nan, "nanomaggy"),
    "invvar": Product("f", 0, "nanomaggy^-2"),
    "model": Product("f", math.nan, "nanomaggy"),
    "blobmodel": Product("f", math.nan, "nanomaggy"),
    "chi2": Product("f", math.nan, ""),
    "depth": Product("f", math.nan, "nanomaggy^-2"),
    "galdepth": Product("f", math.nan, "nanomaggy^-2"),
    "nexp": Product("iu", NOT_READ, ""),
    "psfsize": Product("f", math.nan, "arcsec"),
    "maskbits": Product("iu", NOT_READ, "", per_band=False),
}
"""Images of a brick by their name in paths."""

FILE_BYTES = {
    "image": 10_000_000,
    "model": 2_750_000,
    "blobmodel": 2_750_000,
    "invvar": 10_500_000,
    "chi2": 9_000_000,
    "depth": 4_000_000,
    "galdepth": 4_000_000,
    "psfsize": 4_000_000,
    "nexp": 200_000,
    "maskbits": 500_000,
}
"""Of a file of 3600×3600 pixels, about. image, model, invvar: what ``get_compression_string`` in legacypipe
(py/legacypipe/survey.py) notes of its settings; chi2: 5.4 bits a pixel, the entropy of unit noise in steps of 0.1; the
others are estimates."""
