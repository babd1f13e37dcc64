"""Which fiber each trace is: 112 fibers in three groups, of which some may be dark, or missing without a place left.

Places are a spacing apart, and two spacings where a group ends; so far apart are also the neighbours of a fiber without
light. Groups end at different fibers in different amplifiers, and a fiber may be missing so that those above it are
nearer. All numberings that fit what is seen are compared. One is taken if it is the only one, or if all others have
more fibers that are dark although no one named them, named ones that have light, or groups that end elsewhere than
usual.
Else it is an error: a fiber too many or too few shifts all those above it by one.
"""

import itertools
import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from skyharvest.core.arrays import Array, Bools, Floats
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.virus import N_FIBERS

USUAL_GAPS = (37, 75)
"""After so many fibers a group ends, as a rule."""
_MOST_DARK = 12
"""Places without light, with the two ends of groups, beyond which nothing is told."""
_MOST_GUESSES = 20_000
_NAMED_BUT_BRIGHT, _DARK_BUT_NOT_NAMED, _UNUSUAL_GAP = 2.0, 1.0, 0.5
"""What speaks against a numbering."""


@dataclass(frozen=True)
class Numbers:
    """Fibers of an amplifier, as fibidx from 0 at the bottom.

    Attributes
    ----------
    seen
        (n,) int: of each trace that was given, ascending.
    dark
        By fibidx: between which of these traces it is, and how many spacings above the lower one; without light.
    missing
        fibidx of those without a place of their own: no room is left for them, or they are beyond the outermost.
    gaps
        After so many fibers a group ends.
    """

    seen: Array
    dark: dict[int, tuple[int, int]]
    missing: tuple[int, ...]
    gaps: tuple[int, int]


def number_fibers(rows: Floats, faint: Bools, named: Collection[int] = ()) -> Numbers:
    """Number traces.

    Parameters
    ----------
    rows
        (n,) f8: rows of all fibers with any light in one column, ascending, pixels.
    faint
        (n,) bool: which of them have much less light than others.
    named
        fibidx of fibers that someone has named as dead or missing.

    Returns
    -------
    Numbers
        Of all 112 fibers.

    Raises
    ------
    InputError
        If none or several numberings fit; says what was found and how to tell which.
    """
    places, spacing = _places(rows)
    empty = np.setdiff1d(np.arange(places[-1] + 1), places)
    found = _Found(rows, spacing, places, empty, faint, tuple(sorted(set(named))))
    lacking = N_FIBERS - len(places) - (len(empty) - 2)  # neither seen nor with a place between others
    if not 2 <= len(empty) <= _MOST_DARK:
        raise InputError(f"{found}; expected two wider gaps between three groups of fibers. Look at the twilight")
    if lacking < 0:
        raise InputError(f"{found}; expected at most {N_FIBERS} fibers. Look at the twilight: is one of them a ghost?")
    if lacking > len(found.named):
        raise InputError(
            f"{found}; {lacking} of {N_FIBERS} lacking, and no room is left that tells which. Name them in the table "
            "hetdex_reduction.bad.fibers, by fibnum (1 is the lowest on the detector)"
        )
    if math.comb(len(empty), 2) * math.comb(len(found.named), lacking) > _MOST_GUESSES:
        raise InputError(
            f"{found}; {lacking} are not there, and {len(found.named)} are named in hetdex_reduction.bad.fibers: too "
            "many to try. Name fewer"
        )
    guesses: dict[tuple[int, ...], tuple[float, Numbers]] = {}
    for ends in itertools.combinations(empty.tolist(), 2):
        for missing in itertools.combinations(found.named, lacking):
            numbers = found.numbered(ends, missing)
            against = found.against(numbers)
            key = tuple(numbers.seen.tolist())
            if key not in guesses or against < guesses[key][0]:
                guesses[key] = against, numbers
    ordered = sorted(guesses.values(), key=lambda guess: guess[0])
    if len(ordered) > 1 and ordered[0][0] == ordered[1][0]:
        several = " or ".join(
            f"groups ending after fibers {one.gaps[0]} and {one.gaps[1]} with {_listed([*one.dark, *one.missing])} dark"
            for _, one in ordered[:2]
        )
        raise InputError(
            f"{found}; that may be {several}. Name the dark ones in the table hetdex_reduction.bad.fibers, by fibnum "
            "(1 is the lowest on the detector)"
        )
    return ordered[0][1]


@dataclass(frozen=True)
class _Found:
    rows: Floats
    spacing: float
    places: Array
    empty: Array
    faint: Bools
    named: tuple[int, ...]

    def __str__(self) -> str:
        """Say what is seen."""
        ends = np.flatnonzero(np.diff(self.places) > 1)
        groups = np.diff(np.concatenate([[-1], ends, [len(self.places) - 1]])).tolist()
        faint = f", {np.count_nonzero(self.faint)} of them faint" if self.faint.any() else ""
        return (
            f"found {len(self.places)} fibers{faint}, {self.spacing:.2f} pixels apart in rows {self.rows[0]:.0f} to "
            f"{self.rows[-1]:.0f}, with wider gaps between {', '.join(map(str, groups))}"
        )

    def numbered(self, ends: tuple[int, ...], missing: tuple[int, ...]) -> Numbers:
        """Return the numbers if groups end at these places, and these fibers have none."""
        there = np.setdiff1d(np.arange(N_FIBERS), missing)
        taken = np.setdiff1d(np.arange(self.places[-1] + 1), ends)
        number_of = dict(zip(taken.tolist(), there.tolist(), strict=True))
        dark = {}
        for place in self.empty.tolist():
            if place not in ends:
                below = int(np.searchsorted(self.places, place)) - 1
                dark[number_of[place]] = below, place - int(self.places[below])
        seen = np.array([number_of[place] for place in self.places.tolist()])
        first, second = (number_of[min(place for place in number_of if place > end)] for end in ends)
        return Numbers(seen, dark, missing, (first, second))

    def against(self, numbers: Numbers) -> float:
        """Return how much speaks against a numbering."""
        dim = {*numbers.dark, *numbers.seen[self.faint].tolist()}
        bright = set(numbers.seen[~self.faint].tolist())
        unusual = sum(end != usual for end, usual in zip(numbers.gaps, USUAL_GAPS, strict=True))
        return (
            _NAMED_BUT_BRIGHT * len(bright.intersection(self.named))
            + _DARK_BUT_NOT_NAMED * len(dim.difference(self.named))
            + _UNUSUAL_GAP * unusual
        )


def _places(rows: Floats) -> tuple[Array, float]:
    """Return on which place each is, counted in spacings from the first, and the spacing."""
    steps = np.diff(rows)
    if len(rows) < N_FIBERS // 2 or (steps <= 0).any():
        raise InputError(f"found {len(rows)} fibers with light; expected {N_FIBERS}: is the amplifier dead?")
    spacing = float(np.median(steps))
    apart = np.maximum(np.round(steps / spacing), 1)
    if (steps < 0.6 * spacing).any():
        near = int(np.argmin(steps))
        raise InputError(
            f"found fibers in rows {rows[near]:.1f} and {rows[near + 1]:.1f}; expected them {spacing:.2f} pixels apart"
        )
    return np.concatenate([[0], np.cumsum(apart)]).astype(np.int64), spacing


def _listed(fibers: list[int]) -> str:
    return "none" if not fibers else "fibnum " + ", ".join(str(fiber + 1) for fiber in sorted(fibers))
