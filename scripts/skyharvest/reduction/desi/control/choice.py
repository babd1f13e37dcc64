"""Which tasks a person means: by step, night, exposure, camera and state."""

import argparse
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from skyharvest.core.errors import InputError
from skyharvest.core.words import nearest
from skyharvest.reduction.desi.control.standing import STATES, Standings
from skyharvest.reduction.desi.graph import Key, Task
from skyharvest.reduction.desi.steps import STEP_OF, STEPS

KINDS = tuple(dict.fromkeys((*STEPS, *STEP_OF)))
"""Words for types of tasks: a step, or one of the kinds of a step that has some."""


@dataclass(frozen=True)
class Place:
    """Of which nights, exposures and cameras a task is; of a pixel's, those that its spectra are of."""

    nights: frozenset[str]
    expids: frozenset[int]
    cameras: frozenset[str]


@dataclass(frozen=True)
class Choice:
    """What is chosen; None is all.

    Tasks of several cameras, exposures or nights are chosen if one of them is: standard stars, averages, pixels.
    """

    steps: Collection[str] | None = None
    nights: Collection[int] | None = None
    expids: Collection[int] | None = None
    cameras: Collection[str] | None = None
    states: Collection[str] | None = None
    keys: Collection[Key] | None = None

    @property
    def is_all(self) -> bool:
        """Whether nothing is chosen, and so all is."""
        return self == Choice()

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of tasks that are chosen."""
        return frozenset(STEP_OF if self.steps is None else (kind for name in self.steps for kind in _kinds(name)))

    def listed(self) -> list[Key] | None:
        """Return the tasks that are chosen, if that needs no look at the production: a list, and steps at most."""
        if self.keys is None or self != Choice(steps=self.steps, keys=self.keys):
            return None
        return [key for key in self.keys if key.kind in self.kinds]

    def of(self, standings: Standings) -> list[Task]:
        """Return the tasks that are chosen, in the order of steps: each after those that it needs.

        Raises
        ------
        InputError
            If the production has none of these nights, exposures or cameras, whatever their states.
        """
        kinds = self.kinds
        placed = not (self.nights is None and self.expids is None and self.cameras is None)
        places = Places(standings.tasks) if placed else None
        found = [
            task
            for task in standings.tasks
            if task.key.kind in kinds
            and (self.keys is None or task.key in self.keys)
            and (places is None or self._is_at(places.of(task.key)))
        ]
        if placed and not found:
            said = {"nights": self.nights, "expids": self.expids, "cameras": self.cameras, "steps": self.steps}
            told = ", ".join(f"{name} {' '.join(map(str, some))}" for name, some in said.items() if some is not None)
            raise InputError(f"no task has {told}: see the exposure tables of {standings.production.directory}")
        if self.states is not None:
            found = [task for task in found if standings.of[task.key].state in self.states]
        order = {name: number for number, name in enumerate(STEPS)}
        return sorted(found, key=lambda task: order[STEP_OF[task.key.kind].name])

    def _is_at(self, place: Place) -> bool:
        return (
            (self.nights is None or not place.nights.isdisjoint(map(str, self.nights)))
            and (self.expids is None or not place.expids.isdisjoint(self.expids))
            and (self.cameras is None or not place.cameras.isdisjoint(self.cameras))
        )


def _kinds(name: str) -> tuple[str, ...]:
    return STEPS[name].kinds if name in STEPS else (name,)


class Places:
    """Where tasks belong."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._gathered: dict[Key, Place] = {}
        of_spectrograph: dict[tuple[str, str], set[str]] = {}
        gathering = []
        for task in tasks:
            if STEP_OF[task.key.kind].per == "exposure":
                if len(task.key.unit) == 2:
                    for spectrograph in (task.key.unit[1], ""):
                        of_spectrograph.setdefault((task.key.owner, spectrograph), set()).add(task.key.unit)
            else:
                gathering.append(task)
        self._of_spectrograph = of_spectrograph
        for task in gathering:
            sources = [self.of(key) for key in (*task.needs, *task.some_of)]
            self._gathered[task.key] = _joined(task.key, sources)

    def of(self, key: Key) -> Place:
        """Return where a task belongs."""
        if key in self._gathered:
            return self._gathered[key]
        night, _, expid = key.owner.partition("/")
        own = {key.unit} if len(key.unit) == 2 else self._of_spectrograph.get((key.owner, key.unit), set())
        return Place(frozenset({night}), frozenset({int(expid)} if expid.isdigit() else ()), frozenset(own))


def _joined(key: Key, sources: Collection[Place]) -> Place:
    nights, expids, cameras = set[str](), set[int](), set[str]()
    for place in sources:
        nights |= place.nights
        expids |= place.expids
        cameras |= place.cameras
    if STEP_OF[key.kind].per == "night":
        nights, cameras = {key.owner}, {key.unit}
    return Place(frozenset(nights), frozenset(expids), frozenset(cameras))


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Give a program the options that choose tasks."""
    of_some = "tasks of several are chosen with one of them"
    parser.add_argument("--steps", nargs="+", metavar="STEP", help=f"some of: {', '.join(KINDS)}")
    parser.add_argument("--nights", nargs="+", type=int, metavar="NIGHT", help=f"as YYYYMMDD; {of_some}")
    parser.add_argument("--expids", nargs="+", type=int, metavar="EXPID", help=f"exposures; {of_some}")
    parser.add_argument("--cameras", nargs="+", metavar="CAMERA", help=f"such as b0; {of_some}")
    parser.add_argument("--states", nargs="+", metavar="STATE", help=f"some of: {', '.join(STATES)}")


def choice_of(options: argparse.Namespace, keys: Collection[Key] | None = None) -> Choice:
    """Return what a program was told.

    Raises
    ------
    InputError
        If it names a step or a state that there is not.
    """
    for name, words in (("steps", KINDS), ("states", STATES)):
        for word in getattr(options, name) or ():
            if word not in words:
                raise InputError(f"--{name}: there is no {word!r}{nearest(word, words)}")
    return Choice(options.steps, options.nights, options.expids, options.cameras, options.states, keys)
