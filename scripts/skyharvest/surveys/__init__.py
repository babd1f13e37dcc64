"""The surveys that can be harvested, a package each. A new survey is a package, and its name here.

A survey's module ``about`` describes it, as `SURVEY`. Snakemake imports it at parse time: it must import nothing heavy.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

from skyharvest.harvest.rules import Harvest
from skyharvest.harvest.survey import Survey

NAMES = ("desi", "hetdex", "legacysurvey")

SURVEYS: dict[str, Survey] = {name: import_module(f"{__name__}.{name}.about").SURVEY for name in NAMES}
"""Name → survey, in the order in which they are shown."""


def releases(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the release of each survey that a configuration asks for."""
    return {name: config[name]["release"] for name in NAMES if config[name]["enabled"]}


def load_harvests(
    config: Mapping[str, Any],
    find_plan: Callable[[str], str],
    force: Callable[[Iterable[str]], None] = lambda _files: None,
    meaning: Callable[[str], Mapping[str, str]] = lambda _survey: {},
) -> dict[str, Harvest[Any]]:
    """Return what the rules of each survey ask, by its name.

    Parameters
    ----------
    config
        As `skyharvest.config.load.validate` returns it.
    find_plan, force, meaning
        See `skyharvest.harvest.rules.Harvest`; ``find_plan`` and ``meaning`` are given the name of the survey.
        Without ``force`` and ``meaning`` they can be asked what is to be, but not what earlier runs have left.

    Raises
    ------
    InputError
        If there is no such release, or it has no such archive.
    """
    harvests = {}
    for name, survey in SURVEYS.items():
        of_survey = import_module(f"{__name__}.{name}.rules").Harvest
        release = of_survey.release_of(config[name])
        harvests[name] = of_survey(survey, release, config, partial(find_plan, name), force, meaning=meaning(name))
    return harvests
