"""Batches are HEALPix cells: by their names, and by the work in them."""

import hpgeom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyharvest.core.errors import InputError
from skyharvest.harvest.batches import divide, name_of, pixels_of

PIXELS = st.dictionaries(st.integers(0, 12 * 16**2 - 1), st.floats(0.01, 30), max_size=60)


@given(PIXELS, st.floats(0.1, 100))
def test_every_pixel_is_in_one_batch_that_is_its_cell_and_as_large_as_it_may_be(seconds, limit):
    batches = divide(seconds, limit)
    assert sorted(pix16 for pixels in batches.values() for pix16 in pixels) == sorted(seconds)
    for name, pixels in batches.items():
        assert pixels_of(name, seconds) == [pix16 for pix16 in seconds if pix16 in pixels]
        assert sum(seconds[pix16] for pix16 in pixels) <= limit or name[0] == "4"
        if name != "all":
            order, cell = map(int, name.split("-"))
            parent = "all" if order == 0 else f"{order - 1}-{cell >> 2}"
            assert sum(seconds[pix16] for pix16 in pixels_of(parent, seconds)) > limit


@pytest.mark.parametrize("order", range(5))
def test_a_cell_is_healpix_s(order):
    ra, dec = hpgeom.pixel_to_angle(16, range(12 * 16**2))
    cells = hpgeom.angle_to_pixel(2**order, ra, dec)
    for pix16 in range(0, 12 * 16**2, 97):
        assert name_of(pix16, order) == f"{order}-{cells[pix16]}"


@pytest.mark.parametrize("name", ["", "5-1", "x", "2-", "-3", "2-x", "2+3"])
def test_what_names_no_cell_is_refused(name):
    with pytest.raises(InputError, match=r"expected all, or order and pixel of a HEALPix cell"):
        pixels_of(name, [1])
