"""Tables of bad pixels: rows ``311RU 538 556 755 737``, which are SPECID and amplifier, x1 x2 y1 y2.

Columns and rows are counted from 1, both ends included; each pair may be given in either order. They are those of the
image with wavelength growing with x and fibers with y. A line of names, ``amp x1 x2 y1 y2``, and comments with ``#``
are left out.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from skyharvest.core.arrays import Bools
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.layout import AMPS

NAMES = "amp x1 x2 y1 y2"
Box = tuple[int, int, int, int]
"""x1, x2, y1, y2 as in the table."""


def read_boxes(table: Path) -> dict[str, list[Box]]:
    """Return the boxes of each SPECID and amplifier, such as ``311RU``.

    Raises
    ------
    InputError
        If a line is not of this form: names it.
    """
    found: dict[str, list[Box]] = {}
    for number, line in enumerate(table.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words or words == NAMES.split():
            continue
        name = words[0]
        numbers = [int(word) for word in words[1:] if word.isdecimal()]
        if len(words) != 5 or len(numbers) != 4 or not name[:-2].isdecimal() or name[-2:] not in AMPS:
            raise InputError(
                f"{table}: line {number}: found {line.strip()!r}; expected one such as 311RU 538 556 755 737"
            )
        x1, x2, y1, y2 = numbers
        found.setdefault(f"{int(name[:-2]):03d}{name[-2:]}", []).append((x1, x2, y1, y2))
    return found


def masked(boxes: Iterable[Box], shape: tuple[int, int], source: str) -> Bools:
    """Return the pixels in boxes, as an image of a shape.

    Raises
    ------
    InputError
        If a box is not on the detector: names it, and ``source``.
    """
    bad = np.zeros(shape, bool)
    for box in boxes:
        (left, right), (low, high) = sorted(box[:2]), sorted(box[2:])
        if left < 1 or low < 1 or right > shape[1] or high > shape[0]:
            found = " ".join(map(str, box))
            raise InputError(f"{source}: found the box {found}; expected columns to {shape[1]} and rows to {shape[0]}")
        bad[low - 1 : high, left - 1 : right] = True
    return bad


def boxes_of(bad: Bools) -> Iterator[Box]:
    """Yield boxes that together are the bad pixels, none twice; from the lowest row on.

    Runs of a row that are the same in the next rows become one box.
    """
    open_runs: dict[tuple[int, int], int] = {}  # first row of each run
    for row in range(len(bad) + 1):
        runs = set(_runs(bad[row])) if row < len(bad) else set()
        for run in sorted(set(open_runs) - runs):
            yield run[0] + 1, run[1], open_runs.pop(run) + 1, row
        for run in runs:
            open_runs.setdefault(run, row)


def _runs(line: Bools) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], line, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def write_boxes(path: Path, boxes: Mapping[str, Iterable[Box]]) -> None:
    """Write a table of boxes, by SPECID and amplifier."""
    with atomic_path(path) as temporary:
        rows = [f"{name} {x1} {x2} {y1} {y2}" for name, own in boxes.items() for x1, x2, y1, y2 in own]
        temporary.write_text("\n".join([NAMES, *rows]) + "\n", encoding="utf-8")
