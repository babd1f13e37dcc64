"""Spectral lines: those that the browser marks, and emission lines by name, of which maps are made.

Imported whenever the configuration is checked, so it imports nothing heavy.
"""

import difflib
import math
import re
from dataclasses import dataclass
from typing import Literal

from skyharvest.core.errors import InputError


@dataclass(frozen=True)
class SpectralLine:
    """A spectral line.

    Attributes
    ----------
    label
        Text beside its marker.
    wave
        Rest wavelength, Å in vacuum; the mean of a blend.
    rank
        From 1 to 3: lines of rank 1 are labelled first where there is no room for all.
    name
        Name in the configuration, if maps can be made of it.
    """

    label: str
    wave: float
    rank: int
    name: str = ""


EMISSION = (
    SpectralLine("Lyβ", 1025.72, 2),
    SpectralLine("Lyα", 1215.67, 1, "LyA"),
    SpectralLine("N V", 1240.14, 2, "NV"),
    SpectralLine("O I", 1305.53, 3),
    SpectralLine("C II", 1335.31, 3),
    SpectralLine("Si IV", 1396.76, 2, "SiIV"),
    SpectralLine("C IV", 1549.06, 1, "CIV"),
    SpectralLine("He II", 1640.42, 2, "HeII1640"),
    SpectralLine("O III]", 1663.48, 3),
    SpectralLine("Al III", 1857.40, 3),
    SpectralLine("C III]", 1908.73, 1, "CIII"),
    SpectralLine("C II]", 2326.44, 2),
    SpectralLine("Mg II", 2799.12, 1, "MgII"),
    SpectralLine("[Ne V]", 3346.79, 3),
    SpectralLine("[Ne V]", 3426.84, 2, "NeV"),
    SpectralLine("[O II]", 3728.48, 1, "OII"),
    SpectralLine("[Ne III]", 3869.85, 2, "NeIII"),
    SpectralLine("Hζ", 3890.15, 3),
    SpectralLine("Hε", 3971.20, 3),
    SpectralLine("Hδ", 4102.89, 2, "Hd"),
    SpectralLine("Hγ", 4341.68, 2, "Hg"),
    SpectralLine("[O III]", 4364.44, 3),
    SpectralLine("He II", 4687.02, 3),
    SpectralLine("Hβ", 4862.68, 1, "Hb"),
    SpectralLine("[O III]", 4960.30, 2, "OIII4960"),
    SpectralLine("[O III]", 5008.24, 1, "OIII"),
    SpectralLine("He I", 5877.25, 3),
    SpectralLine("[O I]", 6302.05, 3),
    SpectralLine("[O I]", 6365.54, 3),
    SpectralLine("[N II]", 6549.86, 3),
    SpectralLine("Hα", 6564.61, 1),
    SpectralLine("[N II]", 6585.27, 2),
    SpectralLine("[S II]", 6718.29, 2),
    SpectralLine("[S II]", 6732.67, 2),
    SpectralLine("[Ar III]", 7137.77, 3),
    SpectralLine("[S III]", 9071.09, 3),
    SpectralLine("[S III]", 9533.21, 3),
)
"""Emission lines of galaxies and quasars, by wavelength.

Source: Vanden Berk et al. 2001, AJ 122, 549, table 2, laboratory wavelengths, for broad lines of quasars and for lines
with a name; Mg II and others: the SDSS's table of spectral lines (classic.sdss.org/dr6/algorithms/linestable.html) and
NIST (physics.nist.gov/asd).
"""

ABSORPTION = (
    SpectralLine("Si IV", 1393.76, 3),
    SpectralLine("Si IV", 1402.77, 3),
    SpectralLine("C IV", 1548.20, 2),
    SpectralLine("C IV", 1550.78, 3),
    SpectralLine("Al II", 1670.79, 3),
    SpectralLine("Al III", 1854.72, 3),
    SpectralLine("Al III", 1862.79, 3),
    SpectralLine("Fe II", 2344.21, 2),
    SpectralLine("Fe II", 2374.46, 3),
    SpectralLine("Fe II", 2382.76, 2),
    SpectralLine("Fe II", 2586.65, 3),
    SpectralLine("Fe II", 2600.17, 2),
    SpectralLine("Mg II", 2796.35, 1),
    SpectralLine("Mg II", 2803.53, 2),
    SpectralLine("Mg I", 2852.96, 3),
    SpectralLine("Ca K", 3934.78, 1),
    SpectralLine("Ca H", 3969.59, 1),
    SpectralLine("G band", 4305.61, 1),
    SpectralLine("Mg b", 5168.76, 3),
    SpectralLine("Mg b", 5174.12, 1),
    SpectralLine("Mg b", 5185.05, 3),
    SpectralLine("Na D", 5891.58, 1),
    SpectralLine("Na D", 5897.56, 3),
    SpectralLine("Ca II", 8500.36, 2),
    SpectralLine("Ca II", 8544.44, 1),
    SpectralLine("Ca II", 8664.52, 2),
)
"""Of stars and galaxies: the SDSS's table, Mg b and Na D from NIST's air wavelengths; of gas before quasars: Morton
2003, ApJS 149, 205."""

Kind = Literal["emission", "absorption"]
KINDS: dict[Kind, tuple[SpectralLine, ...]] = {"emission": EMISSION, "absorption": ABSORPTION}

LINES: dict[str, float] = {line.name: line.wave for line in EMISSION if line.name}
"""Rest wavelengths of the lines with a name, Å in vacuum; the mean of blends that HETDEX does not resolve."""


def rest_wave(line: str | float) -> float:
    """Return the rest wavelength of a line.

    Parameters
    ----------
    line
        A name of `LINES` in upper or lower case, also with brackets (``[OII]``); or a wavelength, Å in vacuum.

    Returns
    -------
    float
        Å, in vacuum.

    Raises
    ------
    InputError
        If it is neither; the message names the nearest line.
    """
    word = re.sub(r"[\s\[\]]", "", str(line)).lower()
    names = {name.lower(): name for name in LINES}
    if word in names:
        return LINES[names[word]]
    try:
        wave = float(word)
    except ValueError:
        close = difflib.get_close_matches(word, names, n=1)
        advice = f"did you mean {names[close[0]]!r}?" if close else f"expected one of {', '.join(LINES)}"
        raise InputError(f"{line!r} is no line; {advice}, or a rest wavelength in Å, in vacuum") from None
    if not 0 < wave < math.inf:
        raise InputError(f"the rest wavelength of a line is {line!r}, expected a positive number of Å, in vacuum")
    return wave
