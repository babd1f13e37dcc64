"""The last step of a reduction: it is complete, or it fails and says what failed."""

import csv
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from skyharvest.core.atomic import atomic_path


def write_complete(
    ledger: Path, summary: Path, out: Path, check: Callable[[Path, Iterable[Mapping[str, str]]], None]
) -> None:
    """Write the summary as ``complete.json``, if nothing of the ledger has failed.

    Parameters
    ----------
    ledger, summary
        Of the reduction's account.
    out
        The file to write.
    check
        Given the ledger and its lines, raises an error that names what failed.
    """
    with ledger.open(newline="", encoding="utf-8") as stream:
        check(ledger, csv.DictReader(stream))
    with atomic_path(out) as temporary:
        temporary.write_bytes(summary.read_bytes())
