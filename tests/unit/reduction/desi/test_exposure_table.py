"""Exposure tables and camwords: desispec reads what is written, and means the same."""

import pytest

from skyharvest.core.errors import InputError
from skyharvest.reduction.desi.cameras import create_camword, decode_camword, parse_badamps
from skyharvest.reduction.desi.exposure_table import (
    COLUMNS,
    Exposure,
    merged,
    path_of,
    read_table,
    tables_in,
    write_table,
)

ROWS = [
    {"EXPID": 1, "OBSTYPE": "arc", "CAMWORD": "a0", "EXPTIME": 5.0, "NIGHT": 20250115},
    {"EXPID": 5, "OBSTYPE": "flat", "CAMWORD": "a0", "EXPFLAG": ["good", "test"], "NIGHT": 20250115},
    {
        "EXPID": 6,
        "OBSTYPE": "science",
        "TILEID": 1,
        "CAMWORD": "a0b3",
        "BADCAMWORD": "r0",
        "BADAMPS": "b0D,z0A,z0C",
        "FA_SURV": "main",
        "FAPRGRM": "dark",
        "LASTSTEP": "skysub",
        "COMMENTS": ["clouds, later", "seeing"],
        "EXPTIME": 1000.0,
        "NIGHT": 20250115,
    },
]


@pytest.fixture
def table(tmp_path):
    path = path_of(tmp_path, 20250115)
    write_table(path, ROWS)
    return path


def test_what_is_written_is_read(table, tmp_path):
    assert table == tmp_path / "exposure_tables/202501/exposure_table_20250115.csv"
    arc, flat, science = read_table(table)
    assert (arc.expid, arc.obstype, arc.cameras, arc.reason) == (1, "arc", {"b0", "r0", "z0"}, "")
    assert flat.reason == "test"
    assert science == Exposure(
        night=20250115,
        expid=6,
        obstype="science",
        tileid=1,
        survey="main",
        program="dark",
        laststep="skysub",
        exptime=1000.0,
        cameras=frozenset({"b0", "z0", "b3"}),
        left_out=frozenset({"r0"}),
        badamps=(("b0", "D"), ("z0", "AC")),
        reason="",
    )
    assert (science.amps_of("z0"), science.amps_of("b3"), science.spectrographs) == ("AC", "", ["0", "3"])


@pytest.mark.peers
def test_desispec_reads_it_and_its_tables_are_read(table, tmp_path):
    from desispec.workflow import exptable, tableio

    assert list(COLUMNS) == exptable.get_exposure_table_column_names()
    read = tableio.load_table(str(table), tabletype="exptable")
    assert read["EXPID"].tolist() == [1, 5, 6]
    assert read["BADAMPS"].tolist() == ["", "", "b0D,z0A,z0C"]
    assert read["LASTSTEP"].tolist() == ["all", "all", "skysub"]
    assert [flag for flag in read["EXPFLAG"][1] if flag] == ["good", "test"]
    theirs = tmp_path / "exposure_table_20250115.csv"
    tableio.write_table(read, tablename=str(theirs), tabletype="exptable")
    assert read_table(theirs) == read_table(table)


@pytest.mark.peers
@pytest.mark.parametrize("word", ["a0123456789", "", "b0r3", "a04b1r25z7", "b1r1z1a0"])
def test_camwords_are_desispecs(word):
    from desispec.io.util import create_camword as theirs
    from desispec.io.util import decode_camword as decoded

    assert decode_camword(word) == set(decoded(word))
    assert create_camword(decode_camword(word)) == theirs(sorted(decode_camword(word)))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("CAMWORD", "x0", "column CAMWORD: 'x0' is no camword: expected a, b, r or z and spectrographs"),
        ("BADCAMWORD", "b", "column BADCAMWORD: 'b' is no camword"),
        ("BADAMPS", "b0E", "column BADAMPS: 'b0E' is no amplifier: expected a camera and A, B, C or D, such as b7D"),
        ("LASTSTEP", "sky", "column LASTSTEP: 'sky', expected one of ignore, skysub, stdstarfit, fluxcal, all"),
        ("EXPFLAG", ["good", "odd"], "column EXPFLAG: odd, expected some of aborted, bad"),
        ("EXPID", "six", "column EXPID: 'six', expected a whole number"),
        ("EXPTIME", "long", "column EXPTIME: 'long', expected seconds"),
        ("NIGHT", 20250116, "column NIGHT: '20250116', expected 20250115"),
        ("OBSTYPE", "scince", "column OBSTYPE: 'scince': is science meant"),
        ("FAPRGRM", "../dark", r"column FAPRGRM: '\.\./dark', expected letters and digits"),
    ],
)
def test_a_wrong_cell_is_named(tmp_path, column, value, message):
    path = path_of(tmp_path, 20250115)
    write_table(path, [ROWS[0], ROWS[2] | {column: value}])
    with pytest.raises(InputError, match=rf"exposure_table_20250115\.csv, line 3, {message}"):
        read_table(path)


def test_copies_beside_a_table_are_not_taken_for_it(table):
    for name in (f"bak/{table.name}", f"{table.stem}_old.csv", f"{table.stem} (copy).csv"):
        copy = (table.parent.parent / "bak" / table.name) if name.startswith("bak") else table.with_name(name)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(table.read_text())
    assert tables_in(table.parent.parent) == {20250115: table}


def test_what_excel_has_saved_is_read_and_other_encodings_are_named(table):
    there = read_table(table)
    table.write_text(table.read_text(), encoding="utf-8-sig")
    assert read_table(table) == there
    table.write_bytes("COMMENTS,Größe\n".encode("latin-1"))
    with pytest.raises(InputError, match=rf"{table.name} is no UTF-8 text"):
        read_table(table)


def test_calibrations_that_are_none_of_the_night_are_left_out(tmp_path):
    path = path_of(tmp_path, 20250115)
    flat = ROWS[0] | {"OBSTYPE": "flat"}
    more = (
        {"PROGRAM": "led03 flat for cte check"},
        {"EXPFLAG": ["extra_cal"]},
        {"PROGRAM": "calib desi-calib-00 leds only"},
    )
    write_table(path, [flat | {"EXPID": expid} | cells for expid, cells in enumerate(more, 1)])
    assert [bool(one.reason) for one in read_table(path)] == [True, True, False]


def test_a_table_that_is_torn_is_refused(table):
    text = table.read_text()
    table.write_text(text + "7,science\n")
    with pytest.raises(InputError, match=rf"line 5: expected {len(COLUMNS)} cells"):
        read_table(table)
    table.write_text(text + text.splitlines()[1] + "\n")
    with pytest.raises(InputError, match="line 5: EXPID 1 is there twice"):
        read_table(table)
    table.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="has no column EXPID, OBSTYPE, CAMWORD; it has a, b"):
        read_table(table)


def test_the_survey_is_that_of_the_tile_or_of_fiberassign(table):
    write_table(table, [ROWS[2] | {"SURVEY": "sv1"}, ROWS[2] | {"EXPID": 7}])
    assert [exposure.survey for exposure in read_table(table)] == ["sv1", "main"]


def test_new_exposures_join_and_what_was_edited_stays(table):
    edited = table.read_text().replace(",a0,,", ",a0,z0,", 1)
    table.write_text(edited)
    rows = merged(table, [ROWS[0], ROWS[1], {"EXPID": 3, "OBSTYPE": "arc", "CAMWORD": "a0", "NIGHT": 20250115}])
    write_table(table, rows)
    exposures = read_table(table)
    assert [exposure.expid for exposure in exposures] == [1, 3, 5, 6]
    assert exposures[0].left_out == {"z0"}
    once = table.read_text()
    write_table(table, merged(table, []))
    assert table.read_text() == once


def test_amplifiers_are_joined_by_camera():
    assert parse_badamps("b7D;z8A, z8c") == {"b7": "D", "z8": "AC"}
    assert parse_badamps("") == {}
