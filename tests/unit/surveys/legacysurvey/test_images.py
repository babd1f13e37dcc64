"""The images of a brick."""

import math

import pytest

from skyharvest.surveys.legacysurvey.images import NOT_READ, PRODUCTS

DR10_BITS = range(16)  # https://www.legacysurvey.org/dr10/bitmasks: the most of all releases


def test_products_say_what_pads():
    """What was not read is no data, no weight, and no number of exposures."""
    assert {name for name, product in PRODUCTS.items() if not product.per_band} == {"maskbits"}
    for name, product in PRODUCTS.items():
        if "i" in product.kinds:
            assert product.pad == NOT_READ
        else:
            assert math.isnan(product.pad) or (name, product.pad) == ("invvar", 0)


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_bits_that_were_not_read_are_no_releases_and_never_clean(bits):
    stored = NOT_READ & (1 << bits) - 1  # as in a file of so many bits, of signed numbers
    assert stored >> bits - 1, "the sign, which no release uses"
    assert all(stored & 1 << bit for bit in DR10_BITS)
    assert NOT_READ not in range(1 << 16)
