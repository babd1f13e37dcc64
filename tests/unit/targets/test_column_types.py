"""Types of the CSV's columns: an identifier keeps every digit, and a measured column is numbers."""

import math
from decimal import Context, Decimal, localcontext

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyharvest.core.errors import InputError
from skyharvest.targets.column_types import BLANKS, typed
from skyharvest.targets.csv_columns import number_column
from skyharvest.targets.table import read_targets


def as_typed(cells):
    return typed(pa.chunked_array([cells], pa.string()))


@pytest.mark.parametrize(
    "cells",
    [
        ["9007199254740993.0", "1.5"],  # 2**53 + 1
        ["9007199254740993.00"],
        ["20240101.12345678901", "20240101.12345678902"],
        ["0.1234567890123456789", "1"],
        ["1e999", "1"],
        ["1e-999", "1"],
        ["1.2345e-320", "1"],
        ["12.10", "12.1"],
        ["12.10", "12.2", "12.3"],
        ["1.1", "1.2", "1.20", ""],
        ["-2.50", "3.125"],
        ["007.5", "7.5"],
        ["+5.5", "5.5"],
        ["+5", "5"],
        ["007", "7"],
        ["1e3", "1000.0", "2.5"],
        ["1.5e0", "1.5"],
    ],
)
def test_what_a_number_would_alter_stays_text(cells):
    assert as_typed(cells).to_pylist() == cells
    assert as_typed(cells).type == pa.string()


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1.50", "0.25", "13.00", "-99", "0", "nan", ""], "double"),  # one program's decimals, and signs of no value
        (["1.50", "-99.0", "2.33"], "double"),
        (["0.123400", "1.23400", "123.400", "1.23400e-05", "0.00000"], "double"),  # IDL and Fortran: as many digits
        (["1.50E+02", "0.00E+00", "9.99E-31"], "double"),
        (["1", "1.0", "1.00", "0", "-0.0", "2.50"], "double"),
        (["1.5E-5", "1e-05", ".5", "0.25"], "double"),
        (["9007199254740992.0", "0.1000000000000000000000"], "double"),
        (["inf", "-Infinity", "NaN", "1.5"], "double"),
        (["4.9406564584124654e-324", "2.2250738585072014e-308"], "double"),
        (["+5", "6", "-0", "0"], "int64"),
    ],
)
def test_what_is_measured_is_a_number(cells, kind):
    found = as_typed(cells)
    assert str(found.type) == kind
    for cell, value in zip(cells, found.to_pylist(), strict=True):
        assert value is None if not cell else (value == float(cell) or math.isnan(value))


@pytest.mark.parametrize("blank", sorted({*BLANKS, "NULL", "None", "N/A", "\\N", " -- ", "Masked"}))
def test_cells_without_a_value(blank):
    assert as_typed(["0.123", blank]).to_pylist() == [0.123, None]
    assert as_typed([blank, "39627835576420141"]).to_pylist() == [None, 39627835576420141]
    assert as_typed(["true", blank]).to_pylist() == [True, None]
    assert as_typed(["NGC 1", blank]).to_pylist() == ["NGC 1", blank], "text stays as it is"
    assert as_typed([blank, blank]).to_pylist() == [blank, blank]


decimals = st.from_regex(r"[+-]?[0-9]{1,18}(\.[0-9]{0,18})?(e[+-]?[0-9]{1,2})?", fullmatch=True)


@given(st.lists(decimals | st.sampled_from(["12.1", "12.10", "12.2", "7", "07", "7.0"]), min_size=1, max_size=5))
def test_a_column_of_numbers_gives_back_every_cell(cells):
    """The oracle is decimal arithmetic: each value has its cell's digits, and equal values had equal digits."""
    found = as_typed(cells)
    if found.type == pa.string():
        assert found.to_pylist() == cells
        return
    written = {}
    with localcontext(Context(prec=60)):
        for cell, value in zip(cells, found.to_pylist(), strict=True):
            exact = Decimal(cell)
            digits = len(exact.normalize().as_tuple().digits)
            assert exact in (Decimal(f"{Decimal(value):.{digits - 1}e}"), Decimal(repr(value)))
            whole = exact == exact.to_integral_value()
            written.setdefault(value, set()).add(exact.normalize() if whole else exact.as_tuple())
    assert all(len(texts) == 1 for texts in written.values())


measured = st.lists(st.floats(-9e14, 9e14, allow_subnormal=False), min_size=1, max_size=8)


@given(measured, st.sampled_from(["r", ".3f", ".8f", ".4e", ".18e", ".17g", ".6g", "+.3f", "#.7g", "09.4f"]))
def test_what_one_program_writes_is_a_number(values, form):
    cells = [repr(value) if form == "r" else f"{value:{form}}" for value in values]
    found = as_typed(cells)
    assert found.type in (pa.float64(), pa.int64())
    assert found.to_pylist() == [float(cell) for cell in cells]


def test_a_column_can_be_made_text(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("obsid,RA,DEC,z\n00300,1,2,0.5\n300,3,4,--\n".replace("00300", "301"))
    assert read_targets(path, "RA", "DEC").table.column("obsid").to_pylist() == [301, 300]
    table = read_targets(path, "RA", "DEC", text=["obsid", "z"]).table
    assert table.column("obsid").to_pylist() == ["301", "300"]
    assert table.column("z").to_pylist() == ["0.5", "--"]
    np.testing.assert_array_equal(number_column(table, "z"), [0.5, np.nan])
    with pytest.raises(InputError, match=r"no column 'obs_id' for the setting text \(nearest name: 'obsid'\)"):
        read_targets(path, "RA", "DEC", text=["obs_id"])
    with pytest.raises(InputError, match=r"'obsid' holds the TARGETIDs .*: leave it out of targets\.text"):
        read_targets(path, "RA", "DEC", targetid="obsid", text=["obsid"])


def test_positions_are_numbers_however_they_are_written(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("RA_DESI,DEC_DESI\n150.10,2.50\n150.1,2.125\n")
    table = read_targets(path).table
    assert table.column("RA_DESI").to_pylist() == [150.1, 150.1]
    assert table.column("DEC_DESI").to_pylist() == [2.5, 2.125]


def test_numbers_for_the_workflow_are_read_from_columns_that_stayed_text(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("RA_DESI,DEC_DESI,z,bad\n1,2,0.10,--\n1,2,null,1\n1,2,0.123,x\n")
    table = read_targets(path).table
    assert table.column("z").to_pylist() == ["0.10", "null", "0.123"]
    np.testing.assert_array_equal(number_column(table, "z"), [0.1, np.nan, 0.123])
    with pytest.raises(InputError, match=r"column 'bad' of the CSV holds 'x' in row 2, expected numbers"):
        number_column(table, "bad")
