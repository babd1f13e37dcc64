"""Emission lines by name. It is imported whenever the configuration is checked, so it stays light."""

import difflib
import math
import re

from skyharvest.core.errors import InputError

LINES: dict[str, float] = {
    "LyA": 1215.67,
    "NV": 1240.14,
    "SiIV": 1396.76,
    "CIV": 1549.06,
    "HeII1640": 1640.42,
    "CIII": 1908.73,
    "MgII": 2799.12,
    "NeV": 3426.84,
    "OII": 3728.48,
    "NeIII": 3869.85,
    "Hd": 4102.89,
    "Hg": 4341.68,
    "Hb": 4862.68,
    "OIII4960": 4960.30,
    "OIII": 5008.24,
}
"""Rest wavelengths, Å in vacuum; of blends that HETDEX does not resolve the mean.

Source: Vanden Berk et al. 2001, AJ 122, 549, table 2, laboratory wavelengths; Mg II: the SDSS's table of spectral lines
(classic.sdss.org/dr6/algorithms/linestable.html).
"""


def rest_wave(line: str | float) -> float:
    """Return the rest wavelength of a line.

    Parameters
    ----------
    line
        A name of `LINES`, in any case, also with brackets (``[OII]``); or a wavelength, Å in vacuum, also as text.

    Returns
    -------
    float
        Å, in vacuum.

    Raises
    ------
    InputError
        If it is neither; says which name is nearest.
    """
    word = re.sub(r"[\s\[\]]", "", str(line)).lower()
    names = {name.lower(): name for name in LINES}
    if word in names:
        return LINES[names[word]]
    try:
        wave = float(word)
    except ValueError:
        found = difflib.get_close_matches(word, names, n=1)
        near = f"did you mean {names[found[0]]!r}?" if found else f"expected one of {', '.join(LINES)}"
        raise InputError(f"{line!r} is no line; {near}, or a rest wavelength in Å, in vacuum") from None
    if not 0 < wave < math.inf:
        raise InputError(f"the rest wavelength of a line is {line!r}, expected a positive number of Å, in vacuum")
    return wave
