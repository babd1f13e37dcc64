"""Values of datasets and attributes of assembled files, as NumPy, Python and astropy have them."""

import difflib
import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import h5py
import numpy as np

from skyharvest.core.errors import MalformedFile
from skyharvest.formats import hdf5


def values_of(dataset: h5py.Dataset, index: Any) -> Any:
    """Read rows of a dataset: one (an integer), some (in any order, with repetitions), or all (None)."""
    try:
        values = _rows(dataset, index)
    except OSError as error:
        raise MalformedFile(
            f"{dataset.file.filename}: {dataset.name} cannot be read ({error}): remove the file, the next run makes it "
            "anew"
        ) from error
    if dataset.dtype.kind in "SO":
        if np.ndim(values) == 0:
            return hdf5.text([values])[0]  # type: ignore[arg-type]
        return np.array(hdf5.text(values), np.str_)
    if "null_value" in dataset.attrs:
        null = dataset.attrs["null_value"]
        if dataset.dtype.kind == "i" and dataset.dtype.itemsize == 1:  # truth values with empty cells
            return np.ma.MaskedArray(values == 1, values == null)
        return np.ma.MaskedArray(values, values == null, fill_value=null)
    return values


def _rows(dataset: h5py.Dataset, index: Any) -> Any:
    if index is None:
        return dataset[()]
    if np.ndim(index) == 0:
        return dataset[int(index)]
    # HDF5 reads rising rows, each once.
    rising, place = np.unique(index, return_inverse=True)
    if len(rising) and rising[-1] - rising[0] == len(rising) - 1:
        return dataset[rising[0] : rising[-1] + 1][place]
    return dataset[rising][place]


def plain(value: Any) -> Any:
    """Return an attribute as Python's own type where it is a scalar."""
    return value.item() if isinstance(value, np.generic) else value


def unit_of(dataset: h5py.Dataset) -> Any:
    from astropy.units import Unit  # noqa: PLC0415

    text = dataset.attrs.get("unit")
    return None if text is None else Unit(str(text), parse_strict="silent")


def installed(name: str, method: str) -> ModuleType:
    """Import a package that a method needs; if it is not there, say how to get it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ImportError(f"{method} needs {name}, which is not installed here: pip install {name}") from error


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return names in a row, the first ones of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def nearest(name: str, known: Sequence[str]) -> str:
    """Return which of the known names a name may have meant."""
    wanted = name.lower().rpartition("/")[2]
    ends = {other.lower().rpartition("/")[2]: other for other in known}
    near = [ends[end] for end in difflib.get_close_matches(wanted, ends, 3)]
    return f"did you mean {' or '.join(near)}?" if near else f"it has {listed(known)}"
