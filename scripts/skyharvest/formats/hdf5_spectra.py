"""Datasets of spectra and images in HDF5 files: a row for each, which is a chunk; gzip and shuffle, as any HDF5 reads.

For those who write: readers of results need no more than `skyharvest.formats.hdf5`.
"""

from typing import Any

import h5py
import numpy as np
from isal import isal_zlib

from skyharvest.core.arrays import Array, Ints
from skyharvest.formats.hdf5 import GZIP


def spectra_dataset(
    group: h5py.Group,
    name: str,
    n_rows: int,
    shape: tuple[int, ...],
    dtype: Any,
    *,
    compressed: bool,
    **attributes: Any,
) -> h5py.Dataset:
    """Return an empty dataset for ``n_rows`` spectra of ``shape``; a chunk is one spectrum. `write_rows` fills it.

    Uncompressed datasets are contiguous.
    """
    options: dict[str, Any] = {"chunks": (1, *shape), **GZIP} if compressed and n_rows else {}
    dataset = group.create_dataset(name, (n_rows, *shape), dtype, **options)
    dataset.attrs.update(attributes)
    return dataset


def write_rows(dataset: h5py.Dataset, place: Ints | slice, values: Array) -> None:
    """Write spectra to a dataset of `spectra_dataset`: as ``dataset[place] = values``, with a faster gzip than HDF5's.

    Parameters
    ----------
    place
        Where, each place once: (n,) integers, or a slice.
    values
        (n, …), a whole spectrum for each place.
    """
    if dataset.chunks is None:
        dataset[place] = values
        return
    rows = np.arange(len(dataset))[place]
    assert values.shape == (len(rows), *dataset.shape[1:])
    rest = (0,) * (dataset.ndim - 1)
    for row, each in zip(rows.tolist(), np.ascontiguousarray(values, dataset.dtype), strict=True):
        shuffled = np.ascontiguousarray(each.reshape(-1).view(np.uint8).reshape(each.size, -1).T)
        dataset.id.write_direct_chunk((row, *rest), isal_zlib.compress(shuffled, GZIP["compression_opts"]))
