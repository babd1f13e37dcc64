"""What the rules of HETDEX's reduction ask: which units there are, and what each needs.

Without Snakemake, and light: it is imported whenever the workflow is parsed.
"""

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from skyharvest.core.csv_file import has_value, rows_with
from skyharvest.core.errors import InputError
from skyharvest.core.settings import describe
from skyharvest.harvest.demo import DEMO
from skyharvest.harvest.rules import options
from skyharvest.reduction.hetdex.frames import fplane
from skyharvest.reduction.hetdex.layout import Layout, month_of, shotid_of
from skyharvest.reduction.hetdex.places import STEPS, TOLD_IN, Place
from skyharvest.reduction.hetdex.plan import BIAS, TWILIGHT, Choice, Plan, nights_to_index, read_plan
from skyharvest.reduction.hetdex.settings import PATHS, PATHS_OF_STEPS, Bad, Settings
from skyharvest.reduction.hetdex.steps import FAILED, MERGED, NEED_LINES, SWITCHED, Chosen

DEMO_MONTH = f"{DEMO}/hetdex_month"


class Reduction:
    """The reduction's part of a run.

    Parameters
    ----------
    config
        As `skyharvest.config.load.validate` returns it.
    find_plan
        Returns once the plan is there.
    force
        Makes this run do the jobs of these outputs again.
    begun
        Returns the outputs (real paths) of jobs that have begun and not ended, and when, seconds since the epoch.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        find_plan: Callable[[], object],
        force: Callable[[Iterable[str]], None],
        begun: Callable[[], Mapping[Path, float]],
    ) -> None:
        self.settings: dict[str, Any] = config["hetdex_reduction"]
        self.enabled: bool = self.settings["enabled"]
        self._find_plan, self._force, self._begun = find_plan, force, begun
        self._started = time.time()
        self.layout = Layout.below(config["results"])
        if self.enabled and not self.is_demo:
            self._check_there()

    def _check_there(self) -> None:
        paths = {key: self.settings[key] for key in PATHS}
        paths |= {f"bad.{key}": path for key, path in self.settings["bad"].items()}
        paths |= {f"{name}.{key}": self.settings[name][key] for name, key in PATHS_OF_STEPS}
        for key, path in paths.items():
            if path and not Path(path).exists():
                raise InputError(f"hetdex_reduction.{key}: {path} is not there; correct the path")
        # Else it would be found out once a month is calibrated.
        directory = Path(self.settings["ifucen"])
        if not any(directory.glob("IFUcen_HETDEX*.txt")):
            raise InputError(
                f"hetdex_reduction.ifucen: {directory} has no file IFUcen_HETDEX.txt, nor one of a single IFU; "
                "name the directory that they are in"
            )

    @property
    def is_demo(self) -> bool:
        """Whether its raw frames are the demo's, which a rule writes first."""
        return bool(self.settings["raw"] == f"{DEMO_MONTH}/raw")

    @property
    def demo(self) -> str:
        """Directory of the demo's month."""
        return DEMO_MONTH

    def path(self, name: str) -> str:
        """Return the path of a file of the reduction."""
        return str(self.layout.directory / name)

    def options(self, *sections: str, **more: Any) -> str:
        """Return all settings of steps, and what else is said, as options of their program, for a shell command."""
        words = [options(**as_options(_kind(name), self.settings[name])) for name in sections]
        return " ".join(filter(None, (*words, options(**more))))

    @functools.cached_property
    def chosen(self) -> Chosen:
        """Which steps that can be left out are run, and the name of the release."""
        return chosen_of(self.settings)

    @property
    def chosen_options(self) -> str:
        """The same, as options of the programs that tell how all stands."""
        return options(**self.chosen._asdict())

    def on(self, name: str) -> bool:
        """Return whether a step that can be left out is run, or one that merges what others make has any to merge."""
        return self.chosen.merges(name) if name in MERGED else name in self.chosen.switched

    @functools.cached_property
    def choice(self) -> Choice:
        """What of the raw frames is asked for."""
        return Choice.of(*(self.settings[key] for key in ("months", "nights", "shots", "calibration_from")))

    @functools.cached_property
    def nights(self) -> list[int]:
        """Nights of raw frames that are listed; of the demo, those that its configuration names."""
        if self.is_demo:
            return sorted(self.settings["nights"] or ())
        return nights_to_index(Path(self.settings["raw"]), self.choice)

    @property
    def lists(self) -> list[str]:
        """The lists of the frames of all nights."""
        return [str(self.layout.night_list(night)) for night in self.nights]

    def tars(self, night: str) -> list[str]:
        """Return the tar files of a night."""
        return sorted(map(str, Path(self.settings["raw"], night, "virus").glob("virus*.tar")))

    @property
    def known(self) -> list[str]:
        """Files that say what is known of frames, amplifiers and connections, as far as they are named."""
        named = [self.settings["swaps"], *(self.settings["bad"][key] for key in ("frames", "amps"))]
        return [path for path in named if path]

    @property
    def given_seds(self) -> list[str]:
        """A user's own spectra of stars."""
        directory = self.settings["seds"]
        return sorted(str(path) for path in Path(directory).iterdir() if path.is_file()) if directory else []

    @property
    def flags(self) -> list[str]:
        """Files that say what is wrong on the sky, as far as they are named."""
        return [path for key in ("tracks", "galaxies", "bad_shots") if (path := self.settings["flags"][key])]

    def bad(self, kind: str) -> list[str]:
        """Return the file of what is bad of a kind, if there is one."""
        path = self.settings["bad"][kind]
        return [path] if path else []

    @property
    def plan_options(self) -> str:
        """Options of the program that makes the plan."""
        keys = ("months", "nights", "shots", "calibration_from", "swaps", "fplane")
        bad = {f"bad_{key}": self.settings["bad"][key] for key in ("frames", "amps")}
        return options(**{key: self.settings[key] or None for key in keys}, **bad)

    @functools.cached_property
    def plan(self) -> Plan:
        """The plan. Until it is there, an input function that asks for it is called again."""
        self._find_plan()
        self._force([*self._interrupted(), *self._removed()])
        return read_plan(self.layout.plan)

    def _interrupted(self) -> list[str]:
        """Return the outputs of jobs of an earlier run that was killed before it saw them end.

        Snakemake looks for those only among the jobs that it knows before there is a plan. Such an output is whole,
        but nobody knows what of: it has no record.
        """
        here = self.layout.directory.resolve()
        earlier = (path for path, began in self._begun().items() if began < self._started)
        return [str(self.layout.directory / path.relative_to(here)) for path in earlier if path.is_relative_to(here)]

    def _removed(self) -> set[str]:
        """Return the outputs that had failed when the ledger was written, and that somebody has removed since.

        Snakemake does not miss them as long as what is made of them is there.
        """
        removed = set()
        for line in rows_with(self.path("ledger.csv"), "state", FAILED):
            if line["step"] in STEPS:
                place = Place(*(line[name] for name in ("month", "ifu", "shot", "exposure")))
                product = place.product(line["step"], self.layout, self.chosen.release)
                if not (product / TOLD_IN.get(line["step"], "")).exists():
                    removed.add(str(product))
        return removed

    def frames(self, month: str, ifu: str) -> str:
        """Return the list of a pairing's frames, which is written with the plan.

        Raises
        ------
        InputError
            If it is not there although the plan is: says what makes it again.
        """
        path = self.layout.frames(month, ifu)
        if ifu in self.plan.pairings(month, BIAS) and not path.is_file():
            raise InputError(
                f"{path}: it is not there; remove {self.layout.plan}, with which it is made, and run again"
            )
        return str(path)

    def digest(self, *key: str) -> str:
        """Return the digest of the frames of a unit: another one makes its products old."""
        return self.plan.digest(*key)

    def of_month(self, pattern: str, month: str, kind: str = TWILIGHT) -> list[str]:
        """Return a file for each pairing of a month, of those that have frames of a kind."""
        return [_filled(pattern, month=month, ifu=ifu) for ifu in self.plan.pairings(month, kind)]

    def calibration(self, pattern: str, wildcards: Any) -> str:
        """Return the product of a pairing in the month of a shot."""
        return _filled(pattern, month=month_of(wildcards.shot), ifu=getattr(wildcards, "ifu", ""))

    def of_exposure(self, pattern: str, wildcards: Any) -> list[str]:
        """Return a product for each pairing of an exposure."""
        shot, exposure = wildcards.shot, wildcards.exposure
        return [_filled(pattern, shot=shot, exposure=exposure, ifu=ifu) for ifu in self.plan.ifus(shot, exposure)]

    def of_shot(self, pattern: str, shot: str) -> list[str]:
        """Return a product for each pairing of each exposure of a shot."""
        return [
            _filled(pattern, shot=shot, exposure=exposure, ifu=ifu)
            for exposure in self.plan.exposures(shot)
            for ifu in self.plan.ifus(shot, exposure)
        ]

    def exposures_of(self, pattern: str, shot: str) -> list[str]:
        """Return a product for each exposure of a shot."""
        return [_filled(pattern, shot=shot, exposure=exposure) for exposure in self.plan.exposures(shot)]

    def of_pairing(self, pattern: str, wildcards: Any) -> list[str]:
        """Return a product for each exposure of a pairing in a month."""
        return [
            _filled(pattern, shot=shot, exposure=exposure, ifu=wildcards.ifu)
            for shot in self.plan.shots
            if month_of(shot) == int(wildcards.month)
            for exposure in self.plan.exposures(shot)
            if wildcards.ifu in self.plan.ifus(shot, exposure)
        ]

    def all_calibrations(self, pattern: str, kind: str = TWILIGHT) -> list[str]:
        """Return a product for each pairing of each month that has frames of a kind."""
        plan = self.plan
        units = ((month, ifu) for month in plan.months for ifu in plan.pairings(month, kind))
        return list(dict.fromkeys(_filled(pattern, month=month, ifu=ifu) for month, ifu in units))

    def all_months(self, pattern: str, month: str = "") -> list[str]:
        """Return a product for each month that has twilights, or for one, if it has."""
        months = [int(month)] if month else self.plan.months
        return [_filled(pattern, month=one) for one in months if self.plan.pairings(one)]

    def every_month(self, pattern: str) -> list[str]:
        """Return a product for each month, whatever it has."""
        return [_filled(pattern, month=month) for month in self.plan.months]

    def all_shots(self, pattern: str, month: str = "") -> list[str]:
        """Return a product for each shot, or for each of a month."""
        shots = (shot for shot in self.plan.shots if not month or month_of(shot) == int(month))
        return [_filled(pattern, shot=shot, shotid=shotid_of(shot)) for shot in shots]

    def all_exposures(self, pattern: str) -> list[str]:
        """Return a product for each exposure of each shot, and each pairing if it is by pairing."""
        every = self.of_shot if "{ifu}" in pattern else self.exposures_of
        return [path for shot in self.plan.shots for path in every(pattern, shot)]

    def all_residuals(self, pattern: str, only: str = "") -> list[str]:
        """Return a product for each pairing of each month, or of one, that has science frames."""
        shots = (shot for shot in self.plan.shots if not only or month_of(shot) == int(only))
        units = ((month_of(shot), ifu) for shot in shots for ifu in self.plan.ifus_of_shot(shot))
        return list(dict.fromkeys(_filled(pattern, month=month, ifu=ifu) for month, ifu in units))

    def of_ifus(self, pattern: str, shot: str) -> list[str]:
        """Return a product for each pairing of a shot."""
        return [_filled(pattern, shot=shot, ifu=ifu) for ifu in self.plan.ifus_of_shot(shot)]

    def all_ifus(self, pattern: str, month: str = "") -> list[str]:
        """Return a product for each pairing of each shot, or of those of a month."""
        shots = (shot for shot in self.plan.shots if not month or month_of(shot) == int(month))
        return [path for shot in shots for path in self.of_ifus(pattern, shot)]

    def reports(self, pattern: str) -> list[str]:
        """Return the lists of all shots' reports; those with pictures that failed are made once more."""
        lists = self.all_shots(pattern)
        self._force(path for path in lists if has_value(path, "state", FAILED))
        return lists

    def sources_of(self, shot: str) -> list[str]:
        """Return what a shot's steps make that need its file, as far as they are asked for."""
        places = [(step, ifu) for step in self.chosen.made for ifu in self._places_of(step, shot)]
        return [str(Place("", ifu, shot).product(step, self.layout)) for step, ifu in places]

    def _places_of(self, step: str, shot: str) -> Iterable[str]:
        return self.plan.ifus_of_shot(shot) if step == "detections" else [""]

    def maps_of(self, pattern: str, shot: str) -> list[str]:
        """Return the residual maps that a shot's errors know: none, or those of its pairings."""
        if not self.settings["maps_in_errors"]:
            return []
        return [_filled(pattern, month=month_of(shot), ifu=ifu) for ifu in self.plan.ifus_of_shot(shot)]

    def ifucen(self, ifu: str) -> list[str]:
        """Return the files that may tell where the fibers of a pairing's IFU are, as far as they are there."""
        ifuid = ifu.split("_")[2]
        names = (f"IFUcen_HETDEX_{ifuid}.txt", "IFUcen_HETDEX.txt", "IFUcen_HETDEX_reverse_R.txt")
        paths = [Path(self.settings["ifucen"], name) for name in names]
        return [str(path) for path in paths if path.exists()]

    def fplane(self, shot: str) -> str:
        """Return the focal plane's file of a shot."""
        return str(fplane.find(Path(self.settings["fplane"]), int(shot[:8])))


def chosen_of(settings: Mapping[str, Any]) -> Chosen:
    """Return what the settings of a reduction ask for; what needs lines is not made where these are left out."""
    has_lines = settings["detections"]["enabled"]
    on = (name for name in SWITCHED if settings[name]["enabled"] and (has_lines or name not in NEED_LINES))
    return Chosen(tuple(on), settings["release"])


def as_options(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a section as `skyharvest.core.settings.add_options` has them: all, also defaults.

    What is true by default is an option ``no_…`` where it is false.
    """
    said: dict[str, Any] = {}
    for key, value in values.items():
        if key == "enabled":  # see `settings.of_step`
            continue
        is_on = getattr(describe(kind)[key], "default", None) is True
        said[f"no_{key}" if is_on else key] = (not value) if is_on else value
    return said


def _kind(section: str) -> type:
    kind = Bad if section == "bad" else describe(Settings)[section]
    assert isinstance(kind, type), f"found {section}; expected a section of hetdex_reduction"
    return kind


def _filled(pattern: str, **wildcards: Any) -> str:
    for name, value in wildcards.items():
        pattern = pattern.replace(f"{{{name}}}", str(value))
    return pattern
