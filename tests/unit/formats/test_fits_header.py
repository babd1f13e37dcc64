"""Cards of FITS headers, compared with astropy."""

import numpy as np
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from skyharvest.formats.fits_header import find_end, parse_cards


@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200), st.integers(-(2**62), 2**62), st.floats()
)
def test_cards_are_read_as_astropy_writes_them(text, integer, number):
    header = fits.Header()
    header["TEXT"] = text
    header["INT"] = integer
    header["BOOL"] = True
    if np.isfinite(number):
        header["FLOAT"] = number
    raw = header.tostring().encode("ascii")
    cards = parse_cards(raw[: find_end(raw)])
    back = fits.Header.fromstring(raw)
    assert cards["TEXT"] == back["TEXT"]
    assert cards["INT"] == integer
    assert cards["BOOL"] is True
    if np.isfinite(number):
        assert cards["FLOAT"] == back["FLOAT"]
