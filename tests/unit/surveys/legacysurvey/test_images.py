"""The images of a brick."""

import math

from skyharvest.surveys.legacysurvey.images import PRODUCTS


def test_products_say_what_pads():
    assert {name for name, product in PRODUCTS.items() if not product.per_band} == {"maskbits"}
    for name, product in PRODUCTS.items():
        assert (product.pad == 0) != math.isnan(product.pad)
        if "i" in product.kinds or name == "invvar":
            assert product.pad == 0
