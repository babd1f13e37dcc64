"""Columns to numpy: as pyarrow itself does it, for every type that a CSV can have."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyharvest.formats import arrow
from skyharvest.formats.hdf5 import NULL_INTEGER

TYPES = {
    pa.int64(): st.integers(-(2**63) + 1, 2**63 - 1),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.float64(): st.floats(allow_nan=False),
    pa.float32(): st.floats(allow_nan=False, width=32),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(max_size=5),
}
SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
STANDS_FOR_EMPTY = {pa.int64(): NULL_INTEGER, pa.int32(): NULL_INTEGER, pa.bool_(): -1}


@given(st.data(), st.sampled_from(list(TYPES)), st.booleans())
def test_columns_are_what_pyarrow_says(data, kind, blanks):
    cell = TYPES[kind] | st.none() if blanks else TYPES[kind]
    chunks = data.draw(st.lists(st.lists(cell, max_size=20), max_size=4))
    begin = data.draw(st.integers(0, 5))
    column = pa.chunked_array([pa.array(chunk, kind)[begin:] for chunk in chunks], kind)  # slices have offsets
    values, null = arrow.to_numpy(column)
    cells = column.to_pylist()
    assert null == (STANDS_FOR_EMPTY.get(kind) if None in cells else None)
    blank = {"float": np.nan, "double": np.nan, "string": ""}.get(str(kind), null)
    expected = [blank if cell is None else cell for cell in cells]
    assert repr(values.tolist()) == repr(list(map(int, expected)) if null == -1 else expected)
    if not column.null_count and pa.types.is_primitive(kind):
        assert values.dtype == kind.to_pandas_dtype()


@pytest.mark.parametrize("group", [7, 1000])
def test_rows_of_a_parquet_file(tmp_path, group):
    n = 1000
    pix16 = np.random.default_rng(1).integers(0, 5, n)
    table = pa.table({"row": np.arange(n), "pix16": pix16, "name": [f"n{k}" if k % 3 else None for k in range(n)]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=group)
    for pixel in (0, 4, 9):
        found = arrow.rows_where(tmp_path / "t.parquet", "pix16", pixel)
        assert found.equals(table.filter(pa.array(pix16 == pixel)))


def test_pandas_stays_out(tmp_path):
    """Importing it would take half of a small assemble job's seconds."""
    pq.write_table(pa.table({"pix16": [1, 2], "i": [None, 3], "f": [None, 0.5], "s": ["a", None]}), tmp_path / "t")
    code = """
import sys
from pathlib import Path
from pathlib import Path
from skyharvest.formats import arrow
from skyharvest.surveys.desi import assemble
table = arrow.rows_where(Path(sys.argv[1]), "pix16", 1)
print([arrow.to_numpy(column)[0].tolist() for column in table.columns], "pandas" in sys.modules)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "t")]
    made = subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True, check=True)
    assert made.stdout.strip() == f"[[1], [{NULL_INTEGER}], [nan], ['a']] False"
