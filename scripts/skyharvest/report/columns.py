"""The report's numbers that come from the assembled files: small columns of them all, never a spectrum or an image."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.errors import HarvestError, MalformedFile
from skyharvest.formats import hdf5
from skyharvest.harvest import assembled

ABOUT = (
    "release",
    "specprod",
    "radius_arcsec",
    "aperture_radius_arcsec",
    "csv_sha256",
    "config_hash",
    "workflow_version",
    "git_commit",
)
"""Root attributes that say where a file came from."""

EMPTY: dict[str, Any] = {"f8": np.nan, "i8": -1, "U": ""}


@dataclass
class Columns:
    """Columns of all assembled files, from `read_columns`.

    Attributes
    ----------
    values
        Name → column of all files, (n, …); NaN, -1 or "" where a file does not have it.
    there
        The columns that at least one file has.
    constants
        Name → what does not go by rows, such as names of bands; of the first file.
    about
        Root attribute → its values, as text, and the number of files with each.
    n, n_files
        Number of rows and of files that were read.
    bad
        What is wrong with a file that was not.
    """

    values: dict[str, Array] = field(default_factory=dict)
    there: set[str] = field(default_factory=set)
    constants: dict[str, Array] = field(default_factory=dict)
    about: dict[str, Counter[str]] = field(default_factory=dict)
    n: int = 0
    n_files: int = 0
    bad: list[str] = field(default_factory=list)


def read_columns(paths: Iterable[Path], names: Mapping[str, str], constants: Iterable[str] = ()) -> Columns:
    """Read columns of the survey's group of many files. A file that cannot be read is noted, and left out.

    Parameters
    ----------
    paths
        Assembled files.
    names
        Column → its type: ``f8``, ``i8``, ``U``.
    constants
        Datasets to take from the first file that has them.
    """
    columns = Columns()
    parts: dict[str, list[Array]] = {name: [] for name in names}
    for path in paths:
        try:
            with hdf5.reading(path) as file:
                group, csv = assembled.groups(file, path)
                values = {name: _typed(group[name][:], kind) for name, kind in names.items() if name in group}
                about = {key: str(file.attrs[key]) for key in ABOUT if key in file.attrs}
                n = len(csv["row"])
                if any(len(column) != n for column in values.values()):
                    raise MalformedFile(f"{path}: its columns in {group.name} differ in length from {csv.name}/row")
                for name in constants:
                    if name in group and name not in columns.constants:
                        columns.constants[name] = group[name][:]
        except (OSError, KeyError, ValueError, HarvestError) as error:
            columns.bad.append(f"{error}" if str(path) in f"{error}" else f"{path}: {error}")
            continue
        columns.n_files += 1
        columns.n += n
        columns.there.update(values)
        for key, value in about.items():
            columns.about.setdefault(key, Counter())[value] += 1
        for name, kind in names.items():
            parts[name].append(values[name] if name in values else np.full(n, EMPTY[kind]))
    for name, kind in names.items():
        columns.values[name] = _stack(parts[name], kind)
    return columns


def _typed(values: Array, kind: str) -> Array:
    if kind == "U":
        return np.array([cell.strip() for cell in hdf5.text(values)], str)
    return values.astype(kind)


def _stack(parts: list[Array], kind: str) -> Array:
    """Return the columns of all files, one after another, all as wide as the widest."""
    with_rows = [part for part in parts if len(part)]
    if not with_rows:
        return parts[0][:0] if parts else np.zeros(0, "U1" if kind == "U" else kind)
    shape = max((part.shape[1:] for part in with_rows), key=len)
    filled = [part if part.shape[1:] == shape else np.full((len(part), *shape), EMPTY[kind]) for part in with_rows]
    return np.concatenate(filled)
