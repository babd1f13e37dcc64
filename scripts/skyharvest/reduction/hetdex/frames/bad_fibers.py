"""Fibers that someone has named as bad: dead, missing, or not to be used; a CSV file.

Each line names a fiber by its spectrograph, slot, IFU, amplifier and ``fibnum``, which is 1 for the lowest on the
detector, and the nights in which that holds. An asterisk, or nothing, stands for any.
"""

import csv
import functools
from collections.abc import Sequence
from pathlib import Path

from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.frames.frames_file import Member
from skyharvest.reduction.hetdex.virus import N_FIBERS

COLUMNS = ("specid", "ifuslot", "ifuid", "amp", "fibnum", "first", "last", "reason")
ANY = ("", "*")


def named_fibers(table: Path, members: Sequence[Member]) -> list[int]:
    """Return the fibers, as fibidx, that a table names for an amplifier in the nights of some of its frames.

    Parameters
    ----------
    table
        With the columns `COLUMNS`; ``first`` and ``last`` are nights, both included.
    members
        Frames of one amplifier.

    Raises
    ------
    InputError
        If it is no such table: names the line.
    """
    found = set()
    for number, row in enumerate(_rows(table), 2):
        try:
            fibnum = int(row["fibnum"])
            first, last = (0 if row[name] in ANY else int(row[name]) for name in ("first", "last"))
        except ValueError:
            raise InputError(
                f"{table}: line {number}: found fibnum {row['fibnum']}, first {row['first']}, last {row['last']}; "
                "expected whole numbers"
            ) from None
        if not 1 <= fibnum <= N_FIBERS:
            raise InputError(f"{table}: line {number}: found the fibnum {fibnum}; expected 1 to {N_FIBERS}")
        if any(_concerns(row, member) and first <= member.night <= (last or member.night) for member in members):
            found.add(fibnum - 1)
    return sorted(found)


def _concerns(row: dict[str, str], member: Member) -> bool:
    return all(
        row[name] in ANY or row[name].zfill(len(getattr(member, name))) == getattr(member, name)
        for name in ("specid", "ifuslot", "ifuid", "amp")
    )


@functools.cache
def _rows(table: Path) -> tuple[dict[str, str], ...]:
    with table.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        lacking = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if lacking:
            raise InputError(f"{table}: found no column {', '.join(lacking)}; expected {', '.join(COLUMNS)}")
        return tuple({name: (row[name] or "").strip() for name in COLUMNS} for row in reader)
