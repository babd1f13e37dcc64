"""The table of HETDEX cubes: what is taken from it, what is left out, and tables that are none."""

import gzip
import logging

import fetch_index as fetch_index_program
import numpy as np
import pytest
from astropy.io import fits
from numpy.lib import recfunctions

from range_server import serve
from skyharvest.archive.archive import Archive
from skyharvest.archive.http.patience import Patience
from skyharvest.core import cli
from skyharvest.core.errors import ArchiveUnavailable, MalformedFile
from skyharvest.surveys.hetdex.index import CONTENT, CUBE_DTYPE, cached_index, fetch_index, read_index
from skyharvest.surveys.hetdex.release import load_release
from small_index import PDR1, listed, write_index

RELEASE = load_release("pdr1")
SHOTS = [20190405020, 20170103002, 20190405020, 20240731015, 20190405020]
SLOTS = ["104", "034", "013", "105", "034"]
ROWS = listed(SHOTS, SLOTS, [0.0, 359.99998, 195.25, 22.5, 270.1], [51.3, -0.25, 90, -90, 66.0])


def cubes_of(index):
    return list(zip(index["shotid"].tolist(), index["ifuslot"].tolist(), strict=True))


def test_every_cube_is_there_in_order_with_what_is_handed_on(tmp_path, caplog):
    index = read_index(write_index(tmp_path / "ifu-index.fits", ROWS))
    assert index.dtype == CUBE_DTYPE
    assert cubes_of(index) == sorted(zip(SHOTS, (slot.encode() for slot in SLOTS), strict=True))
    with fits.open(tmp_path / "ifu-index.fits") as hdus:
        given = {(int(row["shotid"]), row["ifuslot"].encode()): row for row in hdus[1].data}
    for row in index:
        assert row[CONTENT] == b""  # public releases do not have it
        for name in set(CUBE_DTYPE.names) - {CONTENT}:
            expected = given[int(row["shotid"]), bytes(row["ifuslot"])][name]
            assert row[name] == (expected.encode() if isinstance(expected, str) else expected), name
    assert not caplog.messages


@pytest.mark.parametrize("kind", ["i2", "i8", "u4", "S2", "S8"])
def test_slots_that_have_lost_their_zeros_get_them_back(tmp_path, kind):
    slots = np.array([7, 34, 34], kind) if "S" not in kind else np.array([b"7", b"34", b"34"], kind)
    rows = recfunctions.drop_fields(ROWS[:3], "ifuslot")
    rows = recfunctions.append_fields(rows, "ifuslot", slots, usemask=False)
    assert cubes_of(read_index(write_index(tmp_path / "i.fits", rows))) == [
        (20170103002, b"034"),
        (20190405020, b"007"),
        (20190405020, b"034"),
    ]


def test_columns_that_are_not_needed_may_be_missing_or_something_else(tmp_path, caplog):
    rows = recfunctions.drop_fields(ROWS, ["fluxlimit_4600", "field", "flag_meteor"])
    rows = recfunctions.append_fields(rows, "field", np.ones(len(rows)), usemask=False)
    with caplog.at_level(logging.WARNING):
        index = read_index(write_index(tmp_path / "i.fits", rows))
    assert np.isnan(index["fluxlimit_4600"]).all()
    assert np.isnan(index["flag_meteor"]).all()
    assert (index["field"] == b"").all()
    assert sorted(index["fwhm_virus"]) == sorted(ROWS["fwhm_virus"])
    assert [message.partition(": ")[2] for message in caplog.messages] == [
        "no usable column flag_meteor, fluxlimit_4600, field: left empty in the results"
    ]


def test_columns_may_be_in_upper_case(tmp_path):
    path = write_index(tmp_path / "i.fits", ROWS)
    upper = recfunctions.rename_fields(ROWS, {name: name.upper() for name in ROWS.dtype.names})
    np.testing.assert_array_equal(read_index(write_index(tmp_path / "I.fits", upper)), read_index(path))


BAD_ROWS = {
    "shotid": [-999, 0, 2019040502, 201904050200, -(2**63)],
    "ifuslot": ["", "x34", "3.4", "-34", "../"],
    "ra_cen": [np.nan, np.inf, -999, -0.001, 360.1],
    "dec_cen": [np.nan, -np.inf, -999, 90.1, -90.1],
}


@pytest.mark.parametrize("column", BAD_ROWS)
def test_rows_that_name_no_cube_or_place_are_left_out_and_counted(tmp_path, caplog, column):
    bad = listed([20190405020] * 5, ["001"] * 5, [1.0] * 5, [2.0] * 5)
    bad[column] = BAD_ROWS[column]
    path = write_index(tmp_path / "i.fits", np.concatenate([ROWS[:2], bad, ROWS[2:]]))
    with caplog.at_level(logging.WARNING):
        index = read_index(path)
    assert cubes_of(index) == sorted(zip(SHOTS, (slot.encode() for slot in SLOTS), strict=True))
    (message,) = caplog.messages
    assert f"{path}[]: 5 of 10 rows are left out, such as row 2: shotid {bad['shotid'][0]}, ifuslot" in message
    with pytest.raises(MalformedFile, match="none of its 5 rows can be used, such as row 0"):
        read_index(write_index(tmp_path / "all.fits", bad))


def test_a_cube_that_is_listed_twice_is_one(tmp_path, caplog):
    again = ROWS[[4, 1, 4]].copy()
    again["ra_cen"] = 5
    with caplog.at_level(logging.WARNING):
        index = read_index(write_index(tmp_path / "i.fits", np.concatenate([ROWS, again])))
    assert cubes_of(index) == sorted(zip(SHOTS, (slot.encode() for slot in SLOTS), strict=True))
    assert 5 not in index["ra_cen"]
    assert len(caplog.messages) == 1
    assert "3 rows are left out, as they list a cube once more, such as 20170103002_034" in caplog.messages[0]


def test_an_empty_table_is_a_table(tmp_path):
    index = read_index(write_index(tmp_path / "i.fits", ROWS[:0]))
    assert (len(index), index.dtype) == (0, CUBE_DTYPE)


# --- Tables that are none --------------------------------------------------------------------------------------------

HTML = b"<!DOCTYPE html><html><body>503 Service Unavailable</body></html>"


def without(column):
    return lambda path: write_index(path, recfunctions.drop_fields(ROWS, column))


def with_type(column, kind):
    values = np.zeros(len(ROWS), kind)
    dtype = [(name, kind if name == column else PDR1[name]) for name in PDR1.names]

    def spoil(path):
        rows = np.empty(len(ROWS), dtype)
        for name in PDR1.names:
            rows[name] = values if name == column else ROWS[name]
        write_index(path, rows)

    return spoil


BAD = {
    "HTML": (lambda path: path.write_bytes(HTML), "found an HTML page"),
    "empty": (lambda path: path.write_bytes(b""), "the file is empty"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-2880]), "it is truncated"),
    "gzip": (lambda path: path.write_bytes(gzip.compress(path.read_bytes())), "gzip-compressed"),
    "an image": (
        lambda path: fits.PrimaryHDU(np.zeros((3, 3))).writeto(path, overwrite=True),
        "no binary table, expected columns shotid, ifuslot, ra_cen, dec_cen, flag",
    ),
    **{
        f"no {column}": (without(column), f"column {column} is missing; found ")
        for column in ("shotid", "ifuslot", "ra_cen", "dec_cen", "flag")
    },
    "shotid text": (with_type("shotid", "S11"), "column shotid holds .*, expected a whole number"),
    "ifuslot float": (with_type("ifuslot", "f4"), "column ifuslot holds float32 in a row, expected a whole number"),
    "position text": (with_type("ra_cen", "S8"), "column ra_cen holds .*, expected a floating-point number"),
    "many flags": (with_type("flag", "3f4"), r"column flag holds float32\(3,\) in a row"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_table_that_is_none_is_named_and_fetched_again(tmp_path, caplog, case):
    spoil, message = BAD[case]
    there = write_index(tmp_path / "archive" / RELEASE.index(), ROWS)
    cache = tmp_path / "cached.fits"
    cache.write_bytes(there.read_bytes())
    spoil(cache)
    with pytest.raises(MalformedFile, match=message) as raised:
        read_index(cache)
    assert str(cache) in str(raised.value)
    with caplog.at_level(logging.WARNING):
        index = cached_index(Archive(str(tmp_path / "archive")), RELEASE, cache)
    assert len(index) == len(ROWS)
    assert cache.read_bytes() == there.read_bytes()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith("fetching it again")


def test_a_good_cached_table_is_not_fetched(tmp_path):
    cache = write_index(tmp_path / "i.fits", ROWS)
    assert len(cached_index(Archive(str(tmp_path / "nowhere")), RELEASE, cache)) == len(ROWS)


def test_what_an_archive_sends_instead_of_the_table_is_not_kept(tmp_path):
    write_index(tmp_path / "archive" / RELEASE.index(), ROWS).write_bytes(HTML)
    cache = tmp_path / "kept" / "ifu-index.fits"
    with serve(tmp_path / "archive") as server:
        url = f"{server.url}/{RELEASE.index()}"
        with Archive(server.url) as archive, pytest.raises(MalformedFile, match=f"{url}: .*an HTML page"):
            fetch_index(archive, RELEASE, cache)
        server.misbehave = lambda handler, _: handler.answer(200, HTML, {"Content-Type": "text/html"}) is None
        patience = Patience(tries=2, base_s=0.01, cap_s=0.01)
        with Archive(server.url, patience=patience) as archive, pytest.raises(ArchiveUnavailable, match="HTML page"):
            fetch_index(archive, RELEASE, cache)
    assert list(cache.parent.iterdir()) == []


# --- The program -----------------------------------------------------------------------------------------------------


def test_the_program_fetches_and_checks(tmp_path, capsys):
    there = write_index(tmp_path / "pdr1" / "ifu-index.fits", ROWS)
    out = tmp_path / "cache" / "ifu-index.fits"
    with serve(tmp_path / "pdr1") as server:
        command = ["hetdex", "--release", "pdr1", "--archive", server.url, "--out", str(out)]
        assert cli.run(fetch_index_program.main, fetch_index_program.build_parser(), command) == 0
    assert out.read_bytes() == there.read_bytes()
    without("flag")(there)
    command[4] = str(tmp_path / "pdr1")
    assert cli.run(fetch_index_program.main, fetch_index_program.build_parser(), command) == 1
    assert "column flag is missing; found shotid, ifuslot" in capsys.readouterr().err
    assert len(read_index(out)) == len(ROWS)
    command[2] = "dr1"
    assert cli.run(fetch_index_program.main, fetch_index_program.build_parser(), command) == 2
    assert "hetdex.release wants one of HETDEX: pdr1, demohetdex" in capsys.readouterr().err
