"""The registry of releases, checked by the section ``Entry`` of each survey's module ``release``.

Snakemake imports this module whenever it parses the workflow: it stays light.
"""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from skyharvest import surveys
from skyharvest.config.explain import type_problems
from skyharvest.core.errors import InputError
from skyharvest.core.words import nearest, show
from skyharvest.core.yaml_file import read_yaml
from skyharvest.harvest.releases import REGISTRY, survey_of
from skyharvest.harvest.settings import Problem

NAME = "^[a-z0-9]+$"


def entry_of(survey: str) -> type:
    """Return the section that says how an entry of a survey is written."""
    kind: type = import_module(f"{surveys.__name__}.{survey}.release").Entry
    return kind


def load_registry(registry: Path = REGISTRY) -> dict[str, Any]:
    """Return the registry of releases as it is written.

    Raises
    ------
    InputError
        If the file is not valid; the message lists everything that is wrong.
    """
    entries = read_yaml(registry)
    problems = [
        f"  {'.'.join(filter(None, (str(name), key)))}: {text}"
        for name, entry in entries.items()
        for key, text in _problems(name, entry)
    ]
    if problems:
        raise InputError("\n".join([f"{registry} is not a valid registry of releases:", *sorted(problems)]))
    return entries


def _problems(name: Any, entry: Any) -> Iterator[Problem]:
    """Yield what is wrong with an entry, by its dotted key."""
    if not re.search(NAME, str(name)):
        yield "", "a release is named by small letters and digits"
    survey = survey_of(entry)
    if survey in surveys.NAMES:
        yield from type_problems(entry_of(survey), entry)
    else:
        yield "survey", f"found {show(survey)}{nearest(survey, surveys.NAMES)}"
