"""Spectra in chunks that are packed before HDF5 sees them: any HDF5 reads what was written."""

import h5py
import numpy as np
import pytest

from skyharvest.formats import hdf5
from skyharvest.formats.hdf5_spectra import spectra_dataset, write_rows

PLACES = (slice(None), slice(2, 7), np.array([8, 0, 3]), np.array([], int))


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("dtype", ["f4", ">f4", "i4", "f8", "u1"])
@pytest.mark.parametrize("shape", [(1000,), (11, 50)])
def test_rows_are_where_hdf5_itself_would_have_put_them(tmp_path, compressed, dtype, shape):
    rng = np.random.default_rng(1)
    expected = np.zeros((len(PLACES), 9, *shape), dtype)
    with hdf5.create(tmp_path / "x.hdf5") as file:
        for k, place in enumerate(PLACES):
            values = rng.normal(0, 100, expected[k][place].shape)  # f8: converted as by HDF5
            values = values.clip(0, 255) if dtype == "u1" else values
            expected[k][place] = values
            # HDF5 itself takes places in rising order only.
            rising = np.argsort(place) if not compressed and isinstance(place, np.ndarray) else slice(None)
            ours = place[rising] if isinstance(place, np.ndarray) else place
            dataset = spectra_dataset(file, f"d{k}", 9, shape, dtype, compressed=compressed)
            write_rows(dataset, ours, values[rising])
    with h5py.File(tmp_path / "x.hdf5") as file:
        for k, values in enumerate(expected):
            dataset = file[f"d{k}"]
            assert dataset.dtype == values.dtype
            assert (dataset.compression, dataset.shuffle) == (("gzip", True) if compressed else (None, False))
            np.testing.assert_array_equal(dataset[:], values)


def test_a_part_of_a_spectrum_is_refused(tmp_path):
    with hdf5.create(tmp_path / "x.hdf5") as file:
        dataset = spectra_dataset(file, "d", 9, (10,), "f4", compressed=True)
        with pytest.raises(AssertionError):
            write_rows(dataset, slice(0, 2), np.zeros((2, 9)))
