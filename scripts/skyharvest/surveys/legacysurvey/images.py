"""The images of a brick: https://www.legacysurvey.org/dr10/files/#image-stacks-south-coadd."""

import math
from dataclasses import dataclass

PIXEL_ARCSEC = 0.262  # of all coadds: legacysurvey.org/dr10/description


@dataclass(frozen=True)
class Product:
    """A kind of image of a brick.

    Attributes
    ----------
    kinds
        Letters of the NumPy kinds of its values: ``f`` or ``iu``.
    pad
        Value where no brick has a pixel: NaN; 0 for counts, bits and inverse variances.
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
    "nexp": Product("iu", 0, ""),
    "psfsize": Product("f", math.nan, "arcsec"),
    "maskbits": Product("iu", 0, "", per_band=False),
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
