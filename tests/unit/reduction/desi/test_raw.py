"""Rows of raw exposures: what desispec says of the same files; and files that are missing, cut, or none."""

import re

import fitsio
import numpy as np
import pytest

from raw_exposures import ASSIGNED, CAMERAS, NIGHT, cut, write_fibermap, write_raw
from skyharvest.formats.byte_source import LocalFile
from skyharvest.formats.fits_file import FitsFile
from skyharvest.reduction.desi.exposure_table import COLUMNS, FLAGS, NOT_RUN, file_faults, read_table, write_table
from skyharvest.reduction.desi.raw import read_exposure

DARK = ASSIGNED | {"FA_SURV": "main", "GOALTYPE": "DARK", "GOALTIME": 1000.0, "EBVFAC": 1.1}
SAME_AS_DESISPEC = {
    "arc": ("arc", {}),
    "flat": ("flat", {"EXPTIME": 120}),
    "dark": ("dark", {"EXPTIME": 300.0}),
    "zero of no length": ("zero", {"EXPTIME": 0.0, "TILEID": None, "TARGTRA": None, "SEQTOT": None}),
    "arc that lacks cards": ("arc", {"SEQNUM": None, "AIRMASS": None, "PURPOSE": None, "TARGTDEC": None}),
    "arc without a night": ("arc", {"NIGHT": None, "DATE_OBS": "2025-01-16T05:00:00"}),
    "science": ("science", DARK),
    "science that lacks cards": ("science", DARK | {"TILEID": None, "SEQNUM": None, "MJD_OBS": None}),
    "science of nothing known": ("science", {}),
    "good": ("science", DARK | {"ETCTEFF": 900.0}),
    "effective time that is no number": ("science", DARK | {"ETCTEFF": "none"}),
    "too little light": ("science", DARK | {"ETCTEFF": 99.0}),
    "too slow": ("science", DARK | {"ETCTEFF": 130.0, "EBVFAC": 1.0}),
    "slow and bright": ("science", DARK | {"ETCTEFF": 130.0, "EBVFAC": 1.0, "GOALTYPE": "bright"}),
    "backup": ("science", DARK | {"ETCTEFF": 0.4, "GOALTYPE": "backup"}),
    "another survey": ("science", DARK | {"ETCTEFF": 10.0, "SURVEY": "sv3"}),
    "short": ("science", DARK | {"EXPTIME": 59.99}),
    "no length": ("science", DARK | {"EXPTIME": 0.0}),
    "system test": ("science", DARK | {"PROGRAM": "System test of 2"}),
    "dither": ("science", DARK | {"PROGRAM": "a dither"}),
    "undither": ("science", DARK | {"PROGRAM": "undithered"}),
}


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    from desispec.workflow import exptable

    monkeypatch.setenv("DESI_SPECTRO_DATA", str(tmp_path))
    monkeypatch.setenv("FIBER_ASSIGN_DIR", str(tmp_path / "tiles"))
    obstypes = ["arc", "flat", "science", "dark", "zero"]
    return lambda night, expid: exptable.summarize_exposure(str(tmp_path), night, expid, obstypes)


def words(row):
    """Return a row as a table has it, but for the order of what was found."""
    return {name: sorted(map(str, v)) if isinstance(v, list | np.ndarray) else v for name, v in row.items()}


@pytest.mark.peers
@pytest.mark.parametrize("what", SAME_AS_DESISPEC)
def test_a_row_is_desispecs(tmp_path, theirs, what):
    obstype, changes = SAME_AS_DESISPEC[what]
    directory = write_raw(tmp_path, 7, obstype, ("b0", "r0", "z0", "b3", "z3"), **changes)
    write_fibermap(directory)
    found = read_exposure(directory, NIGHT, 7)
    assert list(found.row) == list(COLUMNS)
    assert words(found.row) == words(theirs(NIGHT, 7))
    assert set(found.row["EXPFLAG"]) <= FLAGS


@pytest.mark.peers
@pytest.mark.parametrize(("night", "card"), [(20210510, "ACTTEFF"), (20210613, "ETCTEFF"), (20210614, "ACTTEFF")])
def test_old_nights_are_desispecs(tmp_path, theirs, night, card):
    directory = write_raw(tmp_path, 7, "science", night=night, **DARK | {card: 200.0, "AIRMASS": 1.4})
    write_fibermap(directory)
    assert words(read_exposure(directory, night, 7).row) == words(theirs(night, 7))


@pytest.mark.peers
@pytest.mark.parametrize("extra", [False, True])
def test_the_tile_counts_most(tmp_path, theirs, extra):
    directory = write_raw(tmp_path, 7, "science", SURVEY="sv1", FAPRGRM="bright", FA_SURV="sv1")
    write_fibermap(directory, SURVEY="cmx")
    with fitsio.FITS(str(directory / "fiberassign-000001.fits.gz"), "rw") as file:
        file.write(None, header={"SURVEY": "main", "FAPRGRM": "dark", "GOALTIME": 1000.0, "EBVFAC": 1.3})
        if extra:
            file.write(np.zeros(1, [("A", "i4")]), extname="EXTRA")
    row = read_exposure(directory, NIGHT, 7).row
    assert words(row) == words(theirs(NIGHT, 7))
    assert (row["SURVEY"], row["FA_SURV"], row["LASTSTEP"]) == ("main", "sv1", "skysub" if extra else "all")


@pytest.mark.peers
def test_what_the_raw_file_lacks_is_in_the_fibermap(tmp_path):
    from desispec.io.meta import faflavor2program

    directory = write_raw(tmp_path, 7, "science")
    write_fibermap(directory, SURVEY="sv1", FAPRGRM="ELG", FAFLAVOR="sv1elg", GOALTIME=900)
    row = read_exposure(directory, NIGHT, 7).row
    assert (row["SURVEY"], row["GOALTIME"], row["FAPRGRM"]) == ("sv1", 900.0, faflavor2program("sv1elg"))
    assert row["HEADERERR"] == ["FAPRGRM:elg->dark"]


def test_numbers_are_those_of_the_directory(tmp_path):
    directory = write_raw(tmp_path, 7, "arc", EXPID=8, NIGHT=20250116, EXPTIME="long", MJD_OBS=None)
    row = read_exposure(directory, NIGHT, 7).row
    assert (row["EXPID"], row["NIGHT"], row["LASTSTEP"]) == (7, NIGHT, "ignore")
    assert row["HEADERERR"] == [
        "EXPTIME:long->0.0",
        "MJD-OBS:->50000.0",
        "EXPID:8->7",
        "NIGHT:20250116->20250115",
    ]
    directory = write_raw(tmp_path, 8, "science", NIGHT=20250116, EXPTIME=1.0, **ASSIGNED)
    write_fibermap(directory)
    assert read_exposure(directory, NIGHT, 8).row["LASTSTEP"] == "ignore"
    for expid, date, laststep in (9, "2025-01-16T05:00:00", "all"), (10, "2025-01-16T20:00:00", "ignore"):
        row = read_exposure(write_raw(tmp_path, expid, "arc", NIGHT=None, DATE_OBS=date), NIGHT, expid).row
        assert (row["LASTSTEP"], row["NIGHT"], row["HEADERERR"]) == (laststep, NIGHT, ["NIGHT:->20250115"])


def test_any_obstype_has_a_row(tmp_path):
    row = read_exposure(write_raw(tmp_path, 7, "other", EXPTIME=-1.0), NIGHT, 7).row
    assert (row["OBSTYPE"], row["LASTSTEP"], row["EXPTIME"], row["CAMWORD"]) == ("other", "all", -1.0, "a0")
    row = read_exposure(write_raw(tmp_path, 8, "arc", OBSTYPE=None), NIGHT, 8).row
    assert (row["OBSTYPE"], row["EXPFLAG"]) == ("unknown", ["metadata_missing"])


def break_raw(how):
    def break_it(directory):
        path = directory / "desi-00000007.fits.fz"
        how(path)

    return break_it


FAULTS = {
    "no raw file": (break_raw(lambda path: path.unlink()), "desi-00000007.fits.fz is missing"),
    "nothing in it": (break_raw(lambda path: cut(path, 0)), "of 0 bytes: the file is empty, expected FITS"),
    "no FITS": (break_raw(lambda path: path.write_text("<html>busy</html>")), "of 17 bytes: found an HTML page"),
    "cut in the first header": (break_raw(lambda path: cut(path, 2000)), r"of 2000 bytes: \[PRIMARY\]: its header"),
    "cut in the second": (break_raw(lambda path: cut(path, 3500)), "the file is truncated: no header before that has"),
    "no fibermap": (
        lambda directory: (directory / "fibermap-00000007.fits").unlink(),
        "fibermap-00000007.fits is missing",
    ),
    "fibermap cut": (
        lambda directory: cut(directory / "fibermap-00000007.fits", 5760),
        r"of 5760 bytes: \[FIBERMAP\]: its header claims 3 rows",
    ),
    "declination": (
        lambda directory: write_fibermap(directory, np.array([[0, 0.0, 91.0]])),
        r"bytes: \[FIBERMAP\]: TARGET_DEC is 91.0, expected -90 to 90 degrees",
    ),
}


@pytest.mark.parametrize("what", FAULTS)
def test_an_exposure_at_fault_is_left_out_with_its_reason(tmp_path, what):
    break_it, message = FAULTS[what]
    directory = write_raw(tmp_path, 7, "science", **DARK)
    write_fibermap(directory)
    break_it(directory)
    found = read_exposure(directory, NIGHT, 7)
    fibermap = "fibermap" in what or what == "declination"
    assert found.pixels is None
    assert found.row["OBSTYPE"] == ("science" if fibermap else "unknown")
    table = tmp_path / f"exposure_table_{NIGHT}.csv"
    write_table(table, [found.row])
    (exposure,) = read_table(table)
    assert exposure.expid == 7
    assert exposure.reason.split(",")[0] in NOT_RUN
    (fault,) = file_faults(exposure.headererr)
    (written,) = [entry for entry in found.row["HEADERERR"] if entry.startswith("FILE:")]
    assert str(fault) == written.replace(",", ";")
    path = directory / fault.name
    assert fault.size == (path.stat().st_size if path.exists() else None)
    assert re.search(message, written)
    assert fault.found in exposure.reason


@pytest.mark.peers
def test_a_fault_is_an_entry_as_desispec_reads_them(tmp_path):
    from desispec.workflow.exptable import deconstruct_keyval_reporting

    directory = write_raw(tmp_path, 7, "arc")
    cut(directory / "desi-00000007.fits.fz", 100)
    (entry,) = read_exposure(directory, NIGHT, 7).row["HEADERERR"]
    key, found, given = deconstruct_keyval_reporting(entry)
    assert (key, given) == ("FILE", "EXPFLAG corrupted")
    assert found.startswith("desi-00000007.fits.fz of 100 bytes")


def test_wherever_a_file_is_cut_its_cameras_are_not_lost(tmp_path):
    directory = write_raw(tmp_path, 7, "arc")
    path = directory / "desi-00000007.fits.fz"
    whole = path.read_bytes()
    with LocalFile(path) as source:
        hdus = {hdu.name: hdu for hdu in FitsFile(source).hdus}
    others = frozenset({"b0", "r0", "z0", "b1"})
    assert read_exposure(directory, NIGHT, 7).complete(others).row["CAMWORD"] == "a0"
    z0 = hdus["Z0"]
    cuts = [
        (z0.data_stop - 1, "a0"),  # in the last image's values
        (z0.data_start + 10, "a0"),  # in its table's rows
        (z0.data_start, "a0"),
        (z0.start + 800, "b0r0"),  # in its header
        (hdus["R0"].data_stop - 1, "b0r0"),
        (hdus["B0"].data_start + 5, "b0"),
    ]
    for size, seen in cuts:
        path.write_bytes(whole[:size])
        found = read_exposure(directory, NIGHT, 7)
        assert (found.row["OBSTYPE"], found.row["CAMWORD"], found.row["HEADERERR"]) == ("arc", seen, [])
        assert found.complete(frozenset({"b1"})).cameras == found.cameras | {"b1"}
        row = found.complete(others).row
        assert (row["CAMWORD"], row["EXPFLAG"], row["LASTSTEP"]) == ("a0b1", [], "all")
        (fault,) = file_faults(row["HEADERERR"][0])
        assert (fault.name, fault.size, fault.camword) == (path.name, size, "a0b1")
        assert "cut short" in fault.problem or "truncated" in fault.problem
    path.write_bytes(whole[: z0.data_stop])  # only zeros are left out
    assert read_exposure(directory, NIGHT, 7).cut is None
    path.write_bytes(whole + b"more" * 720)
    found = read_exposure(directory, NIGHT, 7)
    assert (found.cameras, found.cut.problem[:13]) == (set(CAMERAS), "found b'morem")
