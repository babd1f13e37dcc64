"""Tables for PyTables: h5py reads what was written; PyTables, where there is one, opens and queries it."""

import h5py
import numpy as np
import pytest

from skyharvest.formats.pytables import TableWriter, new_group, open_new, write_array, write_table

KIND = np.dtype([("name", "S20"), ("ra", "<f4"), ("spectrum", "<f4", (50,)), ("n", "<i4"), ("image", "<f4", (2, 3))])


def rows(n: int) -> np.ndarray:
    random = np.random.default_rng(n)
    made = np.zeros(n, KIND)
    made["name"] = [f"multi_{k % 7:03d}".encode() for k in range(n)]
    made["ra"], made["n"] = random.uniform(0, 360, n), np.arange(n)
    made["spectrum"], made["image"] = random.normal(size=(n, 50)), random.normal(size=(n, 2, 3))
    made["spectrum"][::5, 10] = np.nan
    return made


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "t.h5"
    with open_new(path, "A file") as made:
        group = new_group(made, "Data", "Things")
        for compressed in (True, False):
            name = "Packed" if compressed else "Plain"
            with TableWriter(group, name, KIND, 101, "Rows", chunk=28, compressed=compressed) as table:
                for first in range(0, 101, 13):  # pieces that end anywhere in a chunk
                    table.append(rows(101)[first : first + 13])
        write_table(group, "Empty", rows(0))
        write_array(group, "model", np.arange(6.0).reshape(2, 3))
        write_array(group, "config", b"a text")
    return path


def test_h5py_reads_what_was_written(file):
    with h5py.File(file) as found:
        for name in ("Packed", "Plain"):
            assert found[f"Data/{name}"][:].tobytes() == rows(101).tobytes()
            assert found[f"Data/{name}"][30:31].tobytes() == rows(101)[30:31].tobytes()
        assert len(found["Data/Empty"]) == 0
        assert found["Data/Packed"].id.get_storage_size() < 101 * KIND.itemsize


def test_pytables_queries_it(file):
    tables = pytest.importorskip("tables")
    with tables.open_file(str(file)) as found:
        assert found.title == "A file" and found.root.Data._v_title == "Things"
        for name in ("Packed", "Plain"):
            table = found.get_node(f"/Data/{name}")
            assert type(table) is tables.Table and table.title == "Rows" and table.colnames == list(KIND.names)
            where = "multi_003"
            chosen = table.read_where("(name == b'multi_003') & (ra > 100)")
            truth = rows(101)
            truth = truth[(truth["name"] == where.encode()) & (truth["ra"] > 100)]
            assert chosen.tobytes() == truth.tobytes()
            assert table.read_coordinates([3, 99], "spectrum").shape == (2, 50)
        assert found.root.Data.Empty.nrows == 0
        np.testing.assert_array_equal(found.root.Data.model.read(), np.arange(6.0).reshape(2, 3))
        assert found.root.Data.config.read() == b"a text"
    with tables.open_file(str(file), "a") as found:
        found.root.Data.Packed.append(rows(2))
        found.root.Data.Packed.cols.n.create_csindex()
        assert len(found.root.Data.Packed.read_where("n == 1")) == 2


def test_rows_that_are_missing_are_noticed(tmp_path):
    with (
        open_new(tmp_path / "t.h5", "") as made,
        pytest.raises(AssertionError, match="found 3 rows; expected 5"),
        TableWriter(made, "Rows", KIND, 5) as table,
    ):
        table.append(rows(3))
