"""Which fibre each trace is: 112 fibres in three groups, of which some may be dark, or missing without a place left.

Places are a spacing apart, and two spacings where a group ends; so far apart are also the neighbours of a fibre without
light. Groups end at different fibres in different amplifiers, and a fibre may be missing so that those above it are
nearer. All numberings that fit what is seen are compared. One is taken if it is the only one, or if all others have
more fibres that are dark although no one named them, named ones that have light, or groups that end elsewhere than
usual.
Else it is an error: a fibre too many or too few shifts all those above it by one.
"""

import itertools
import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from skyharvest.core.arrays import Array, Bools, Floats
from skyharvest.core.errors import InputError

N_FIBRES = 112
USUAL_GAPS = (37, 75)
"""After so many fibres a group ends, as a rule."""
_MOST_DARK = 12
"""Places without light, with the two ends of groups, beyond which nothing is told."""
_MOST_GUESSES = 20_000
_NAMED_BUT_BRIGHT, _DARK_BUT_NOT_NAMED, _UNUSUAL_GAP = 2.0, 1.0, 0.5
"""What speaks against a numbering."""


@dataclass(frozen=True)
class Numbers:
    """Fibres of an amplifier, as fibidx from 0 at the bottom.

    Attributes
    ----------
    seen
        (n,) int: of each trace that was given, ascending.
    dark
        By fibidx: between which of these traces it is, and how many spacings above the lower one; without light.
    missing
        fibidx of those without a place of their own: no room is left for them, or they are beyond the outermost.
    gaps
        After so many fibres a group ends.
    """

    seen: Array
    dark: dict[int, tuple[int, int]]
    missing: tuple[int, ...]
    gaps: tuple[int, int]


def number_fibres(rows: Floats, faint: Bools, named: Collection[int] = ()) -> Numbers:
    """Number traces.

    Parameters
    ----------
    rows
        (n,) f8: rows of all fibres with any light in one column, ascending, pixels.
    faint
        (n,) bool: which of them have much less light than others.
    named
        fibidx of fibres that someone has named as dead or missing.

    Returns
    -------
    Numbers
        Of all 112 fibres.

    Raises
    ------
    InputError
        If none or several numberings fit; says what was found and how to tell which.
    """
    places, spacing = _places(rows)
    empty = np.setdiff1d(np.arange(places[-1] + 1), places)
    found = _Found(rows, spacing, places, empty, faint, tuple(sorted(set(named))))
    lacking = N_FIBRES - len(places) - (len(empty) - 2)  # neither seen nor with a place between others
    if not 2 <= len(empty) <= _MOST_DARK:
        raise InputError(f"{found}; expected two wider gaps between three groups of fibres. Look at the twilight")
    if lacking < 0:
        raise InputError(f"{found}; expected at most {N_FIBRES} fibres. Look at the twilight: is one of them a ghost?")
    if lacking > len(found.named):
        raise InputError(
            f"{found}; {lacking} of {N_FIBRES} lacking, and no room is left that tells which. Name them in the table "
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
            f"groups ending after fibres {one.gaps[0]} and {one.gaps[1]} with {_listed([*one.dark, *one.missing])} dark"
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
            f"found {len(self.places)} fibres{faint}, {self.spacing:.2f} pixels apart in rows {self.rows[0]:.0f} to "
            f"{self.rows[-1]:.0f}, with wider gaps between {', '.join(map(str, groups))}"
        )

    def numbered(self, ends: tuple[int, ...], missing: tuple[int, ...]) -> Numbers:
        """Return the numbers if groups end at these places, and these fibres have none."""
        there = np.setdiff1d(np.arange(N_FIBRES), missing)
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
    if len(rows) < N_FIBRES // 2 or (steps <= 0).any():
        raise InputError(f"found {len(rows)} fibres with light; expected {N_FIBRES}: is the amplifier dead?")
    spacing = float(np.median(steps))
    apart = np.maximum(np.round(steps / spacing), 1)
    if (steps < 0.6 * spacing).any():
        near = int(np.argmin(steps))
        raise InputError(
            f"found fibres in rows {rows[near]:.1f} and {rows[near + 1]:.1f}; expected them {spacing:.2f} pixels apart"
        )
    return np.concatenate([[0], np.cumsum(apart)]).astype(np.int64), spacing


def _listed(fibres: list[int]) -> str:
    return "none" if not fibres else "fibnum " + ", ".join(str(fibre + 1) for fibre in sorted(fibres))
