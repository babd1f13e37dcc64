"""The plan: which units of work there are, by the frames that were found; ``plan/plan.csv``.

- ``bias``: the bias frames of a pairing in a month; ``twilight``: its twilights.
- ``science``: the frames of a pairing in an exposure of a shot.

A unit is ``ready``, or ``failed`` with the reason: it lacks frames, or what it depends on does. Its ``digest`` changes
when its frames do, so that a job is run again exactly then.

Light: it is imported whenever the workflow is parsed. `skyharvest.reduction.hetdex.frames.planning` makes the plan.
"""

import functools
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from skyharvest.core.csv_file import read_rows, write_rows
from skyharvest.core.errors import InputError
from skyharvest.core.words import nearest
from skyharvest.reduction.hetdex.layout import month_of, name_of_exposure

BIAS, TWILIGHT, SCIENCE = KINDS = ("bias", "twilight", "science")
READY, FAILED = "ready", "failed"


@dataclass(frozen=True)
class Unit:
    """A unit of work.

    Attributes
    ----------
    kind
        One of `KINDS`.
    month
        YYYYMM.
    ifu
        The pairing.
    shot, expnum
        Of science; else empty, and 0.
    n_frames
        Frames that can be used, of all amplifiers.
    frames_of
        Month of which the frames are: another one where that stands in.
    digest
        Another one means other frames.
    state, reason
        `READY`; or `FAILED`, and why.
    """

    kind: str
    month: int
    ifu: str
    shot: str
    expnum: int
    n_frames: int
    frames_of: int
    digest: str
    state: str = READY
    reason: str = ""

    @property
    def exposure(self) -> str:
        """The field's name of the exposure: ``exp01``; empty if it is none."""
        return name_of_exposure(self.expnum) if self.shot else ""

    @property
    def key(self) -> tuple[str, ...]:
        """What names it: kind, month and pairing, or kind, shot, exposure and pairing."""
        where = (self.shot, self.exposure) if self.shot else (str(self.month),)
        return (self.kind, *where, self.ifu)

    def __str__(self) -> str:
        """Return what a message calls it."""
        return " ".join(self.key)


COLUMNS = tuple(field.name for field in fields(Unit))
_WHOLE = ("month", "expnum", "n_frames", "frames_of")


class Plan:
    """The units of a reduction.

    Parameters
    ----------
    units
        All of them.
    """

    def __init__(self, units: Iterable[Unit]) -> None:
        self.units = tuple(units)

    def of(self, kind: str, state: str | None = READY) -> list[Unit]:
        """Return the units of a kind, ready ones unless another state is named; None: of any."""
        return [unit for unit in self.units if unit.kind == kind and state in (None, unit.state)]

    @property
    def failed(self) -> list[Unit]:
        """Units that cannot be done."""
        return [unit for unit in self.units if unit.state == FAILED]

    @property
    def months(self) -> list[int]:
        """Months with a unit that is ready."""
        return sorted({unit.month for unit in self.units if unit.state == READY})

    def pairings(self, month: int | str, kind: str = TWILIGHT) -> list[str]:
        """Return the pairings of a month with a unit of a kind that is ready."""
        return self._by_month.get((kind, int(month)), [])

    @property
    def shots(self) -> list[str]:
        """Shots with a unit that is ready."""
        return sorted(self._by_shot)

    def exposures(self, shot: str) -> list[str]:
        """Return the exposures of a shot with a unit that is ready: ``exp01``, …"""
        return sorted(self._by_shot.get(shot, {}))

    def ifus(self, shot: str, exposure: str) -> list[str]:
        """Return the pairings of an exposure that are ready."""
        return sorted(self._by_shot.get(shot, {}).get(exposure, ()))

    def ifus_of_shot(self, shot: str) -> list[str]:
        """Return the pairings that are ready in any exposure of a shot."""
        return sorted({ifu for ifus in self._by_shot.get(shot, {}).values() for ifu in ifus})

    def unit(self, *key: object) -> Unit:
        """Return a unit by its `Unit.key`.

        Raises
        ------
        InputError
            If there is none.
        """
        named = tuple(map(str, key))
        found = self._by_key.get(named)
        if found is None:
            known = (" ".join(other) for other in self._by_key if other[0] == named[0])
            raise InputError(f"the plan has no unit {' '.join(named)}{nearest(' '.join(named), list(known)[:500])}")
        return found

    def digest(self, *key: object) -> str:
        """Return the digest of a unit's frames, by its `Unit.key`."""
        return self.unit(*key).digest

    @functools.cached_property
    def _by_key(self) -> dict[tuple[str, ...], Unit]:
        return {unit.key: unit for unit in self.units}

    @functools.cached_property
    def _by_month(self) -> dict[tuple[str, int], list[str]]:
        months: dict[tuple[str, int], set[str]] = {}
        for unit in self.units:
            if unit.state == READY:
                months.setdefault((unit.kind, unit.month), set()).add(unit.ifu)
        return {key: sorted(ifus) for key, ifus in months.items()}

    @functools.cached_property
    def _by_shot(self) -> dict[str, dict[str, list[str]]]:
        shots: dict[str, dict[str, list[str]]] = {}
        for unit in self.of(SCIENCE):
            shots.setdefault(unit.shot, {}).setdefault(unit.exposure, []).append(unit.ifu)
        return shots


def write_plan(path: Path, units: Iterable[Unit]) -> None:
    """Write a plan."""
    write_rows(path, COLUMNS, ([getattr(unit, name) for name in COLUMNS] for unit in units))


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises
    ------
    MalformedFile
        If it is none.
    """
    whole = [name in _WHOLE for name in COLUMNS]
    return Plan(
        Unit(*(int(cell) if is_whole else cell for cell, is_whole in zip(cells, whole, strict=True)))  # type: ignore[arg-type]
        for cells in read_rows(path, COLUMNS)
    )


@dataclass(frozen=True)
class Choice:
    """What of the raw data is asked for; None: all.

    Attributes
    ----------
    months
        Months.
    nights, shots
        Of science frames. Calibration frames of their months are used, of whichever night.
    calibration_from
        Month → the month whose biases and twilights stand in where it has none.
    """

    months: frozenset[int] | None = None
    nights: frozenset[int] | None = None
    shots: frozenset[str] | None = None
    calibration_from: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(
        cls,
        months: Collection[int] | None = None,
        nights: Collection[int] | None = None,
        shots: Collection[str] | None = None,
        calibration_from: Iterable[str] = (),
    ) -> "Choice":
        """Return the choice that the settings say; ``calibration_from`` as ``201902:201901``.

        Raises
        ------
        InputError
            If a month has two neighbours.
        """
        pairs: dict[int, int] = {}
        for text in calibration_from:
            month, _, neighbour = text.partition(":")
            if not (month.isdecimal() and neighbour.isdecimal()):
                raise InputError(f"calibration_from: found {text!r}; expected MONTH:NEIGHBOUR, such as 201902:201901")
            if pairs.setdefault(int(month), int(neighbour)) != int(neighbour):
                raise InputError(f"calibration_from: found two neighbours of {month}; expected one")
        return cls(
            None if months is None else frozenset(months),
            None if nights is None else frozenset(nights),
            None if shots is None else frozenset(shots),
            tuple(sorted(pairs.items())),
        )

    def neighbour(self, month: int) -> int | None:
        """Return the month that stands in for a month."""
        return dict(self.calibration_from).get(month)

    def has_month(self, month: int) -> bool:
        """Tell whether anything of a month is asked for."""
        return (
            (self.months is None or month in self.months)
            and (self.nights is None or any(night // 100 == month for night in self.nights))
            and (self.shots is None or any(month_of(shot) == month for shot in self.shots))
        )

    def needs_month(self, month: int) -> bool:
        """Tell whether frames of a month may be used: it is asked for, or stands in for one that is."""
        return self.has_month(month) or any(
            neighbour == month and self.has_month(other) for other, neighbour in self.calibration_from
        )

    def has_shot(self, night: int, shot: str) -> bool:
        """Tell whether science frames of a shot are asked for."""
        return (
            (self.months is None or night // 100 in self.months)
            and (self.nights is None or night in self.nights)
            and (self.shots is None or shot in self.shots)
        )


def nights_to_index(raw: Path, choice: Choice) -> list[int]:
    """Return the nights of the raw data that are needed: all of the months that are asked for, or stand in.

    A night without frames of VIRUS is none, unless it is asked for itself.

    Raises
    ------
    InputError
        If there is none; or if a night, month or shot that is asked for is not there.
    """
    if not raw.is_dir():
        raise InputError(f"{raw}: found no such directory; expected nights such as 20190103/virus/virus0000012.tar")
    there = {int(path.name) for path in raw.iterdir() if len(path.name) == 8 and path.name.isdecimal()}
    asked = {*(choice.nights or ()), *(int(shot[:8]) for shot in choice.shots or ())}
    if lacking := sorted(asked - there):
        raise InputError(f"{raw}: found no night {lacking[0]}; expected it, as nights or shots ask for it")
    months = {night // 100 for night in there}
    if lacking := sorted({*(choice.months or ()), *(month for _, month in choice.calibration_from)} - months):
        raise InputError(f"{raw}: found no night of {lacking[0]}; expected some, as months or calibration_from name it")
    needed = sorted(night for night in there if choice.needs_month(night // 100))
    nights = [night for night in needed if night in asked or (raw / str(night) / "virus").is_dir()]
    if not nights:
        raise InputError(f"{raw}: found {len(there)} nights, none of which is asked for; see months, nights and shots")
    return nights
