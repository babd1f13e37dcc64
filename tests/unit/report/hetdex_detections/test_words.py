"""Numbers in words, against astropy's."""

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord

from skyharvest.report.hetdex_detections.words import number, power_of_ten, sexagesimal, share, velocity, with_error


@pytest.mark.parametrize(
    ("ra", "dec"), [(207.604523, 51.228153), (0.0, -0.004), (359.99999999, -89.9999999), (12.5, 59.99999999)]
)
def test_sexagesimal_positions(ra, dec):
    """As astropy has them, but for seconds of 60, which it carries over likewise, and 24 h, which are 0 h."""
    at = SkyCoord(ra * units.deg, dec * units.deg)
    hours = at.ra.to_string("hour", sep=":", precision=2, pad=True).replace("24:00:00.00", "00:00:00.00")
    degrees = at.dec.to_string("deg", sep=":", precision=1, pad=True, alwayssign=True)
    assert sexagesimal(ra, dec) == f"{hours} {degrees}".replace("-", "−")


def test_numbers():
    assert number(-0.04, 1) == "0.0" and number(-1.26, 1) == "−1.3" and number(np.nan, 1) == "–"
    assert with_error(1.234, np.nan, 2) == "1.23" and with_error(1.2, 0.3, 1) == "1.2 ± 0.3"
    assert (share(0.9999), share(0.5), share(0.001)) == (">99%", "50%", "<1%")
    assert (power_of_ten(1.24e42), power_of_ten(np.nan)) == ("1.2·10⁴²", "–")
    assert power_of_ten(9.99e41) == "1.0·10⁴²"
    assert velocity(2.7, 4500.0) == pytest.approx(2.35482 * 2.7 / 4500 * 299792.458, rel=1e-5)
