"""What pages of detections hold: that it is what the products of a shot hold."""

import base64
import sqlite3
from contextlib import closing

import h5py
import numpy as np
import pytest
import write_report_pages

from browser_pages import Page, contents, decode
from skyharvest.browser.detections import Inputs, write_shot_page
from skyharvest.browser.shots import write_shots_page
from skyharvest.core import cli
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.surveys.hetdex.cube import air_to_vacuum
from small_reports import FAILED, GRID, LEFT_OUT, LOST, SHOT, png, write_shot


@pytest.fixture(scope="module")
def shot(tmp_path_factory):
    return write_shot(tmp_path_factory.mktemp("hetdex"))


def inputs(shot):
    files = [*(directory / "detections.h5" for directory in shot.directories[::-1]), shot.continuum]
    return Inputs(SHOT, files, shot.layout.reports(SHOT))


@pytest.fixture(scope="module")
def path(shot, tmp_path_factory):
    out = tmp_path_factory.mktemp("pages") / f"{SHOT}.html"
    assert write_shot_page(inputs(shot), out) == len(shot.ids)
    return out


def of_scripts(path, kind, key):
    return [one for content in contents(path, kind)[1] for one in content[key]]


def test_the_table_has_all_detections_by_detectid(shot, path):
    page = Page(path).data
    table, rows = page["table"], shot.rows
    assert table["detectid"] == [str(detectid) for detectid in shot.ids] == sorted(table["detectid"])
    kinds = ["continuum" if detectid % 100_000 % 900 >= 600 else "line" for detectid in shot.ids]
    assert table["kind"] == kinds
    assert 0 < kinds.index("continuum") < len(kinds) - kinds[::-1].index("line")  # they are among one another
    for name in ("wave", "flux", "sn", "chi2", "linewidth", "ra"):
        found = np.array([np.nan if value is None else value for value in table[name]])
        assert np.array_equal(found.astype(np.float32), rows[name], equal_nan=True), name
    lines = np.array(kinds) == "line"
    vacuum = [value for value in table["wave_vacuum"] if value is not None]
    np.testing.assert_allclose(vacuum, air_to_vacuum(rows["wave"][lines]), atol=1e-3)
    there = [k not in (LEFT_OUT, FAILED, LOST) for k in range(len(rows))]
    assert table["report"] == [int(one) for one in there]
    assert table["reason"][LEFT_OUT].startswith("S/N 4.1")
    assert table["reason"][FAILED] == "it <b>cannot</b> be drawn"
    assert "<b>" not in path.read_text()


def test_spectra_are_those_of_the_files(shot, path):
    sources = of_scripts(path, "spectra", "sources")
    assert len(sources) == len(shot.ids)
    names = [name for name, _ in Page(path).data["main"]["columns"]]
    for source, row, spectrum in zip(sources, shot.rows, shot.spectra, strict=True):
        flux, ivar = decode(source["data"], "<f4").reshape(2, -1)
        assert np.array_equal(flux, spectrum["spec1d"] / np.float32(2), equal_nan=True)
        known = np.isfinite(spectrum["spec1d"]) & (spectrum["spec1d_err"] > 0)
        assert (ivar[~known] == 0).all()
        np.testing.assert_allclose(ivar[known], 4 / spectrum["spec1d_err"][known] ** 2, rtol=1e-6)
        shown = dict(zip(names, source["columns"], strict=True))
        assert shown["detectid"] == str(row["detectid"])
        assert shown["multiframe"] == row["multiframe"].decode()
        assert shown["wave"] == ("" if np.isnan(row["wave"]) else str(row["wave"]))
    assert np.allclose(decode(Page(path).data["grids"]["combined"], "<f8"), air_to_vacuum(GRID))


def test_reports_are_those_of_the_database(shot, path):
    reports = of_scripts(path, "reports", "reports")
    for k, report in enumerate(reports):
        expected = None if k in (LEFT_OUT, FAILED, LOST) else png(k)
        assert (report and base64.b64decode(report)) == expected


def test_the_first_page_counts_reports(shot, tmp_path):
    assert write_shots_page({SHOT: shot.layout.reports(SHOT)}, tmp_path / "index.html") == 2
    page = Page(tmp_path / "index.html")
    table = {name: values[0] for name, values in page.data["table"].items()}
    n = len(shot.ids)
    assert table == {
        "shot": SHOT, "lines": 21, "continuum": 8, "expected": n - 1, "found": n - 3, "left_out": 1,
        "reason": f"{shot.ids[FAILED]}: it <b>cannot</b> be drawn",
    }  # fmt: skip
    assert f"{n - 3} of {n - 1} reports" in page.data["about"]
    assert not any("bokeh" in name for name in page.scripts)
    assert [one.name for one in tmp_path.iterdir() if one.is_dir()] == ["assets"]


def test_a_shot_that_failed_has_a_page(shot, tmp_path):
    made = write_shot(tmp_path / "hetdex")
    for file in [*(directory / "detections.h5" for directory in made.directories), made.continuum]:
        with h5py.File(file, "w") as out:
            out.attrs.update(shot=SHOT, failed="it has <2 stars")
    made.layout.reports(SHOT).write_text("detectid,state,reason\n")
    out = tmp_path / f"{SHOT}.html"
    assert write_shot_page(inputs(made), out) == 0
    assert Page(out).data["failed"] == "it has <2 stars"
    assert out.with_suffix("").is_dir()  # as Snakemake expects


def test_files_that_are_wrong_are_named(shot, tmp_path):
    out = tmp_path / f"{SHOT}.html"
    right = inputs(shot)
    with pytest.raises(InputError, match=r"20190103v017; expected 20190104v001"):
        write_shot_page(Inputs("20190104v001", right.files, right.reports), out)
    torn = tmp_path / "detections.h5"
    torn.write_bytes(right.files[0].read_bytes()[:1000])
    with pytest.raises(MalformedFile, match=r"detections\.h5: found no HDF5 file"):
        write_shot_page(Inputs(SHOT, [torn], right.reports), out)
    alone = tmp_path / "reports.csv"
    alone.write_text("detectid,state,reason\n")
    with pytest.raises(MalformedFile, match=r"elixer_reports_20190103017\.db: it is not there"):
        write_shot_page(Inputs(SHOT, right.files, alone), out)
    (tmp_path / "elixer_reports_20190103017.db").write_text("no database, but long enough to be taken for one" * 9)
    with pytest.raises(MalformedFile, match=r"found no reports"):
        write_shot_page(Inputs(SHOT, right.files, alone), out)
    assert not out.exists()


def test_reports_that_change_have_other_scripts(tmp_path):
    made = write_shot(tmp_path / "hetdex")
    out = tmp_path / "pages" / f"{SHOT}.html"
    write_shot_page(inputs(made), out)
    before = Page(out).data["files"]
    with closing(sqlite3.connect(made.layout.reports(SHOT).with_name("elixer_reports_20190103017.db"))) as database:
        database.execute("UPDATE report SET image = ? WHERE detectid = ?", (png(99), made.ids[9]))
        database.commit()
    write_shot_page(inputs(made), out)
    after = Page(out).data["files"]
    assert before["spectra"] == after["spectra"]
    assert [a == b for a, b in zip(before["reports"], after["reports"], strict=True)] == [True, False, True, True]
    assert {path.name for path in out.with_suffix("").iterdir()} == {name for names in after.values() for name in names}


def test_the_program(shot, tmp_path):
    root = shot.layout.directory
    options = ["--reduction", str(root), "--out", str(tmp_path / f"{SHOT}.html"), "--shot", SHOT]
    options += ["--detections", *map(str, shot.directories), "--continuum", str(shot.continuum)]
    assert cli.run(write_report_pages.main, write_report_pages.build_parser(), options) == 0
    options = ["--reduction", str(root), "--out", str(tmp_path / "index.html"), "--shots", SHOT]
    assert cli.run(write_report_pages.main, write_report_pages.build_parser(), options) == 0
    assert Page(tmp_path / f"{SHOT}.html").data["table"]["detectid"] == list(map(str, shot.ids))
    assert Page(tmp_path / "index.html").data["table"]["shot"] == [SHOT]
