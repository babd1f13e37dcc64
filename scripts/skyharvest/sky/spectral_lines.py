"""Spectral lines that the spectrum browser marks."""

from dataclasses import dataclass
from typing import Literal

from skyharvest.sky.emission_lines import LINES


@dataclass(frozen=True)
class Line:
    """A line.

    Attributes
    ----------
    label
        As it is written beside the marker.
    wave
        Rest wavelength, Å in vacuum; of blends the mean.
    rank
        1 for what is labelled first where there is no room for all, to 3.
    """

    label: str
    wave: float
    rank: int


EMISSION = (
    Line("Lyβ", 1025.72, 2),
    Line("Lyα", LINES["LyA"], 1),
    Line("N V", LINES["NV"], 2),
    Line("O I", 1305.53, 3),
    Line("C II", 1335.31, 3),
    Line("Si IV", LINES["SiIV"], 2),
    Line("C IV", LINES["CIV"], 1),
    Line("He II", LINES["HeII1640"], 2),
    Line("O III]", 1663.48, 3),
    Line("Al III", 1857.40, 3),
    Line("C III]", LINES["CIII"], 1),
    Line("C II]", 2326.44, 2),
    Line("Mg II", LINES["MgII"], 1),
    Line("[Ne V]", 3346.79, 3),
    Line("[Ne V]", LINES["NeV"], 2),
    Line("[O II]", LINES["OII"], 1),
    Line("[Ne III]", LINES["NeIII"], 2),
    Line("Hζ", 3890.15, 3),
    Line("Hε", 3971.20, 3),
    Line("Hδ", LINES["Hd"], 2),
    Line("Hγ", LINES["Hg"], 2),
    Line("[O III]", 4364.44, 3),
    Line("He II", 4687.02, 3),
    Line("Hβ", LINES["Hb"], 1),
    Line("[O III]", LINES["OIII4960"], 2),
    Line("[O III]", LINES["OIII"], 1),
    Line("He I", 5877.25, 3),
    Line("[O I]", 6302.05, 3),
    Line("[O I]", 6365.54, 3),
    Line("[N II]", 6549.86, 3),
    Line("Hα", 6564.61, 1),
    Line("[N II]", 6585.27, 2),
    Line("[S II]", 6718.29, 2),
    Line("[S II]", 6732.67, 2),
    Line("[Ar III]", 7137.77, 3),
    Line("[S III]", 9071.09, 3),
    Line("[S III]", 9533.21, 3),
)
"""Of galaxies and quasars.

Source: `skyharvest.sky.emission_lines` where it has them; other broad lines of quasars: Vanden Berk et al. 2001, AJ
122, 549, table 2; others: the SDSS's table of spectral lines (classic.sdss.org/dr6/algorithms/linestable.html) and NIST
(physics.nist.gov/asd).
"""

ABSORPTION = (
    Line("Si IV", 1393.76, 3),
    Line("Si IV", 1402.77, 3),
    Line("C IV", 1548.20, 2),
    Line("C IV", 1550.78, 3),
    Line("Al II", 1670.79, 3),
    Line("Al III", 1854.72, 3),
    Line("Al III", 1862.79, 3),
    Line("Fe II", 2344.21, 2),
    Line("Fe II", 2374.46, 3),
    Line("Fe II", 2382.76, 2),
    Line("Fe II", 2586.65, 3),
    Line("Fe II", 2600.17, 2),
    Line("Mg II", 2796.35, 1),
    Line("Mg II", 2803.53, 2),
    Line("Mg I", 2852.96, 3),
    Line("Ca K", 3934.78, 1),
    Line("Ca H", 3969.59, 1),
    Line("G band", 4305.61, 1),
    Line("Mg b", 5168.76, 3),
    Line("Mg b", 5174.12, 1),
    Line("Mg b", 5185.05, 3),
    Line("Na D", 5891.58, 1),
    Line("Na D", 5897.56, 3),
    Line("Ca II", 8500.36, 2),
    Line("Ca II", 8544.44, 1),
    Line("Ca II", 8664.52, 2),
)
"""Of stars and galaxies: the SDSS's table, Mg b and Na D from NIST's air wavelengths; of gas before quasars: Morton
2003, ApJS 149, 205."""

Kind = Literal["emission", "absorption"]
KINDS: dict[Kind, tuple[Line, ...]] = {"emission": EMISSION, "absorption": ABSORPTION}
