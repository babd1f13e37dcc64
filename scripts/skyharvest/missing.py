"""What a run that failed has not brought, and what an earlier run said that is not so any more.

``desi/missing.csv`` is there from a failed run to the next that succeeds; a line per NSIDE=64 pixel:

``pix64, n_targets, coadds, reason``
    Targets that it is searched for; its coadds as ``survey/program``, separated by spaces; why the last attempt failed,
    empty if there was none.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

from skyharvest.atomic import atomic_path
from skyharvest.journal import read_journal
from skyharvest.planned import Planned, extracted_path

COLUMNS = ("pix64", "n_targets", "coadds", "reason")
SHOWN = 20

Missing = tuple[int, int, str, str]
"""`COLUMNS`."""


def find_missing(planned: Planned, extracted: Path, journal: Path) -> list[Missing]:
    """Return the pixels of the plan that have not been extracted.

    Parameters
    ----------
    planned
        The plan.
    extracted
        The directory ``desi/extracted``: a batch's list stands for all its pixels; without it a pixel's own file and
        the journal decide.
    journal
        See `skyharvest.journal`.
    """
    failed = read_journal(journal).failed
    found: list[Missing] = []
    for batch, pixels in planned.batches.items():
        if (extracted / "batches" / f"{batch}.csv").exists():
            continue
        for pix64 in pixels:
            if pix64 in failed or not extracted_path(extracted, pix64).exists():
                coadds = " ".join(f"{survey}/{program}" for survey, program in planned.coadds[pix64])
                reason = failed[pix64].message if pix64 in failed else ""
                found.append((pix64, planned.n_targets[pix64], coadds, reason))
    return found


def write_missing(path: Path, missing: Sequence[Missing]) -> None:
    """Write ``missing.csv``."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(missing)


def show(missing: Sequence[Missing], n_pixels: int, path: Path) -> str:
    """Return what a failed run ends with."""
    lines = [
        f"{len(missing)} of {n_pixels} pixels are missing; there is no ledger until they are there. The next run tries "
        f"them again. They are listed in {path}:"
    ]
    lines += [f"  {pix64} ({coadds}): {reason or 'not tried'}" for pix64, _, coadds, reason in missing[:SHOWN]]
    if len(missing) > SHOWN:
        lines.append(f"  and {len(missing) - SHOWN} more")
    return "\n".join(lines)


def set_aside(path: Path) -> None:
    """Rename what an earlier run has said, such as ``ledger.csv`` to ``ledger.previous.csv``: it is to be made anew."""
    if path.exists():
        path.replace(path.with_suffix(f".previous{path.suffix}"))
