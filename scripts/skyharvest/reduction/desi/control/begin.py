"""Begin a production, and add new raw data to it, as the workflow does when it begins."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from skyharvest.core.csv_file import write_rows
from skyharvest.core.errors import InputError
from skyharvest.reduction.desi.exposure_table import read_table
from skyharvest.reduction.desi.make_tables import make_tables, take_tables
from skyharvest.reduction.desi.production import freeze
from skyharvest.reduction.desi.start_from import archive_of, take_pixels


def begin(
    production: Path,
    raw: Path | None,
    nights: Sequence[int] | None = None,
    expids: Collection[int] | None = None,
    *,
    frozen: dict[str, Any] | None = None,
    given: Path | None = None,
    out: Path | None = None,
) -> list[Path]:
    """Freeze options into a production that has none, and make its exposure tables, or add new exposures to them.

    Parameters
    ----------
    raw
        Raw data; None where the production starts from calibrated frames.
    nights, expids
        What may be added; None for all.
    frozen
        Options, as `skyharvest.reduction.desi.settings.frozen` gives them.
    given
        Directory of tables to begin with.
    out
        CSV to write: the tables, and how many exposures each has.

    Returns
    -------
    list of Path
        The tables that were looked at.

    Raises
    ------
    InputError
        If there are no raw data, and the production needs some.
    """
    start_from = (frozen or {}).get("start_from", {})
    if raw is None and "cframe" not in start_from.get("products", ()):
        raise InputError(
            "there are no raw data (raw), which only a production that starts from calibrated frames can lack"
        )
    if frozen is not None:
        freeze(production, frozen)
    if given is not None:
        take_tables(given, production, nights)
    if raw is not None:
        tables = make_tables(raw, production, nights, expids)
    else:
        with archive_of(start_from["production"]) as archive:
            tables = take_pixels(archive, production, nights)
    if out is not None:
        write_rows(
            out, ("TABLE", "EXPOSURES"), ((path.relative_to(production), len(read_table(path))) for path in tables)
        )
    return tables
