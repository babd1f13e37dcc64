"""Of CSV files that this project writes: the same rows leave a file as it is, and other columns are refused."""

import os

import pytest

from skyharvest.core.csv_file import read_rows, write_changed_rows
from skyharvest.core.errors import MalformedFile

HEADER = ("night", "reason")


def test_a_file_with_the_same_rows_keeps_its_time(tmp_path):
    path = tmp_path / "rows.csv"
    assert write_changed_rows(path, HEADER, [(20190103, 'a comma, and a "')])
    os.utime(path, (1, 1))
    assert not write_changed_rows(path, HEADER, iter([(20190103, 'a comma, and a "')]))
    assert path.stat().st_mtime == 1
    assert write_changed_rows(path, HEADER, [(20190104, "")])
    assert list(read_rows(path, HEADER)) == [["20190104", ""]]


@pytest.mark.parametrize("text", ["night\n1\n", "reason,night\na,1\n", ""])
def test_other_columns_are_refused_with_what_to_do(tmp_path, text):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(MalformedFile, match=r"rows.csv: found the columns .*remove the file"):
        list(read_rows(path, HEADER))


@pytest.mark.parametrize("cut", [1, 4, 9])
def test_a_file_that_is_cut_short_is_named(tmp_path, cut):
    path = tmp_path / "rows.csv"
    write_changed_rows(path, HEADER, [(20190103, ""), (20190104, "cloudy")])
    path.write_text(path.read_text()[:-cut])
    with pytest.raises(MalformedFile, match=r"rows\.csv: line 3: .*; remove the file and run again"):
        list(read_rows(path, HEADER))
