"""What is in an HDF5 file, for comparisons."""

from pathlib import Path

import h5py
import numpy as np


def contents(path: Path) -> dict[str, np.ndarray]:
    """Return every dataset of a file by its name; attributes, such as when it was made, are left out."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found
