"""The surveys that can be harvested, a package each. A new survey is a package, and its name here.

A survey's module ``about`` describes it, as `SURVEY`. Snakemake imports it at parse time: it must import nothing heavy.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from skyharvest.harvest.survey import Survey

NAMES = ("desi", "hetdex", "legacysurvey")

SURVEYS: dict[str, Survey] = {name: import_module(f"{__name__}.{name}.about").SURVEY for name in NAMES}
"""Name → survey, in the order in which they are shown."""


def releases(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the release of each survey that a configuration asks for."""
    return {name: config[name]["release"] for name in NAMES if config[name]["enabled"]}
