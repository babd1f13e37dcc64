"""Point-spread functions of the simulated images."""

import math


def profile_width(fwhm: float, beta: float | None) -> float:
    """Return the alpha of a Moffat profile (Moffat 1969, A&A 3, 455), or a Gaussian's sigma if ``beta`` is None.

    In the unit of ``fwhm``.
    """
    return fwhm / math.sqrt(8 * math.log(2)) if beta is None else fwhm / (2 * math.sqrt(2 ** (1 / beta) - 1))
