"""The report's numbers that come from the assembled files: small columns of them all, never a spectrum or an image."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skyharvest.core.errors import MalformedFile
from skyharvest.formats import hdf5

Array = npt.NDArray[Any]

ABOUT = (
    "release",
    "specprod",
    "radius_arcsec",
    "aperture_radius_arcsec",
    "config_hash",
    "workflow_version",
    "git_commit",
)
"""Root attributes that say where a file came from."""

DESI = {
    "z": "f8",
    "zwarn": "i8",
    "spectype": "U",
    "survey": "U",
    "program": "U",
    "primary": "?",
    "separation_arcsec": "f8",
    "median_coadd_snr_r": "f8",
}
HETDEX = {
    "shotid": "i8",
    "field": "U",
    "mjd": "f8",
    "epoch_group": "i8",
    "n_epochs": "i8",
    "fwhm_virus": "f8",
    "separation_arcsec": "f8",
}
LEGACY_SURVEYS = {"coverage": "f8", "aperture_magnitude": "f8", "brickname": "U"}
EMPTY: dict[str, Any] = {"f8": np.nan, "i8": -1, "?": False, "U": ""}


@dataclass
class Columns:
    """What `read_columns` has found.

    Attributes
    ----------
    values
        Name → column of all files, (n, …); NaN, -1, False or "" where a file does not have it.
    there
        The columns that at least one file has.
    constants
        Name → what does not go by rows, such as names of bands; of the first file.
    about
        Root attribute → its values, as text, and the number of files with each.
    n_files
        Number of files that were read.
    bad
        What is wrong with a file that was not.
    """

    values: dict[str, Array] = field(default_factory=dict)
    there: set[str] = field(default_factory=set)
    constants: dict[str, Array] = field(default_factory=dict)
    about: dict[str, Counter[str]] = field(default_factory=dict)
    n_files: int = 0
    bad: list[str] = field(default_factory=list)

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(next(iter(self.values.values()), ()))


def read_columns(paths: Iterable[Path], group: str, names: Mapping[str, str], constants: Iterable[str] = ()) -> Columns:
    """Read columns of a group of many files. A file that cannot be read is noted, and left out.

    Parameters
    ----------
    paths
        Assembled files.
    group
        ``desi``, ``hetdex``, ``legacysurvey``.
    names
        Column → its type: ``f8``, ``i8``, ``?``, ``U``.
    constants
        Datasets to take from the first file that has them.
    """
    made = Columns()
    parts: dict[str, list[Array]] = {name: [] for name in names}
    for path in paths:
        try:
            with hdf5.reading(path) as file:
                there = {name: file[group][name][:] for name in names if name in file[group]}
                found = {name: _typed(values, names[name]) for name, values in there.items()}
                about = {key: str(file.attrs[key]) for key in ABOUT if key in file.attrs}
                n = max((len(values) for values in found.values()), default=0)
                if any(len(values) != n for values in found.values()):
                    raise MalformedFile(f"{path}: its columns in {group} differ in length")
                for name in constants:
                    if name in file[group] and name not in made.constants:
                        made.constants[name] = file[group][name][:]
        except (OSError, KeyError, ValueError, MalformedFile) as error:
            made.bad.append(f"{error}" if str(path) in f"{error}" else f"{path}: {error}")
            continue
        made.n_files += 1
        made.there.update(found)
        for key, value in about.items():
            made.about.setdefault(key, Counter())[value] += 1
        for name, kind in names.items():
            parts[name].append(found[name] if name in found else np.full(n, EMPTY[kind]))
    for name, kind in names.items():
        made.values[name] = _stack(parts[name], kind)
    return made


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
