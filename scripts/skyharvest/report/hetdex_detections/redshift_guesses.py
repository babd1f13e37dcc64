"""What a line may be: the redshift of each possible line, what the others of that redshift say, and the odds.

The odds are Bayes's, in the manner of Leung et al. 2017 (ApJ 843, 130): how common a kind of objects is, times how
likely its distribution of equivalent widths makes the continuum that is seen, times the same of the width of the line,
and of each other line that the redshift puts into the spectrum. Kinds are simple (`object_kinds`): the odds are a hint
for the reader, not a classification. The field's cut, a rest equivalent width of Lyα above 20 Å, is told beside them.

Spectra are in air, rest wavelengths in vacuum; the Earth's motion (up to 30 km/s) is not taken off.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.cosmology import FlatLambdaCDM

from skyharvest.core.arrays import Floats
from skyharvest.report.hetdex_detections.line_fluxes import gaussian, measure_lines
from skyharvest.report.hetdex_detections.object_kinds import KINDS, Kind, KindLine
from skyharvest.surveys.hetdex.cube import air_to_vacuum
from skyharvest.surveys.hetdex.maps import line_wave

FIRST_WAVE, LAST_WAVE = 3500.0, 5520.0
"""Å in air, where other lines are looked for: at the edges of spectra little is known."""
COSMOLOGY = FlatLambdaCDM(H0=70, Om0=0.3)
"""Luminosities are those of this one."""
LYA_CUT = 20.0
"""Å: rest equivalent width above which a line is Lyα by the field's cut."""
LEAST_REDSHIFT = -0.001
BLENDED = 3.0
"""σ: a line that is nearer to the detected one is not measured."""
SEEN_SN, FAR = 4.0, 1e3
"""Signal to noise of another line that is called seen; and by how much one line can raise the odds."""
UNEXPECTED = 0.05
"""Share of objects that are not as their kind: of equivalent widths, widths, and lines that lower the odds."""

_RATIOS = np.linspace(-2.5, 2.5, 41)  # σ of the logarithm of ratios
_WIDTHS = np.geomspace(0.3, 3000.0, 160)  # Å, rest equivalent widths


@dataclass(frozen=True)
class OtherLine:
    """A line that a guess puts into the spectrum.

    Attributes
    ----------
    label
        As people write it.
    wave
        Å in air.
    flux, error
        Measured there, 1e-17 erg/s/cm²; NaN where nothing is known.
    expected
        What the kind of objects would have, about; 1e-17 erg/s/cm².
    """

    label: str
    wave: float
    flux: float
    error: float
    expected: float

    @property
    def sn(self) -> float:
        """Signal to noise."""
        return self.flux / self.error


@dataclass(frozen=True)
class Guess:
    """What a line may be.

    Attributes
    ----------
    label, wave, rest
        The line: observed, Å in air; and at rest, Å in vacuum.
    kind
        The most likely kind of objects that has it.
    redshift
        By this line.
    probability
        Of all guesses it has this share, whatever the kind.
    width, width_error
        Rest equivalent width, Å; NaN where there is no continuum, and `width_least` tells more.
    width_least
        Rest equivalent width, Å, that it has at least (2 σ).
    luminosity
        Of the line, erg/s.
    others
        Lines of the kind that are in range.
    """

    label: str
    wave: float
    rest: float
    kind: str
    redshift: float
    probability: float
    width: float
    width_error: float
    width_least: float
    luminosity: float
    others: tuple[OtherLine, ...]

    @property
    def seen(self) -> list[OtherLine]:
        """Other lines that are seen."""
        return [line for line in self.others if line.sn >= SEEN_SN]

    @property
    def sureness(self) -> str:
        """How sure it is, in words."""
        if self.probability >= 0.95 and self.seen:
            return "sure, by more than one line"
        if self.probability >= 0.8:
            return "likely, by more than one line" if self.seen else "likely, by one line"
        return "open"


@dataclass(frozen=True)
class ObservedLine:
    """A line as it was found.

    Attributes
    ----------
    wave
        Å in air.
    flux, flux_error
        1e-17 erg/s/cm².
    sigma
        Å.
    continuum, continuum_error
        Below it, 1e-17 erg/s/cm²/Å.
    """

    wave: float
    flux: float
    flux_error: float
    sigma: float
    continuum: float
    continuum_error: float


@dataclass(frozen=True)
class _Hypothesis:
    kind: Kind
    line: KindLine
    redshift: float
    others: tuple[OtherLine, ...]
    odds: float


def guess_redshifts(line: ObservedLine, wave: Floats, flux: Floats, error: Floats) -> list[Guess]:
    """Return what a line may be, the most likely first; nothing if its wavelength or flux is not known.

    Parameters
    ----------
    wave
        (w,) f8 Å in air, evenly spaced.
    flux, error
        (w,) f8, 1e-17 erg/s/cm²/Å; NaN where nothing is known.
    """
    if not (np.isfinite(line.wave) and line.flux > 0 and line.sigma > 0):
        return []
    vacuum = float(air_to_vacuum(np.array([line.wave]))[0])
    possible = [
        (kind, one, vacuum / one.rest - 1)
        for kind in KINDS
        for one in kind.lines
        if one.share > 0 and vacuum / one.rest - 1 >= LEAST_REDSHIFT
    ]
    rest = flux - line.flux * gaussian(wave, np.array(line.wave), np.array(line.sigma))
    others = _measure_others(line, possible, wave, rest, error)
    made = [
        _Hypothesis(kind, one, redshift, lines, _odds(line, kind, one, redshift, lines))
        for (kind, one, redshift), lines in zip(possible, others, strict=True)
    ]
    total = sum(one.odds for one in made)
    by_line: dict[str, list[_Hypothesis]] = {}
    for one in made:
        by_line.setdefault(one.line.label + str(one.line.rest), []).append(one)
    guesses = [_guess(line, group, total) for group in by_line.values()]
    return sorted(guesses, key=lambda guess: -guess.probability)


def _measure_others(
    line: ObservedLine, possible: Sequence[tuple[Kind, KindLine, float]], wave: Floats, rest: Floats, error: Floats
) -> list[tuple[OtherLine, ...]]:
    """Return for each hypothesis its other lines, all measured at once; ``rest`` lacks the detected line."""
    asked = [
        (k, other, float(line_wave(np.array([redshift]), other.rest)[0]), line.flux * other.strength / one.strength)
        for k, (kind, one, redshift) in enumerate(possible)
        for other in kind.lines
        if other is not one
    ]
    asked = [
        one for one in asked if FIRST_WAVE <= one[2] <= LAST_WAVE and abs(one[2] - line.wave) > BLENDED * line.sigma
    ]
    centres = np.array([at for _, _, at, _ in asked])
    measured = measure_lines(wave, rest, error, centres, np.full(len(asked), line.sigma))
    found: list[list[OtherLine]] = [[] for _ in possible]
    for (k, other, at, expected), value, its_error in zip(asked, measured.flux, measured.whole_error, strict=True):
        found[k].append(OtherLine(other.label, at, float(value), float(its_error), expected))
    return [tuple(lines) for lines in found]


def _odds(line: ObservedLine, kind: Kind, one: KindLine, redshift: float, others: Sequence[OtherLine]) -> float:
    odds = kind.prior * one.share * _odds_of_continuum(line, one.width, redshift) * _odds_of_sigma(line.sigma, kind)
    for other in others:
        odds *= _odds_of_line(other, kind.scatter)
    return odds


def _odds_of_continuum(line: ObservedLine, scale: float, redshift: float) -> float:
    """Return how likely the continuum is, given the distribution of rest equivalent widths."""
    if not (np.isfinite(line.continuum) and line.continuum_error > 0):
        return 1.0
    weight = np.exp(-_WIDTHS / scale) * _WIDTHS
    weight = (1 - UNEXPECTED) * weight / weight.sum() + UNEXPECTED / _WIDTHS.size
    continuum = line.flux / (_WIDTHS * (1 + redshift))
    # The line's own error, too: it moves the continuum that a width stands for.
    error = np.hypot(line.continuum_error, np.nan_to_num(line.flux_error) / line.flux * continuum)
    likely = np.exp(-0.5 * ((line.continuum - continuum) / error) ** 2) / error
    return float((weight * likely).sum()) + 1e-12


def _odds_of_sigma(sigma: float, kind: Kind) -> float:
    away = np.log10(sigma / kind.sigma) / kind.sigma_scatter
    return float(
        ((1 - UNEXPECTED) * np.exp(-0.5 * away**2) + UNEXPECTED * np.exp(-0.5 * (away / 4) ** 2)) / kind.sigma_scatter
    )


def _odds_of_line(other: OtherLine, scatter: float) -> float:
    """Return by how much a line raises the odds, whether it is seen or not."""
    if not np.isfinite(other.flux):
        return 1.0
    expected = other.expected * 10 ** (_RATIOS * scatter)
    weight = np.exp(-0.5 * _RATIOS**2)
    # exp of a difference, as both likelihoods may be 0 in numbers
    gain = 0.5 * (other.flux**2 - (other.flux - expected) ** 2) / other.error**2
    raised = float((weight * np.exp(np.minimum(gain, np.log(FAR)))).sum() / weight.sum())
    return UNEXPECTED + (1 - UNEXPECTED) * raised


def _guess(line: ObservedLine, group: Sequence[_Hypothesis], total: float) -> Guess:
    """Return the guess of hypotheses that share a line and so a redshift."""
    best = max(group, key=lambda one: one.odds)
    stretch = 1 + best.redshift
    is_seen = line.continuum > 2 * line.continuum_error
    highest = max(line.continuum, 0.0) + 2 * line.continuum_error
    width = width_error = np.nan
    if is_seen:
        width = line.flux / line.continuum / stretch
        width_error = width * float(np.hypot(line.flux_error / line.flux, line.continuum_error / line.continuum))
    return Guess(
        label=best.line.label,
        wave=line.wave,
        rest=best.line.rest,
        kind=best.kind.name,
        redshift=best.redshift,
        probability=sum(one.odds for one in group) / total,
        width=width,
        width_error=width_error,
        width_least=line.flux / highest / stretch if highest > 0 else np.nan,
        luminosity=_luminosity(line.flux, best.redshift),
        others=best.others,
    )


def _luminosity(flux: float, redshift: float) -> float:
    """Return the luminosity of a flux, erg/s; NaN where a redshift is no distance."""
    if redshift <= 0:
        return np.nan
    return float(4 * np.pi * COSMOLOGY.luminosity_distance(redshift).to_value("cm") ** 2 * flux * 1e-17)
