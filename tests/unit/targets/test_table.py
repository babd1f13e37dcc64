"""Targets: every CSV row ends in exactly one place, with its values as they were, and errors say what to do."""

import codecs
import csv
import gzip
import hashlib
import io
import math
import subprocess
import sys
from pathlib import Path

import healpy as hp
import numpy as np
import pandas as pd
import prepare_targets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import add_desi_pix64_to_csv
from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.targets import csv_rows
from skyharvest.targets.csv_path import check_csv_exists
from skyharvest.targets.pixel_columns import add_pix64
from skyharvest.targets.positions import read_positions
from skyharvest.targets.table import read_targets, summary, write_targets

HEADER = "name,RA_DESI,DEC_DESI"
SCRIPTS = Path(prepare_targets.__file__).parents[1]


@pytest.fixture
def make(tmp_path):
    """Return a function that writes a CSV (text or bytes) and returns its path."""

    def write(content, name="x.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def column(table, name):
    return table.column(name).to_pylist()


def csv_text(rows):
    stream = io.StringIO()
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows(rows)
    return stream.getvalue()


def sky(n, seed=0):
    random = np.random.default_rng(seed)
    return random.uniform(0, 360, n), np.degrees(np.arcsin(random.uniform(-1, 1, n)))


# --- what is read ---------------------------------------------------------------------------------------------------


def test_values_are_those_of_pandas(make):
    random = np.random.default_rng(3)
    ra, dec = sky(300)
    frame = pd.DataFrame(
        {
            "RA_DESI": ra,
            "DEC_DESI": dec,
            "name": [f'src {i}, "x"\nsecond line' if i % 7 == 0 else f"Müller {i}" for i in range(300)],
            "TARGETID": random.integers(2**60, 2**61, 300),
            "flux": 10.0 ** random.uniform(-300, 300, 300),
            "gaps": np.where(random.uniform(size=300) < 0.3, np.nan, random.normal(size=300)),
            "flag": random.uniform(size=300) < 0.5,
            "const": 1,
        }
    )
    read = read_targets(make(frame.to_csv(index=False)))
    assert read.n_rows == 300
    assert read.rejected == []
    assert read.columns == list(frame)
    got = pd.DataFrame({name: column(read.table, name) for name in frame})
    pd.testing.assert_frame_equal(got, frame, check_exact=True)
    assert [str(read.table.schema.field(name).type) for name in frame] == [
        *("double", "double", "string", "int64", "double", "double", "bool", "int64")
    ]
    assert column(read.table, "row") == list(range(300))
    for nside, name in ((16, "pix16"), (64, "pix64")):
        assert column(read.table, name) == hp.ang2pix(nside, ra, dec, nest=True, lonlat=True).tolist()
    assert column(read.table, "pix64_group") == [pix // 100 for pix in column(read.table, "pix64")]


@pytest.mark.parametrize("form", ["gz", "bom", "crlf", "no last newline", "blank lines", "many blocks"])
def test_same_rows_in_other_forms(make, form, monkeypatch, tmp_path):
    rows = [f'"a,{i}\nb",{i}.5,{-i}' for i in range(5)]
    text = "\n".join([HEADER, *rows]) + "\n"
    expected = read_targets(make(text, "plain.csv")).table
    if form == "gz":
        path = make(gzip.compress(text.encode()), "x.csv.gz")
    elif form == "bom":
        path = make(codecs.BOM_UTF8 + text.encode())
    elif form == "crlf":
        path = make("\r\n".join([HEADER, *rows]) + "\r\n")
    elif form == "no last newline":
        path = make(text.rstrip("\n"))
    elif form == "blank lines":
        path = make("\n  \n" + "\n\n \n".join([HEADER, *rows]) + "\n\n")
    else:
        monkeypatch.setattr(csv_rows, "BLOCK_ROWS", 2)
        path = make(text)
    assert read_targets(path).table.to_pylist() == expected.to_pylist()


def test_a_pipe_is_as_good_as_a_file(make):
    with subprocess.Popen(["cat", make(f"{HEADER}\na,1,2\n")], stdout=subprocess.PIPE) as process:
        assert read_targets(f"/dev/fd/{process.stdout.fileno()}").n_rows == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8), min_size=1, max_size=6
    )
)
def test_any_text_survives(make, tmp_path, cells):
    rows = [["note", "RA_DESI", "DEC_DESI"], *([f"t{cell}", str(i), "0"] for i, cell in enumerate(cells))]
    path = make(csv_text(rows))
    assert column(read_targets(path).table, "note") == [row[0] for row in rows[1:]]
    out = tmp_path / "out.csv"
    add_pix64(path, out, csv_rows.Names())
    with out.open(newline="", encoding="utf-8") as stream:
        assert [row[:3] for row in csv.reader(stream)] == rows


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", "", "-9223372036854775808", "9223372036854775807"], "int64", [1, None, -(2**63), 2**63 - 1]),
        (["39627835576420141", "", "39627835576420142"], "int64", [39627835576420141, None, 39627835576420142]),
        ([" 5", "+6 ", "-0"], "int64", [5, 6, 0]),
        (["034", "35", ""], "string", ["034", "35", ""]),
        (["-01", "2.5"], "string", ["-01", "2.5"]),
        (["0", "10"], "int64", [0, 10]),
        (["007.5", "1"], "double", [7.5, 1]),
        (["9223372036854775808", "1"], "string", ["9223372036854775808", "1"]),
        (["39627835576420141", "nan"], "string", ["39627835576420141", "nan"]),
        (["39627835576420141", "1.5"], "string", ["39627835576420141", "1.5"]),
        (["1", "2.5", "", "-inf", "+1e3", ".5", "5."], "double", [1, 2.5, None, -math.inf, 1000, 0.5, 5]),
        (["0x1F", "1"], "string", ["0x1F", "1"]),
        (["1_000", "1"], "string", ["1_000", "1"]),
        (["++5", "1"], "string", ["++5", "1"]),
        (["12:30:00", ""], "string", ["12:30:00", ""]),
        (["True", "false", "", "TRUE"], "bool", [True, False, None, True]),
        (["true", "1"], "string", ["true", "1"]),
        (["", " ", ""], "string", ["", " ", ""]),
        ([" padded ", "", "None"], "string", [" padded ", "", "None"]),
    ],
)
def test_types(make, monkeypatch, cells, kind, values):
    path = make("\n".join(["RA_DESI,DEC_DESI,c", *(f"1,2,{cell}" for cell in cells)]))
    for rows in (1, 1000):  # the type is that of the column, not of a block
        monkeypatch.setattr(csv_rows, "BLOCK_ROWS", rows)
        read = read_targets(path).table
        assert str(read.schema.field("c").type) == kind
        assert column(read, "c") == values


def test_types_are_those_of_the_accepted_rows(make):
    read = read_targets(make("RA_DESI,DEC_DESI,id\n1,2,5\n,2,x\n3,4,6\n"))
    assert column(read.table, "id") == [5, 6]
    assert column(read.table, "row") == [0, 2]


def test_columns_with_our_names(make):
    path = make("ra,dec,row,csv_row,pix64,x\n10,20,7,8,9,1\n")
    read = read_targets(path, "ra", "dec").table
    assert read.column_names == [
        *("row", "ra", "dec", "pix16", "pix64", "pix64_group"),
        *("csv_ra", "csv_dec", "csv_csv_row", "csv_row", "csv_pix64", "x"),
    ]
    assert len(set(read.column_names)) == 12
    names = [read.schema.field(i).metadata for i in range(6, 12)]
    assert [name[b"csv_column"].decode() for name in names] == ["ra", "dec", "row", "csv_row", "pix64", "x"]
    assert (column(read, "csv_csv_row"), column(read, "csv_row"), column(read, "csv_pix64")) == ([7], [8], [9])


def test_ra_is_taken_modulo_360(make):
    given_ra = ["-180", "-1e-20", "0", "359.5", "360", "-0.25", " 12.5 "]
    read = read_targets(make("\n".join(["RA_DESI,DEC_DESI", *(f"{ra},-90" for ra in given_ra)]))).table
    assert column(read, "ra") == [180, 0, 0, 359.5, 0, 359.75, 12.5]


def test_targetids(make):
    ids = [
        "39627835576420141",
        " 39627835576420142 ",
        "",
        "3.9e16",
        "39627835576420141.0",
        "abc",
        "-1",
        "2" * 20,
        "007",
        "NULL",
        " -- ",
    ]
    path = make("\n".join(["id,RA_DESI,DEC_DESI", *(f"{number},1,2" for number in ids)]))
    read = read_targets(path, targetid="id")
    assert str(read.table.schema.field("id").type) == "int64"
    assert column(read.table, "id") == [39627835576420141, 39627835576420142, 7]
    reasons = {bad.row: bad.reason for bad in read.rejected}
    assert list(reasons) == [2, 3, 4, 5, 6, 7, 9, 10]
    assert {reasons[2], reasons[9], reasons[10]} == {"id is empty"}
    assert "not an integer: found '3.9e16'; a float does not hold" in reasons[3]
    assert reasons[5] == "id is not an integer: found 'abc'"
    assert "'-1'; expected 0 to 2**63 - 1" in reasons[6]
    assert read_targets(path).rejected == [], "without the option it is a column like any other"


# --- what is rejected -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ra", "dec", "reason"),
    [
        ("", "1", "RA_DESI is empty"),
        ("  ", "1", "RA_DESI is empty"),
        ("1", "", "DEC_DESI is empty"),
        ("n/a", "1", "RA_DESI is not a number: found 'n/a'"),
        ("1_0", "1", "RA_DESI is not a number: found '1_0'"),
        ("１２", "1", "RA_DESI is not a number: found '１２'"),
        ("09:57:51.7", "1", "RA_DESI is not a number: found '09:57:51.7', which looks sexagesimal; decimal degrees"),
        ("1", "+01d47m37s", "DEC_DESI is not a number: found '+01d47m37s', which looks sexagesimal"),
        ("9h57m", "1", "looks sexagesimal"),
        ("nan", "1", "RA_DESI is not finite: found 'nan'"),
        ("1", "-inf", "DEC_DESI is not finite: found '-inf'"),
        ("1e999", "1", "RA_DESI is not finite"),
        ("360.0001", "1", "RA_DESI is outside [-180, 360]: found '360.0001'"),
        ("-180.1", "1", "RA_DESI is outside [-180, 360]"),
        ("1", "90.001", "DEC_DESI is outside [-90, 90]: found '90.001'"),
        ("1", "-91", "DEC_DESI is outside [-90, 90]"),
        ("x", "95", "RA_DESI is not a number: found 'x'; DEC_DESI is outside [-90, 90]: found '95'"),
        ("x" * 5000, "1", f"found '{'x' * 60}…'"),
    ],
)
def test_bad_positions(make, ra, dec, reason):
    read = read_targets(make(f"{HEADER}\ngood,1,2\nbad,{ra},{dec}\ngood,360,90\n"))
    assert column(read.table, "row") == [0, 2]
    assert [(bad.row, bad.cells) for bad in read.rejected] == [(1, ["bad", ra, dec])]
    assert reason in read.rejected[0].reason
    assert read.rejected[0].reason.startswith(read.rejected[0].kind)


def test_ragged_rows_and_bytes_that_are_not_text(make, tmp_path):
    path = make(
        b"name,RA_DESI,DEC_DESI\n"
        b"good,1,2\n"
        b"short,1\n"
        b"long,1,2,3,\xe4\n"
        b"M\xfcnch,1,2\n"
        b"n\x00l,1,2\n"
        b'"a ""quote"",\nover lines",1\n'
        b"\xc3\xbc,1,2\n"
    )
    read = read_targets(path)
    assert column(read.table, "name") == ["good", "ü"]
    reasons = [bad.reason for bad in read.rejected]
    assert reasons == [
        "too few fields: 2, but the header has 3",
        "too many fields: 5, but the header has 3; beyond them: '3', b'\\xe4'",
        "name is not UTF-8: found b'M\\xfcnch'",
        "name holds NUL: found 'n\\x00l'",
        "too few fields: 2, but the header has 3; it takes up lines 7 to 8: is a quote not closed?",
    ]
    write_targets(read, tmp_path)
    with (tmp_path / "rejected.csv").open(newline="", encoding="utf-8") as stream:
        written = list(csv.reader(stream))
    assert written[0] == ["row", "reason", "name", "RA_DESI", "DEC_DESI"]
    assert [row[1] for row in written[1:]] == reasons
    assert [row[0] for row in written[1:]] == ["1", "2", "3", "4", "5"]
    assert [row[2:] for row in written[1:]] == [
        ["short", "1", ""],
        ["long", "1", "2"],
        ["M\\xfcnch", "1", "2"],
        ["n\\x00l", "1", "2"],
        ['a "quote",\nover lines', "1", ""],
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(
        st.sampled_from(["a,1,2", "a,x,2", "a,1", "a,1,2,3", "", " ", ",,", "ü,1,2", '"\n",1,2']), max_size=12
    )
)
def test_every_row_is_somewhere_once(make, lines):
    path = make("\n".join([HEADER, "first,0,0", *lines]))
    read = read_targets(path)
    numbers = column(read.table, "row") + [bad.row for bad in read.rejected]
    assert sorted(numbers) == list(range(read.n_rows))
    assert read.n_rows == 1 + sum(line.strip() != "" for line in lines)
    assert len(read.rejected) == sum(line in ("a,x,2", "a,1", "a,1,2,3", ",,") for line in lines)


def test_rejected_csv_with_columns_called_row_and_reason(make, tmp_path):
    write_targets(read_targets(make("row,reason,RA_DESI,DEC_DESI\n8,why,1,2\n9,not,x,2\n")), tmp_path)
    with (tmp_path / "rejected.csv").open(newline="", encoding="utf-8") as stream:
        (bad,) = csv.DictReader(stream)
    assert (bad["row"], bad["csv_row"], bad["csv_reason"]) == ("1", "9", "not")


# --- what is an error -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        (HEADER + "\n", "has a header but no rows"),
        (
            f"{HEADER}\na,x,1\nb,1\n",
            r"none of its 2 rows is usable. The first ones: row 0: RA_DESI is not .*; row 1: too",
        ),
        ("name,ra,dec\na,1,2\n", r"no column 'RA_DESI' for RA \(nearest name: 'ra'\).*3 columns are: name, ra, dec$"),
        ("name,ra_desi,DEC_DESI\n", r"no column 'RA_DESI' for RA \(nearest name: 'ra_desi'\)"),
        ("RA_DESI;DEC_DESI\n1;2\n", "separated by semicolons: expected commas"),
        ("RA_DESI\tDEC_DESI\n1\t2\n", "separated by tabs"),
        ("# made by hand\nRA_DESI,DEC_DESI\n", "first line is a comment"),
        ("149.5,1.8\n150,2\n", "first line holds numbers: expected the column names"),
        ("RA_DESI,DEC_DESI,a,b,a\n1,2,3,4,5\n", "more than one column is called 'a'"),
        (",RA_DESI,DEC_DESI\n0,1,2\n", r"column 1 of 3 has no name \(an index that pandas wrote"),
        ("RA_DESI,DEC_DESI,\n1,2,\n", "column 3 of 3 has no name: name or remove it"),
        (
            b"RA_DESI,DEC_DESI,Gr\xf6\xdfe\n1,2,3\n",
            r"column 3 of 3 has a name that is not UTF-8 text, b'Gr\\xf6\\xdfe'",
        ),
        ("<!DOCTYPE html>\n<html>", "is not CSV text but HTML"),
        (codecs.BOM_UTF8 + b"\n <html>", "is not CSV text but HTML"),
        (gzip.compress(b"RA_DESI,DEC_DESI\n1,2\n", mtime=0), "gzip-compressed, but its name does not end in .gz"),
        ("RA_DESI,DEC_DESI\n1,2\n".encode("utf-16"), "UTF-16 text: save it as UTF-8"),
        (b"SIMPLE  =                    T / conforms", "a FITS file"),
        (b"RA_DESI,DEC_\0DESI\n1,2\n", "first line holds NUL bytes"),
        (f'{HEADER}\na,1,2\n"b,1,2\nc,1,2\n', "line 3: a quote is opened there and not closed before the end"),
    ],
)
def test_bad_files(make, content, message):
    path = make(content)
    with pytest.raises(InputError, match=message) as error:
        read_targets(path)
    assert str(path) in str(error.value)


def test_a_quote_that_swallows_the_file(make, monkeypatch):
    monkeypatch.setattr(csv_rows, "FIELD_LIMIT", 100)
    limit = csv.field_size_limit()
    with pytest.raises(InputError, match=r"line 3: field larger than field limit \(100\): is a quote opened there"):
        read_targets(make(f'{HEADER}\na,1,2\n"b,1,2\n' + "c,1,2\n" * 50))
    assert csv.field_size_limit() == limit
    monkeypatch.undo()
    read = read_targets(make(f"{HEADER}\n{'x' * 200_000},1,2\n"))
    assert len(column(read.table, "name")[0]) == 200_000


def test_damaged_gz(make):
    whole = gzip.compress(f"{HEADER}\n".encode() + b"".join(b"a%d,1,2\n" % i for i in range(20_000)))
    with pytest.raises(InputError, match="is it complete"):
        read_targets(make(whole[:-3000], "cut.csv.gz"))
    with pytest.raises(InputError, match="is it complete"):
        read_targets(make(whole[:3000] + b"\xff" * 3000 + whole[6000:], "torn.csv.gz"))
    with pytest.raises(InputError, match=r"named \.gz, but is not gzip-compressed"):
        read_targets(make(f"{HEADER}\na,1,2\n", "plain.csv.gz"))


def test_columns_that_are_configured_must_be_there(make):
    path = make(f"{HEADER},Healpix\na,1,2,3\n")
    with pytest.raises(
        InputError, match=r"no column 'healpix' for healpix \(nearest name: 'Healpix'\); no column 'id' for T"
    ):
        read_targets(path, healpix="healpix", targetid="id")
    with pytest.raises(InputError, match="both to be read from column 'name'"):
        read_targets(path, "name", "name")


# --- the path -------------------------------------------------------------------------------------------------------


def test_paths_that_do_not_exist(tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("DESI_chandra_crossmatch.csv", "DESI_chandra_old.csv", "other.fits"):
        (data / name).write_text("x")
    assert check_csv_exists(data / "other.fits") == data / "other.fits"

    def message(path):
        with pytest.raises(InputError) as error:
            check_csv_exists(path)
        return str(error.value)

    truncated = message(data / "DESI_chandra")
    assert f"{data / 'DESI_chandra'} does not exist; the path looks truncated" in truncated
    assert f"{data / 'DESI_chandra_crossmatch.csv'}, {data / 'DESI_chandra_old.csv'}" in truncated
    assert "other.fits" not in truncated
    misspelt = message(data / "desi_chandra_crosmatch.csv")
    assert f"similar names: {data / 'DESI_chandra_crossmatch.csv'}" in misspelt
    assert "truncated" not in misspelt
    assert f"there is no 'dat' in {tmp_path}; there are similar names: {data}/" in message(
        tmp_path / "dat" / "x" / "y.csv"
    )
    assert "nothing with a similar name (3 entries)" in message(data / "zzz")
    assert "is a directory" in message(data)
    (data / "link.csv").symlink_to("gone.csv")
    assert "is a link to gone.csv, which does not exist" in message(data / "link.csv")
    monkeypatch.chdir(data)
    assert f"{data / 'DESI_chandra_o'} does not exist" in message("DESI_chandra_o"), "the full path"
    with pytest.raises(InputError, match="looks truncated"):
        read_targets("DESI_chandra_o")


def test_the_check_of_the_path_imports_nothing_heavy():
    heavy = ("numpy", "pyarrow", "healpy", "yaml")
    code = f"import sys, skyharvest.targets.csv_path; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


cells = st.sampled_from(
    ["10", "-0.0", "-1e-300", "360", "361", " 5 ", "1_0", "nan", "10:30", "", "x", "\xe9", '"5', "1,2"]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(cells, cells, cells), max_size=6), name=st.sampled_from(["RA_DESI", "ra"]))
def test_positions_alone_are_those_of_the_table(make, rows, name):
    text = "\n".join([f"note,{name},DEC_DESI", *map(",".join, rows)]) + "\n"
    path = make(text.encode("latin-1"))
    try:
        table = read_targets(path).table
    except InputError as error:
        with pytest.raises(InputError) as other:
            read_positions(path, csv_rows.Names())
        assert str(other.value) == str(error)
    else:
        for name, values in zip(("row", "ra", "dec"), read_positions(path, csv_rows.Names()), strict=True):
            assert values.tobytes() == table.column(name).to_numpy().tobytes()


def test_positions_are_read_without_pyarrow():
    heavy = ("pyarrow", "pandas", "healpy", "astropy", "scipy", "h5py")
    code = f"import sys, skyharvest.targets.positions; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- the healpix column ---------------------------------------------------------------------------------------------


def with_healpix(make, values, ra, dec):
    rows = zip(ra.tolist(), dec.tolist(), values, strict=True)
    return make("\n".join(["RA_DESI,DEC_DESI,hpx", *(f"{a},{d},{value}" for a, d, value in rows)]))


def test_healpix_column_agrees(make, caplog):
    ra, dec = sky(3000)
    right = [str(pix) for pix in hp.ang2pix(16, ra, dec, nest=True, lonlat=True)]
    assert read_targets(with_healpix(make, right, ra, dec)).n_healpix_disagree is None
    assert read_targets(with_healpix(make, right, ra, dec), healpix="hpx").n_healpix_disagree == 0
    assert read_targets(with_healpix(make, [f"{r}.0" for r in right], ra, dec), healpix="hpx").n_healpix_disagree == 0
    assert caplog.text == ""
    odd = ["", "x", str(int(right[2]) + 1), *right[3:]]
    read = read_targets(with_healpix(make, odd, ra, dec), healpix="hpx")
    assert read.n_healpix_disagree == 3
    assert "3 of 3000 rows; RA and Dec decide" in caplog.text
    assert [str(pix) for pix in column(read.table, "pix16")] == right
    with pytest.raises(
        InputError, match=r"99.87% of the 3,000 rows agree\. No NSIDE .* best are NSIDE=16 NESTED \(99.87%\)"
    ):
        read_targets(with_healpix(make, ["", *odd[:3], *right[4:]], ra, dec), healpix="hpx")


@pytest.mark.parametrize(("nside", "ordering"), [(64, "NESTED"), (16, "RING"), (512, "RING"), (1, "NESTED")])
def test_healpix_column_of_another_scheme(make, nside, ordering):
    ra, dec = sky(1500, seed=2)
    values = hp.ang2pix(nside, ra, dec, nest=ordering == "NESTED", lonlat=True).tolist()
    with pytest.raises(
        InputError, match=rf"'hpx' should hold the NSIDE=16 NESTED .* It agrees with NSIDE={nside} {ordering} "
    ):
        read_targets(with_healpix(make, values, ra, dec), healpix="hpx")


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("", "an empty cell"),
        (" -- ", "an empty cell"),
        ("NULL", "an empty cell"),
        ("-1", "-1"),
        ("x", "no whole number"),
    ],
)
def test_healpix_cells_without_a_pixel_are_shown_as_they_are(make, cell, found):
    ra, dec = sky(1000)
    with pytest.raises(InputError, match=rf"first row that disagrees is row 0, with {found} instead of \d"):
        read_targets(with_healpix(make, [cell] * 1000, ra, dec), healpix="hpx")


@pytest.mark.parametrize(
    ("scale", "tilt", "said"), [(15, 1, True), (1, 1, False), (15, 0.3, False), (200, 1, False)], ids=str
)
def test_right_ascensions_in_hours_are_remarked_upon(make, tmp_path, caplog, scale, tilt, said):
    """Not of a sample in a field of its own: a strip of the sky, or less than its half."""
    ra, dec = sky(300)
    path = make("\n".join(["RA_DESI,DEC_DESI", *(f"{a / scale},{d * tilt}" for a, d in zip(ra, dec, strict=True))]))
    read = read_targets(path)
    assert read.rejected == [], "it may be so"
    assert ("multiply by 15" in caplog.text) == said
    assert ("column 'RA_DESI' looks to be in hours: no value is above 24" in summary(read, tmp_path)) == said
    caplog.clear()
    read_positions(path, csv_rows.Names())
    assert ("multiply by 15" in caplog.text) == said


def test_healpix_column_of_no_scheme(make):
    ra, dec = sky(1000)
    with pytest.raises(
        InputError, match=r"No NSIDE from 1 to 512 .* first row that disagrees is row 0, with 7 instead of"
    ):
        read_targets(with_healpix(make, [7] * 1000, ra, dec), healpix="hpx")


# --- what is written ------------------------------------------------------------------------------------------------


def test_files(make, tmp_path):
    ra, dec = sky(400)
    ra[100:300], dec[100:300] = 149.46, 1.79  # 200 in one pixel
    path = make("\n".join(["RA_DESI,DEC_DESI", *(f"{a},{d}" for a, d in zip(ra, dec, strict=True)), "x,0"]), "in.csv")
    read = read_targets(path)
    out = tmp_path / "made" / "here"
    write_targets(read, out)
    assert sorted(file.name for file in out.iterdir()) == [
        "pix64.txt",
        "pix64_counts.csv",
        "rejected.csv",
        "targets.parquet",
    ]
    table = pq.read_table(out / "targets.parquet")
    assert table.equals(read.table)
    assert {key.decode(): value.decode() for key, value in table.schema.metadata.items()} == {
        "csv": "in.csv",
        "csv_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "n_rows": "401",
        "n_rejected": "1",
        "ra_column": "RA_DESI",
        "dec_column": "DEC_DESI",
    }
    assert table.schema.field("RA_DESI").metadata[b"csv_column"] == b"RA_DESI"
    assert table.schema.field("row").type == table.schema.field("pix64_group").type == pa.int64()
    expected = pd.Series(hp.ang2pix(64, ra, dec, nest=True, lonlat=True)).value_counts()
    counts = pd.read_csv(out / "pix64_counts.csv")
    assert list(counts) == ["pix64", "count", "pix64_group"]
    assert dict(zip(counts["pix64"], counts["count"], strict=True)) == expected.to_dict()
    assert (counts["pix64_group"] == counts["pix64"] // 100).all()
    order = list(zip(-counts["count"], counts["pix64"], strict=True))
    assert order == sorted(order)
    assert (out / "pix64.txt").read_text() == "".join(f"{pix}\n" for pix in counts["pix64"])


def run(program, *arguments):
    return cli.run(program.main, program.build_parser(), [str(argument) for argument in arguments])


def test_prepare_targets(make, tmp_path, capsys):
    path = make("id,a,d,hpx\n1,149.46540425,1.79364675,1702\n,1,2,3\n3,x,2,3\n4,y,2,3\n")
    out = tmp_path / "out"
    arguments = ("--ra", "a", "--dec", "d", "--healpix", "hpx", "--targetid", "id")
    assert run(prepare_targets, path, "--out-dir", out, *arguments) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert shown[:5] == [
        ["rows", "read", "4"],
        ["accepted", "1"],
        ["rejected", "3"],
        ["a", "is", "not", "a", "number", "2"],
        ["id", "is", "empty", "1"],
    ]
    assert shown[-1][-1] == str(out / "rejected.csv")
    assert pq.read_table(out / "targets.parquet").column("pix64").to_pylist() == [27247]
    assert run(prepare_targets, path, "--out-dir", out, "--ra=a", "--dec", "d", "--text", "id", "hpx") == 0
    assert pq.read_table(out / "targets.parquet", columns=["id", "hpx"]).to_pydict() == {
        "id": ["1", ""],
        "hpx": ["1702", "3"],
    }
    assert run(prepare_targets, path, "--out-dir", tmp_path / "none") == cli.EXIT_USAGE
    assert "no column 'RA_DESI'" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("block", [1, 1000])
def test_add_pix64(make, tmp_path, capsys, caplog, monkeypatch, block):
    monkeypatch.setattr(csv_rows, "BLOCK_ROWS", block)
    path = make(
        b"name,RA_DESI,DEC_DESI\r\n"
        b'"a,""b""\n",149.46540425,+01.79364675\r\n'
        b"M\xfcnch, ,2\r\n"
        b"long,1,2,3\r\n"
        b"short\r\n"
        b"\r\n"
        b"last,-0.0,-90.00\r\n",
        "x.y.csv",
    )
    assert run(add_desi_pix64_to_csv, path) == 0
    out = tmp_path / "x.y.with_pix64.csv"
    assert out.read_bytes() == (
        b"name,RA_DESI,DEC_DESI,pix64,pix64_group\n"
        b'"a,""b""\n",149.46540425,+01.79364675,27247,272\n'
        b"M\xfcnch, ,2,,\n"
        b"long,1,2,,,3\n"
        b"short,,,,\n"
        b"last,-0.0,-90.00,%d,%d\n" % (pix := hp.ang2pix(64, 0, -90, nest=True, lonlat=True), pix // 100)
    )
    assert f"{out}: 5 rows, 2 with a pixel" in capsys.readouterr().out
    assert "row 1 has no pixel: name is not UTF-8: found b'M\\xfcnch'; RA_DESI is empty" in caplog.text
    assert "1 rows without a pixel: too many fields" in caplog.text

    assert run(add_desi_pix64_to_csv, out) == cli.EXIT_USAGE
    assert "has a column 'pix64' already" in capsys.readouterr().err
    assert run(add_desi_pix64_to_csv, path, "--out", path) == cli.EXIT_USAGE
    assert "is the CSV itself" in capsys.readouterr().err
    assert b"Dec" not in path.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.y.csv", "x.y.with_pix64.csv"]


def test_add_pix64_to_a_compressed_csv_with_a_column_to_check(make, tmp_path, monkeypatch):
    monkeypatch.setattr(csv_rows, "BLOCK_ROWS", 100)
    ra, dec = sky(1050)
    right = hp.ang2pix(16, ra, dec, nest=True, lonlat=True)
    plain = with_healpix(make, right.tolist(), ra, dec)
    packed = make(gzip.compress(plain.read_bytes()), "z.csv.gz")
    assert run(add_desi_pix64_to_csv, packed, "--healpix", "hpx") == 0
    added = pd.read_csv(tmp_path / "z.with_pix64.csv")
    np.testing.assert_array_equal(added["pix64"], hp.ang2pix(64, ra, dec, nest=True, lonlat=True))
    np.testing.assert_array_equal(added["RA_DESI"], ra)
    assert run(add_desi_pix64_to_csv, plain, "--out", tmp_path / "p.csv.gz") == 0
    assert gzip.decompress((tmp_path / "p.csv.gz").read_bytes()) == (tmp_path / "z.with_pix64.csv").read_bytes()
    wrong = with_healpix(make, (right + 1).tolist(), ra, dec)
    assert run(add_desi_pix64_to_csv, wrong, "--healpix", "hpx") == cli.EXIT_USAGE
    assert not (tmp_path / "x.with_pix64.csv").exists()
