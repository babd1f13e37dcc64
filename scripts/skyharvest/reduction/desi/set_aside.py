"""What a production no longer asks for is moved out of the way: nobody is to take it for a part of the production."""

import logging
from datetime import UTC, datetime
from pathlib import Path

from skyharvest.core.words import counted
from skyharvest.reduction.desi.production import Production
from skyharvest.reduction.desi.records import Records, recorded

log = logging.getLogger(__name__)

SUPERSEDED = "superseded"


def set_aside(production: Production) -> list[Path]:
    """Move files of tasks that the exposure tables no longer have to ``superseded/<time>``; return where they were.

    What is only left out of this run, by nights, exposures, tiles or cameras, stays where it is.
    """
    whole = production.whole()
    known = {task.key for task in whole.tasks()}
    records = Records(production.directory)
    place = production.directory / SUPERSEDED / datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    moved = []
    for key in list(recorded(records)):
        if key in known:
            continue
        for path in filter(Path.exists, production.commands.outputs(key)):
            aside = place / path.relative_to(production.directory)
            aside.parent.mkdir(parents=True, exist_ok=True)
            path.replace(aside)
            moved.append(path)
        records.put(key, None)
    if moved:
        log.warning("%s that the exposure tables no longer ask for moved to %s", counted(len(moved), "file"), place)
    return moved
