"""What a run that failed has not brought, and what an earlier run said that is not so any more.

``desi/missing.csv`` is there from a failed run to the next that succeeds; a line per NSIDE=64 pixel (HETDEX: per cube):

``unit, n_targets, files, reason``
    Targets that it is searched for; its files as ``survey/program``, separated by spaces; why the last attempt failed,
    empty if there was none.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from skyharvest.core.atomic import is_full
from skyharvest.core.csv_file import write_rows
from skyharvest.harvest.journal import read_journal
from skyharvest.harvest.plan import Plan, Unit

COLUMNS = ("unit", "n_targets", "files", "reason")
SHOWN = 20

Missing = tuple[Unit, int, str, str]
"""`COLUMNS`."""


def find_missing(plan: Plan, batches: Mapping[str, Collection[int]], extracted: Path, journal: Path) -> list[Missing]:
    """Return what of a plan has not been extracted: without files, or failed; a batch's list stands for all its units.

    Parameters
    ----------
    batches
        Name → NSIDE=16 pixels.
    extracted
        Directory of the extracted files.
    """
    failed = read_journal(journal).failed
    unlisted = [
        pix16
        for batch, pixels in batches.items()
        for pix16 in pixels
        if not plan.survey.listed(extracted, batch).exists()
    ]
    missing: list[Missing] = []
    for unit in plan.units(unlisted):
        if unit not in failed and plan.survey.path(extracted, unit).exists():
            continue
        files = " ".join(f"{survey}/{program}" for survey, program in plan.files[unit])
        missing.append((unit, plan.n_targets[unit], files, failed[unit].message if unit in failed else ""))
    return missing


def write_missing(path: Path, missing: Sequence[Missing]) -> None:
    """Write ``missing.csv``."""
    write_rows(path, COLUMNS, missing)


def show(missing: Sequence[Missing], plan: Plan, path: Path) -> str:
    """Return what a failed run ends with."""
    lines = [
        f"{len(missing)} of {len(plan.files)} {plan.survey.unit}s are missing; there is no ledger until they are "
        f"there. The next run tries them again. They are listed in {path}:"
    ]
    lines += [f"  {unit} ({files}): {reason or 'not tried'}" for unit, _, files, reason in missing[:SHOWN]]
    if len(missing) > SHOWN:
        lines.append(f"  and {len(missing) - SHOWN} more")
    return "\n".join(lines)


def tell(missing: Sequence[Missing], plan: Plan, path: Path) -> str:
    """Write ``missing.csv``, and return what a failed run ends with: also that there is no room on the disk."""
    said = show(missing, plan, path)
    try:
        write_missing(path, missing)
    except OSError as error:
        do = f"make room on the disk of {path.parent}" if is_full(error) else "see to that"
        said += f"\n{path} cannot be written ({error.strerror}): {do}, and run again"
    return said


def set_aside(path: Path) -> None:
    """Rename what an earlier run has said, such as ``ledger.csv`` to ``ledger.previous.csv``: it is to be made anew."""
    if path.exists():
        path.replace(path.with_suffix(f".previous{path.suffix}"))
