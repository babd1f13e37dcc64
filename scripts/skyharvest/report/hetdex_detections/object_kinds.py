"""Kinds of objects whose lines HETDEX sees, and which of their lines are how strong: what redshift guesses go by.

Strengths, widths and shares are typical ones, rounded, and taken from no table: a guess takes them to scatter as
widely as a kind says, and is a hint. Papers that measure them: of galaxies Kennicutt 1992, ApJ 388, 310; of quasars
Vanden Berk et al. 2001, AJ 122, 549; equivalent widths of Lyα Gronwall et al. 2007, ApJ 667, 79, of [O II] Ciardullo et
al. 2013, ApJ 769, 83; how common the kinds are in HETDEX Mentuch Cooper et al. 2023, ApJ 943, 177.
"""

from dataclasses import dataclass

from skyharvest.sky.spectral_lines import EMISSION, LINES


@dataclass(frozen=True)
class KindLine:
    """A line of a kind of objects.

    Attributes
    ----------
    label
        As people write it.
    rest
        Å in vacuum.
    strength
        Flux; only ratios of a kind's lines count.
    width
        Scale of the exponential distribution of rest equivalent widths, Å.
    share
        How often it is the line that was found, of all of the kind.
    """

    label: str
    rest: float
    strength: float
    width: float
    share: float


@dataclass(frozen=True)
class Kind:
    """A kind of objects.

    Attributes
    ----------
    name
        As people say it.
    prior
        Share of all detections.
    lines
        Its lines.
    scatter
        Of the ratios of lines, dex.
    sigma, sigma_scatter
        Typical σ of its lines as observed, Å, and its scatter, dex.
    """

    name: str
    prior: float
    lines: tuple[KindLine, ...]
    scatter: float
    sigma: float
    sigma_scatter: float


_LABELS = {line.name: line.label for line in EMISSION if line.name} | {"OIII4960": "[O III] 4960"}


def _line(name: str, strength: float, width: float, share: float) -> KindLine:
    return KindLine(_LABELS[name], LINES[name], strength, width, share)


LYA_EMITTER = Kind("Lyα emitter", 0.50, (_line("LyA", 1.0, 76.0, 1.0), _line("CIV", 0.03, 3.0, 0.0)), 0.5, 3.0, 0.13)
GALAXY = Kind(
    "galaxy",
    0.44,
    (
        _line("OII", 1.0, 15.0, 0.78),
        _line("NeIII", 0.05, 2.0, 0.01),
        _line("Hd", 0.04, 2.0, 0.01),
        _line("Hg", 0.10, 4.0, 0.02),
        _line("Hb", 0.30, 10.0, 0.05),
        _line("OIII4960", 0.2, 6.0, 0.03),
        _line("OIII", 0.6, 18.0, 0.10),
    ),
    0.45,
    2.7,
    0.10,
)
QUASAR = Kind(
    "AGN",
    0.06,
    (
        _line("LyA", 1.0, 90.0, 0.40),
        _line("NV", 0.03, 2.5, 0.0),
        _line("SiIV", 0.08, 8.0, 0.01),
        _line("CIV", 0.25, 25.0, 0.27),
        _line("HeII1640", 0.01, 1.0, 0.0),
        _line("CIII", 0.16, 20.0, 0.17),
        _line("MgII", 0.15, 32.0, 0.13),
        _line("NeV", 0.01, 1.5, 0.0),
        _line("OII", 0.016, 2.0, 0.02),
    ),
    0.35,
    8.0,
    0.30,
)
KINDS = (LYA_EMITTER, GALAXY, QUASAR)
