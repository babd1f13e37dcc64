"""Numbers and words as reports write them; what is not known is a dash."""

import numpy as np

UNKNOWN = "–"
C_KMS = 299792.458
FWHM = 2.3548200450309493
"""Of a Gaussian, in σ."""


def number(value: float, decimals: int) -> str:
    """Return a number; what rounds to 0 has no sign."""
    if not np.isfinite(value):
        return UNKNOWN
    words = f"{value:.{decimals}f}"
    return words.replace("-", "−" if float(words) else "")


def with_error(value: float, error: float, decimals: int) -> str:
    """Return a number and its error."""
    if not np.isfinite(value):
        return UNKNOWN
    return f"{number(value, decimals)} ± {number(error, decimals)}" if np.isfinite(error) else number(value, decimals)


def with_unit(words: str, unit: str) -> str:
    """Return a number with its unit; what is not known has none."""
    return words if words == UNKNOWN else f"{words} {unit}"


def share(value: float) -> str:
    """Return a share in per cent; neither none nor all of it, as nothing is that sure."""
    if value >= 0.995:
        return ">99%"
    return f"{value:.0%}" if value >= 0.005 else "<1%"


def sexagesimal(ra: float, dec: float) -> str:
    """Return a position in hours and degrees: ``13:50:27.14 +51:13:47.6``; 0.01 s and 0.1″, carried over rightly."""
    if not (np.isfinite(ra) and np.isfinite(dec)):
        return UNKNOWN
    hundredths = round(ra % 360 / 15 * 3600 * 100) % (24 * 3600 * 100)
    tenths = round(abs(dec) * 3600 * 10)
    hours, rest = divmod(hundredths, 3600 * 100)
    minutes, rest = divmod(rest, 60 * 100)
    degrees, left = divmod(tenths, 3600 * 10)
    arcmin, left = divmod(left, 60 * 10)
    sign = "−" if dec < 0 and tenths else "+"
    return (
        f"{hours:02d}:{minutes:02d}:{rest // 100:02d}.{rest % 100:02d} "
        f"{sign}{degrees:02d}:{arcmin:02d}:{left // 10:02d}.{left % 10}"
    )


def velocity(sigma: float, wave: float) -> float:
    """Return the FWHM, km/s, of a line with this σ, Å."""
    return FWHM * sigma / wave * C_KMS


def shortened(words: str, most: int) -> str:
    """Return text, cut to so many letters if it has more."""
    return words if len(words) <= most else words[: most - 1] + "…"


def power_of_ten(value: float) -> str:
    """Return a large number: ``1.2e42`` as people write it."""
    if not (np.isfinite(value) and value > 0):
        return UNKNOWN
    mantissa, exponent = f"{value:.1e}".split("e")
    digits = str(int(exponent)).translate(str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"))
    return f"{mantissa}·10{digits}"
