"""The viewer's files that are wanted, in the order in which they are asked for."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError
from skyharvest.surveys.legacysurvey.viewer.layers import ViewerRequest

URLS = "urls.txt"


@dataclass(frozen=True, slots=True)
class QueuedCutout:
    """A file that is wanted.

    Attributes
    ----------
    layer
        Directory: the layer, or ``{layer}-psf``.
    path
        Below the queue's directory.
    query
        Its address, below the viewer's.
    """

    row: int
    layer: str
    path: str
    query: str


def rows_with_spectra(ledgers: Iterable[Path]) -> set[int]:
    """Return the CSV rows that have the status ``matched`` in any of these files ``ledger.csv``.

    Raises
    ------
    InputError
        If one of them has no columns ``row`` and ``status``.
    """
    rows = set()
    for path in ledgers:
        with path.open(newline="", encoding="utf-8") as text:
            lines = csv.DictReader(text)
            if not {"row", "status"} <= set(lines.fieldnames or ()):
                raise InputError(f"{path}: found columns {lines.fieldnames}; expected a ledger.csv with row and status")
            rows |= {int(line["row"]) for line in lines if line["status"] == "matched"}
    return rows


def make_queue(targets: Mapping[str, Any], request: ViewerRequest, first: Iterable[int] = ()) -> list[QueuedCutout]:
    """Return the wanted files in the order in which they are asked for.

    Parameters
    ----------
    targets
        ``row``, ``ra``, ``dec`` (degrees), ``pix16``: arrays of equal length.
    first
        CSV rows that come before all others; then by row, and all files of a row together.

    Raises
    ------
    InputError
        If the viewer cannot understand the request.
    """
    problems = [f"{key}: {problem}" for key, problem in request.problems()]
    if problems:
        raise InputError("; ".join(problems))
    early = set(first)
    lines = zip(*(targets[name].tolist() for name in ("row", "ra", "dec", "pix16")), strict=True)
    options: dict[str, Any] = {"pixscale": request.pixscale, "size": request.size, "bands": request.bands}
    parameters = urlencode({key: value for key, value in options.items() if value is not None}, safe=",")
    queue = []
    for row, ra, dec, pix16 in sorted(lines, key=lambda line: (line[0] not in early, line[0])):
        at = f"ra={ra:.7f}&dec={dec:.7f}"
        for layer in request.layers:
            name = urlencode({"layer": layer})
            for ending in request.formats:
                piece = "&subimage" if request.subimage and ending == "fits" else ""
                query = f"cutout.{ending}?{at}&{name}&{parameters}{piece}"
                queue.append(QueuedCutout(row, layer, f"{layer}/{pix16}/{row}.{ending}", query))
        for layer in request.psf_layers:
            query = f"coadd-psf/?{at}&{urlencode({'layer': layer})}"
            queue.append(QueuedCutout(row, f"{layer}-psf", f"{layer}-psf/{pix16}/{row}.fits", query))
    return queue


def write_urls(path: Path, viewer: str, queue: Iterable[QueuedCutout]) -> None:
    """Write a line ``'address' path`` for each file, in the queue's order."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as out:
        out.writelines(f"'{address(viewer, cutout)}' {cutout.path}\n" for cutout in queue)


def address(viewer: str, cutout: QueuedCutout) -> str:
    """Return the whole address of a file."""
    return f"{viewer.rstrip('/')}/{cutout.query}"
