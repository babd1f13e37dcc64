"""All settings: those of the registered surveys, and those that are of none."""

import functools
from dataclasses import Field
from importlib import import_module
from typing import Any

from skyharvest import surveys
from skyharvest.config.database import Database
from skyharvest.core.settings import Number, Switch, Whole, section, setting, subsection
from skyharvest.harvest.settings import Match
from skyharvest.reduction.desi.settings import Settings as DesiReduction
from skyharvest.reduction.hetdex.settings import Settings as HetdexReduction
from skyharvest.targets.settings import Targets


def root() -> type:
    """Return the section that is the whole configuration, with one in it for each of `skyharvest.surveys.NAMES`."""
    return _root(surveys.NAMES)


def module(survey: str) -> Any:
    """Return the module with the settings of a survey."""
    return import_module(f"{surveys.__name__}.{survey}.settings")


@functools.cache
def _root(names: tuple[str, ...]) -> type:
    keys: dict[str, tuple[Any, Field[Any]]] = {
        kind.__name__.lower(): (kind, subsection(kind)) for kind in (Targets, Match)
    }
    keys |= {name: (kind, subsection(kind)) for name in names for kind in [module(name).Settings]}
    keys["desi_reduction"] = (DesiReduction, subsection(DesiReduction))
    keys["hetdex_reduction"] = (HetdexReduction, subsection(HetdexReduction))
    keys["database"] = (Database, subsection(Database, outcome=False))
    keys["connections"] = (
        Whole,
        setting(
            6,
            "Open connections to an archive, over all jobs together. DESI's public archive answers 503 when it is "
            "pushed; 8 did it. HETDEX's is never asked for more than 4.",
            ge=1,
            outcome=False,
        ),
    )
    keys["batch_seconds"] = (
        Number,
        setting(
            20.0,
            "About how long a job works, in seconds: so many neighbouring NSIDE=16 pixels are harvested together. On a "
            "cluster, where a job waits in a queue, make it minutes. A pixel is still what fails and is resumed.",
            gt=0,
            outcome=False,
        ),
    )
    keys["keep_extracted"] = (
        Switch,
        setting(
            True,
            "Whether the spectra and images stay in the extracted files once every row has been accounted for. The "
            "per-healpix files have what was asked for of them; without them, another choice of that reads the archive "
            "again.",
            outcome=False,
        ),
    )
    keys["results"] = (
        str,
        setting(
            "results",
            "Directory of all outputs, relative to the working directory, or absolute.",
            min_length=1,
            path=True,
            outcome=False,
        ),
    )
    members = {"__annotations__": {key: kind for key, (kind, _) in keys.items()}, "__module__": __name__}
    doc = "What a run harvests, from where, and where to. Every key but targets.csv has a default; others are errors."
    return section(type("Config", (), {"__doc__": doc, **members, **{key: field for key, (_, field) in keys.items()}}))
