"""What an assembled file, ``crossmatch_{survey}.hdf5``, says of itself in its root attributes."""

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyharvest.core import provenance
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats import hdf5
from skyharvest.harvest.batches import LAYOUT
from skyharvest.harvest.extracted import content_of
from skyharvest.harvest.manifest import csv_of

if TYPE_CHECKING:
    import h5py
    import pyarrow as pa


def describe(
    file: "h5py.File", survey: str, csv_group: str, pix16: int, *, targets: "pa.Table", attributes: Mapping[str, Any]
) -> None:
    """Write the root attributes: of the groups, of the NSIDE=16 pixel, the survey's own, and the provenance.

    Parameters
    ----------
    targets
        Rows of ``targets.parquet``, whose metadata say which CSV the file's rows are of.
    """
    file.attrs.update({"survey": survey, "csv_group": csv_group, "healpix": pix16, "nside": 16, "ordering": "NESTED"})
    file.attrs["csv_sha256"] = csv_of(targets.schema)
    file.attrs.update(attributes)
    file.attrs.update(provenance.attributes())


def groups(file: "h5py.File", path: Path) -> tuple["h5py.Group", "h5py.Group"]:
    """Return the group of what the survey has, and that of the CSV's columns beside it.

    Raises
    ------
    InputError
        If the file does not say which they are.
    MalformedFile
        If it lacks one of them.
    """
    if not {"survey", "csv_group"} <= set(file.attrs):
        raise InputError(
            f"{path} holds {', '.join(file) or 'nothing'} and lacks the attributes survey and csv_group: it is no "
            "crossmatch_*.hdf5, or an older version made it; then run the workflow again"
        )
    names = [str(file.attrs[attribute]) for attribute in ("survey", "csv_group")]
    for name in names:
        if name not in file:
            raise MalformedFile(
                f"{path} has no group /{name}; it has {', '.join(file) or 'nothing'}: remove it, the next run makes it "
                "anew"
            )
    return file[names[0]], file[names[1]]


def csv_columns(group: "h5py.Group") -> dict[str, "h5py.Dataset"]:
    """Return the CSV's columns, by their names in the CSV, of their group.

    The group's dataset ``row``, the number of the CSV row, is none of them: a CSV's own column of that name has another
    link, and ``row`` in the attribute ``column``.
    """
    return {str(item.attrs.get("column", link)): item for link, item in group.items() if link != "row"}


def made_from(extracted: Iterable[Path], meaning: Mapping[str, str]) -> str:
    """Return what decides the content of an assembled file, as its root attribute ``made_from`` says it: 16 hex digits.

    Parameters
    ----------
    extracted
        Extracted files of all units that are searched for its targets.
    meaning
        CSV and settings: `skyharvest.harvest.manifest.MEANING`.
    """
    digest = hashlib.blake2b(repr((LAYOUT, *sorted(meaning.items()))).encode(), digest_size=8)
    for path in extracted:
        digest.update(content_of(path).encode())
    return digest.hexdigest()


def is_made_from(path: Path, origin: str) -> bool:
    """Tell whether an assembled file is there, readable, and has this ``made_from``."""
    with suppress(FileNotFoundError, MalformedFile), hdf5.reading(path) as file:
        return str(file.attrs.get("made_from")) == origin
    return False
