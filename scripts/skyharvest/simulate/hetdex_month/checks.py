"""What comparisons with the truth share: a check, the worst of many, and where fibers truly are."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.core.errors import HarvestError
from skyharvest.simulate.hetdex_month.field import DITHERS, fibers_of_amp
from skyharvest.simulate.hetdex_month.truth import Truth


@dataclass(frozen=True)
class Check:
    """What was compared, what was seen, what was expected, and whether it is so."""

    what: str
    seen: str
    goal: str
    well: bool


def guarded(what: str, checks: Iterator[Check]) -> Iterator[Check]:
    """Yield comparisons; a product that is not there, or is none, ends them with one that is not well."""
    try:
        yield from checks
    except (HarvestError, OSError, KeyError) as error:
        yield Check(what, f"{type(error).__name__}: {error}", "products", well=False)


@dataclass
class Worst:
    """The largest of some numbers, and whose it is."""

    value: float = -np.inf
    name: str = "none"
    all: list[float] = field(default_factory=list)

    def add(self, value: float, name: str) -> None:
        """Add a number."""
        self.all.append(value)
        if np.isnan(value) or value > self.value:  # NaN is worse than any: nothing is above it
            self.value, self.name = value, name

    def check(self, what: str, most: float, form: str = ".3f", unit: str = "") -> Check:
        """Return whether the largest is small enough; none at all is not."""
        seen = f"{self.value:{form}}{unit} ({self.name})" if self.all else "nothing"
        return Check(what, seen, f"≤ {most:{form}}{unit}", bool(self.all) and bool(self.value <= most))


def rms(values: Array) -> float:
    """Return the square root of the mean of squares."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def listed(names: list[str], otherwise: str) -> str:
    """Return how many are not as they should be, and which; or what there is if none is."""
    return otherwise if not names else f"{len(names)} not: {', '.join(names[:3])}{', …' if len(names) > 3 else ''}"


def fiber_places(truth: Truth, expnum: int, name: str) -> tuple[str, Floats, Floats]:
    """Return the slot of an amplifier, and where its fibers are in the turned focal plane, (112,) f8 ″ each."""
    _, ifuslot, ifuid, _, amp = name.split("_")
    at = fibers_of_amp(ifuid, amp) + np.array(DITHERS[(expnum - 1) % 3]) + truth.middle(ifuslot)
    return ifuslot, at[:, 0], at[:, 1]


def rows_of_amp(columns: dict[str, Array], expnum: int, name: str) -> Array:
    """Return the rows of an amplifier's fibers in an exposure."""
    specid, ifuslot, ifuid, _, amp = name.split("_")
    multiframe = f"multi_{specid}_{ifuslot}_{ifuid}_{amp}".encode()
    return np.flatnonzero((columns["multiframe"] == multiframe) & (columns["expnum"] == expnum))
