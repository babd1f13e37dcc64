"""The file of the account, ``ledger.csv``, and the check of it that ends a reduction."""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import fields
from operator import attrgetter
from pathlib import Path

from skyharvest.core.atomic import atomic_path
from skyharvest.core.csv_file import write_rows
from skyharvest.core.errors import HarvestError
from skyharvest.core.words import counted
from skyharvest.reduction.hetdex.ledger import Account, Line
from skyharvest.reduction.hetdex.steps import FAILED, STATES, STEPS, WAITING

log = logging.getLogger(__name__)


class Incomplete(HarvestError):
    """Something of a reduction has failed, or waits for what has."""


def write_ledger(account: Account, ledger: Path, summary: Path) -> None:
    """Write the ledger, and how many of each step are in which state. Files appear whole."""
    lines = list(account.lines())
    names = [field.name for field in fields(Line)]
    write_rows(ledger, names, map(attrgetter(*names), lines))
    counts = Counter((line.step, line.state) for line in lines)
    listed = {line.step for line in lines}
    steps = {step: {state: counts[step, state] for state in STATES} for step in STEPS if step in listed}
    with atomic_path(summary) as temporary:
        temporary.write_text(json.dumps({"steps": steps}, indent=2) + "\n", encoding="utf-8")
    log.info("\n%s", table(steps))


def table(steps: Mapping[str, Mapping[str, int]]) -> str:
    """Return the states of all steps as a table."""
    rows: list[tuple[str, ...]] = [("step", *STATES)]
    rows += [(step, *(str(counts[state] or "–") for state in STATES)) for step, counts in steps.items()]
    return "\n".join(f"{row[0]:<20}" + "".join(f"{cell:>10}" for cell in row[1:]) for row in rows)


def check_complete(ledger: Path, lines: Iterable[Mapping[str, str]], shown: int = 10) -> None:
    """Check that nothing of a ledger has failed, or waits.

    Raises
    ------
    Incomplete
        Names what has failed first, what repeats its job, and what to do.
    """
    unwell = [line for line in lines if line["state"] in (FAILED, WAITING)]
    if not unwell:
        return
    failed = [line for line in unwell if line["state"] == FAILED]
    told = []
    for line in (failed or unwell)[:shown]:
        told.append(f"  {_told(line)}: {line['reason']}")
        if line["command"]:
            told.append(f"    {line['command']}")
    if len(failed) > shown:
        told.append(f"  … and {len(failed) - shown} more")
    numbers = f"{counted(len(failed), 'line')} of the ledger failed, and {len(unwell) - len(failed)} wait for them"
    raise Incomplete(
        "\n".join((f"{numbers} ({ledger}):", *told))
        + "\nMend what the reason names, or name the frame in hetdex_reduction.bad.frames or the amplifier in bad.amps "
        "to leave it out; and run again. A job that has recorded a failure is run again when its product is removed, "
        "or by the command below the reason."
    )


def _told(line: Mapping[str, str]) -> str:
    if line["frame"]:
        return line["frame"]
    names = ("step", "month", "ifu", "amp") if not line["shot"] else ("step", "shot", "exposure", "ifu", "amp")
    return " ".join(filter(None, (line[name] for name in names)))
