"""An assembled file of another CSV with the same rows here: it keeps its spectra, and gets the CSV's columns anew."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from skyharvest.core import provenance
from skyharvest.core.errors import MalformedFile
from skyharvest.formats import arrow, hdf5
from skyharvest.harvest.assembled import groups, made_from
from skyharvest.targets.csv_columns import write_csv_columns


def renew(path: Path, pix16: int, extracted: Sequence[Path], meaning: Mapping[str, str], targets: Path) -> bool:
    """Make an assembled file one of this CSV, if nothing but the CSV is different from what it was made from.

    Parameters
    ----------
    extracted, meaning
        As `skyharvest.harvest.assembled.made_from` takes them. The extracted files may be without their spectra.
    targets
        ``targets.parquet``.

    Returns
    -------
    bool
        Whether it could be done: not if the file is not there, unreadable, or differs by more.
    """
    with suppress(FileNotFoundError, MalformedFile), hdf5.reading(path) as old:
        then = {**meaning, "csv_sha256": str(old.attrs.get("csv_sha256", ""))}
        if str(old.attrs.get("made_from")) != made_from(extracted, then):
            return False
        _, csv_columns = groups(old, path)
        table = arrow.rows_where(targets, "pix16", pix16)
        rows = arrow.to_numpy(table.column("row"))[0]
        name = csv_columns.name.strip("/")
        with hdf5.create(path) as new:
            new.attrs.update(old.attrs)
            new.attrs.update({**meaning, "made_from": made_from(extracted, meaning), **provenance.attributes()})
            for group in old:
                if group != name:
                    old.copy(group, new)
            write_csv_columns(new.create_group(name), table, np.searchsorted(rows, csv_columns["row"][:]))
        return True
    return False
