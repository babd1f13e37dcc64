"""Where the fibers of an IFU are: files ``IFUcen_HETDEX….txt``, 448 fibers in 23 rows of 19 and 20.

A row is ``fiber x y side number throughput``; x and y are in arcsec; ``side`` L or R and ``number`` 1 to 224 say which
fiber of which half of the spectrograph it is. Before the rows stand comments, and two lines of numbers: diameter and
distance of fibers, and how many there are in x and y.

Side and number say on which amplifier, and where there, a fiber falls: L 1-112 on LU, L 113-224 on LL, R 1-112 on RL,
R 113-224 on RU; and on each the last of them is the lowest.

Some IFUs were made otherwise than the common file says. What is known of them is from public pipelines (Panacea and
Remedy, ``get_ifucenfile``; hetquicklook, ``topology``): 004 has a file of its own, ``IFUcen_HETDEX_reverse_R.txt``; of
003, 005 and 008 the right half is reversed; in 007, 025, 030, 038 and 041 two fibers are exchanged. A file
``IFUcen_HETDEX_{ifuid}.txt`` comes before all that, and is taken as it is.
"""

import functools
import math
from pathlib import Path

import numpy as np

from skyharvest.core.arrays import Floats
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.layout import AMPS
from skyharvest.reduction.hetdex.virus import N_FIBERS

N_OF_IFU = 4 * N_FIBERS
COMMON = "IFUcen_HETDEX.txt"
OTHER_FILE = {"004": "IFUcen_HETDEX_reverse_R.txt"}
"""File of IFUs that do not have the common one."""
REVERSED_RIGHT = ("003", "005", "008")
"""IFUs of which the common file has the right half in the wrong order."""
EXCHANGED = {"007": (38, 39), "025": (209, 214), "030": (446, 447), "038": (303, 304), "041": (252, 253)}
"""Fibers, counted from 1 in the common file, that are at one another's place."""
FIRST_OF_AMP = {amp: k * N_FIBERS for k, amp in enumerate(("LU", "LL", "RL", "RU"))}
"""How many fibers of the IFU come before an amplifier's."""


def find(directory: Path, ifuid: str) -> Path:
    """Return the file with an IFU's fibers.

    Raises
    ------
    InputError
        If it is not there: names it.
    """
    own = directory / f"IFUcen_HETDEX_{ifuid}.txt"
    if own.is_file():
        return own
    path = directory / OTHER_FILE.get(ifuid, COMMON)
    if not path.is_file():
        raise InputError(f"{path}: found no such file; expected the fibers of IFU {ifuid}; see ifucen")
    return path


def positions(directory: Path, ifuid: str, amp: str) -> Floats:
    """Return where the fibers of an amplifier are, from the middle of their IFU.

    Parameters
    ----------
    directory
        With the files.
    ifuid
        The IFU: three digits.
    amp
        One of `skyharvest.reduction.hetdex.layout.AMPS`.

    Returns
    -------
    Floats
        (112, 2): x and y in arcsec, by fibidx.

    Raises
    ------
    InputError
        If the file is not there, or does not have 448 fibers: names it, and how many were found.
    """
    assert amp in AMPS, f"found the amplifier {amp}; expected one of {AMPS}"
    first = FIRST_OF_AMP[amp]
    return of_ifu(directory, ifuid)[first : first + N_FIBERS][::-1].copy()


def fiber_numbers(amp: str) -> list[int]:
    """Return the number in the IFU, from 1, of an amplifier's fibers, by fibidx: LU has 112, 111, … 1."""
    first = FIRST_OF_AMP[amp]
    return list(range(first + N_FIBERS, first, -1))


def of_ifu(directory: Path, ifuid: str) -> Floats:
    """Return where all fibers of an IFU are: (448, 2), arcsec, in the order LU, LL, RL, RU of the spectrograph.

    Raises
    ------
    InputError
        As `positions`.
    """
    path = find(directory, ifuid)
    places = _read(path).copy()
    if path.name != COMMON:
        return places
    if ifuid in REVERSED_RIGHT:
        places[N_OF_IFU // 2 :] = places[: N_OF_IFU // 2 - 1 : -1].copy()
    if ifuid in EXCHANGED:
        one, other = (number - 1 for number in EXCHANGED[ifuid])
        places[[one, other]] = places[[other, one]]
    return places


@functools.lru_cache(maxsize=64)
def _read(path: Path) -> Floats:
    """Return the places of a file, (448, 2), in the order of side and number."""
    half = N_OF_IFU // 2
    places = np.full((N_OF_IFU, 2), np.nan)
    found = 0
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        cells = line.partition("#")[0].split()
        if len(cells) == 2:
            continue  # diameter and distance, or how many in x and y
        if not cells:
            continue
        row, x, y = _row(path, number, cells, half)
        if np.isfinite(places[row, 0]):
            raise InputError(f"{path}: line {number}: found fiber {cells[3]} {cells[4]} again; expected each once")
        places[row] = x, y
        found += 1
    if found != N_OF_IFU:
        raise InputError(f"{path}: found {found} fibers; expected {N_OF_IFU}")
    return places


def _row(path: Path, number: int, cells: list[str], half: int) -> tuple[int, float, float]:
    try:
        x, y, of_side = float(cells[1]), float(cells[2]), int(cells[4])
        right = {"L": 0, "R": 1}[cells[3]]
    except (ValueError, KeyError, IndexError):
        x = y = math.nan
        of_side = right = 0
    if not (math.isfinite(x) and math.isfinite(y) and 1 <= of_side <= half):
        raise InputError(
            f"{path}: line {number}: found {' '.join(cells)[:60]!r}; expected number, x, y, L or R, 1 to {half}"
        )
    return right * half + of_side - 1, x, y
