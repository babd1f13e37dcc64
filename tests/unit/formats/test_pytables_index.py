"""Indices for PyTables: what it finds by them is what is in the table, and it does use them."""

import numpy as np
import pytest

from skyharvest.formats.pytables import TableWriter, open_new
from skyharvest.formats.pytables_index import IndexWriter

tables = pytest.importorskip("tables")
KIND = np.dtype([("sorted", "<i8"), ("mixed", "<i8"), ("ra", "<f4"), ("spectrum", "<f4", (20,))])
SIZES = {"slice_size": 64, "chunk_size": 16}


def rows(n: int) -> np.ndarray:
    random = np.random.default_rng(n)
    made = np.zeros(n, KIND)
    made["sorted"] = np.sort(random.integers(0, 2 * n + 1, n)) + 2019010301700000  # with repeats and gaps
    made["mixed"] = random.integers(0, 50, n)
    made["ra"] = random.uniform(0, 360, n)
    made["ra"][::7] = np.nan
    made["spectrum"] = np.arange(n)[:, None]
    return made


def write(path, n: int):
    with open_new(path, "") as file:
        with TableWriter(file, "Rows", KIND, n, chunk=8) as table:
            names = KIND.names[:3]
            indices = {name: IndexWriter(table.dataset, name, n, **SIZES) for name in names}
            for first in range(0, n, 37):
                piece = rows(n)[first : first + 37]
                table.append(piece)
                for name in names:
                    indices[name].append(piece[name])
        for index in indices.values():
            with index:
                pass
    return path


@pytest.mark.parametrize("n", [0, 1, 15, 16, 63, 64, 65, 128, 333])  # around the edges of chunks and slices
def test_queries_find_what_a_scan_finds(tmp_path, n):
    truth = rows(n)
    with tables.open_file(write(tmp_path / "t.h5", n)) as file:
        table = file.root.Rows
        assert set(table.colindexes) == {"sorted", "mixed", "ra"}
        for name in ("sorted", "mixed"):
            assert table.will_query_use_indexing(f"{name} == 3") == {name}
            for value in np.unique([*truth[name].tolist(), truth["sorted"].min(initial=7) - 1, 5, 10**17]).tolist():
                found = table.read_where(f"{name} == value")
                assert found.tobytes() == truth[truth[name] == value].tobytes(), (name, value)
        for low, high in ((10, 20), (-5, 0.01), (355, 400), (0, 360)):
            found = table.read_where("(ra >= low) & (ra < high)")
            assert found.tobytes() == truth[(truth["ra"] >= low) & (truth["ra"] < high)].tobytes(), (low, high)
        assert table.read_where("ra > 300").tobytes() == truth[truth["ra"] > 300].tobytes()
        assert table.cols.sorted.index.is_csi == (n > 0)
        assert table.cols.mixed.index.is_csi == (0 < n <= 64)


def test_pytables_goes_on_with_a_table_that_has_an_index(tmp_path):
    path = write(tmp_path / "t.h5", 150)
    with tables.open_file(path, "a") as file:
        file.root.Rows.append(rows(150)[:30])
        file.root.Rows.flush()
        truth = np.concatenate([rows(150), rows(150)[:30]])
        for value in range(50):
            found = file.root.Rows.read_where("mixed == value")
            assert sorted(found["spectrum"][:, 0]) == sorted(truth["spectrum"][truth["mixed"] == value][:, 0])
        file.root.Rows.cols.ra.remove_index()
        file.root.Rows.cols.ra.create_csindex()


def test_missing_values_are_noticed(tmp_path):
    with open_new(tmp_path / "t.h5", "") as file, TableWriter(file, "Rows", KIND, 3) as table:
        table.append(rows(3))
        with (
            pytest.raises(AssertionError, match="found 2 values; expected 3"),
            IndexWriter(table.dataset, "sorted", 3) as index,
        ):
            index.append(rows(3)["sorted"][:2])
