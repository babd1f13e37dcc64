"""Files of what is collected: where they stand, and what pages ask of them. Light."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.places import Place
from skyharvest.reduction.hetdex.qa.faults import Fault
from skyharvest.reduction.limits import BAD

VERSION = 2
NOT_THERE = " is not there: "


def path_of_shot(directory: Path, shot: str) -> Path:
    """Return where a shot's file stands, below the directory of the reduction."""
    return directory / f"quality/shots/{shot}.json"


def path_of_month(directory: Path, month: int | str) -> Path:
    """Return where a month's file stands."""
    return directory / f"quality/months/{month}.json"


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Write what was collected."""
    said = {"version": VERSION, **content}
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Return what was collected.

    Raises
    ------
    MalformedFile
        If it is of another version, or no such file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        is_it = isinstance(content, dict) and content.get("version") == VERSION
    except ValueError:
        is_it = False
    if not is_it:
        raise MalformedFile(f"{path}: expected what this version collects; remove it and run again")
    return dict(content)


def of_shot(unwell: Iterable[Mapping[str, Any]], shot: str) -> Iterator[dict[str, Any]]:
    """Yield what of a shot is not done."""
    for one in unwell:
        own = [exposure for exposure in one["exposures"] if exposure.partition("/")[0] == shot]
        if own:
            yield {**one, "exposures": own}


def failure(month: int, one: Mapping[str, Any]) -> Fault:
    """Return the fault that something which failed is."""
    shot, _, exposure = one["exposures"][0].partition("/") if one["exposures"] else ("", "", "")
    place = Place(str(month), one["ifu"] if one["step"] != "amp_to_amp" else "", shot, exposure)
    path, there, why = one["reason"].partition(NOT_THERE)
    return Fault(
        one["step"],
        BAD,
        one["step"],
        place,
        one["amp"],
        exposures=tuple(one["exposures"]),
        n=max(1, len(one["exposures"])),
        reason=f"its product{there}{why}" if there else path,
        severity=math.inf,
    )
