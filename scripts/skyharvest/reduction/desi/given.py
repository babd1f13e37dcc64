"""What programs are told of a production: options of the command line, from settings and back."""

import argparse
from pathlib import Path
from typing import Any

from skyharvest.core.errors import InputError
from skyharvest.core.settings import Setting, describe
from skyharvest.core.yaml_file import read_yaml
from skyharvest.reduction.desi.production import OPTIONS, Production
from skyharvest.reduction.desi.settings import CHOICES, Settings

PATHS = ("raw", "calibration", "desimodel", "star_templates", "redshift_templates")


def said_of(settings: dict[str, Any]) -> dict[str, Any]:
    """Return what programs must be told beside what is frozen into the production: option → value."""
    named = {name: settings[name] for name in (*PATHS, *CHOICES, "cores_per_job")}
    given = {name: value for name, value in named.items() if value is not None}
    quality = {"no_qa": not settings["qa"]["enabled"], "qa_limits": settings["qa"]["limits"]}
    return given | {"again": settings["again"]} | quality


def _meaning(name: str) -> str:
    said = describe(Settings)[name]
    assert isinstance(said, Setting)
    return said.meaning


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Give a program the options that choose what of a production is asked for."""
    for name in CHOICES:
        kind = str if name == "cameras" else int
        parser.add_argument(f"--{name}", nargs="+", type=kind, help=_meaning(name))


def add_production(parser: argparse.ArgumentParser) -> None:
    """Give a program the options that tell a production."""
    parser.add_argument("--production", type=Path, required=True, help="its directory, …/spectro/redux/SPECPROD")
    for name in PATHS:
        parser.add_argument(f"--{name.replace('_', '-')}", help=_meaning(name))
    add_choices(parser)
    parser.add_argument("--cores-per-job", type=int, default=1, help=_meaning("cores_per_job"))
    parser.add_argument("--again", action="store_true", help=_meaning("again"))
    parser.add_argument("--no-qa", action="store_true", help="do not measure how good exposures are")
    parser.add_argument("--qa-limits", help="YAML file with limits of metrics in the place of the default's")


def production_of(options: argparse.Namespace) -> Production:
    """Return the production that a program was told of.

    Raises
    ------
    InputError
        If it has not been begun.
    """
    path = options.production / OPTIONS
    if not path.exists():
        raise InputError(f"{path} is not there: make_exposure_tables.py begins a production")
    given = {name: getattr(options, name) for name in (*PATHS, *CHOICES, "cores_per_job", "again")}
    quality = {"enabled": not options.no_qa, "limits": options.qa_limits}
    return Production(options.production, given | {"qa": quality} | read_yaml(path))
