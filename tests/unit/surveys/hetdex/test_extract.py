"""Spectra out of one cube, and what is recorded where there is none."""

import csv
import re
from pathlib import Path

import h5py
import harvest_hetdex
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from range_server import denied, serve
from skyharvest.archive.archive import Archive
from skyharvest.archive.http.patience import Patience
from skyharvest.core import cli
from skyharvest.core.errors import ArchiveUnavailable, InputError
from skyharvest.formats import hdf5
from skyharvest.harvest.extracted import listed
from skyharvest.harvest.journal import read_journal
from skyharvest.simulate.hetdex.cube import PointSources, write_cube
from skyharvest.surveys.hetdex import extract
from skyharvest.surveys.hetdex.about import SURVEY as HETDEX
from skyharvest.surveys.hetdex.cube import read_cube
from skyharvest.surveys.hetdex.extract import WantedSpectra, extract_cube
from skyharvest.surveys.hetdex.index import CUBE_DTYPE
from skyharvest.surveys.hetdex.map_files import read_maps
from skyharvest.surveys.hetdex.maps import IMAGES, MapRequest, make_maps
from skyharvest.surveys.hetdex.plan import TARGET_DTYPE
from skyharvest.surveys.hetdex.spectra import extract_spectra

SHOTID, SLOT, CENTER = 20190102009, "034", (150.0, 2.0)
PATH = f"datacubes/{SHOTID}/dex_cube_{SHOTID}_{SLOT}.fits"
NEAR, EDGE, OFF = (150.0, 2.0), (150.0, 2.0 + 29.5 / 3600), (150.0, 2.0 + 36 / 3600)
QUICK = Patience(tries=2, base_s=0.01, cap_s=0.01, connect_s=2, read_s=5)


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(extract, "SECOND_READING_S", 0.0)


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    """An archive with one cube, a star in its middle; the index only has to be there."""
    root = tmp_path_factory.mktemp("release")
    (root / "datacubes" / str(SHOTID)).mkdir(parents=True)
    flux = np.full((1, 1036), 5.0)
    star = PointSources(np.array([NEAR[0]]), np.array([NEAR[1]]), flux)
    at = {"shotid": SHOTID, "ifuslot": SLOT, "ra": CENTER[0], "dec": CENTER[1], "pa": 30.0}
    write_cube(root / PATH, **at, sources=star, rng=np.random.default_rng(1))
    (root / "ifu-index.fits").write_bytes(b"x" * 100)
    return root


def planned(*positions) -> np.ndarray:
    made = np.zeros(len(positions), TARGET_DTYPE)
    made["shotid"], made["ifuslot"] = SHOTID, SLOT.encode()
    made["row"] = 10 * np.arange(len(positions)) + 3
    made["ra"], made["dec"] = np.array(positions).T
    made["separation_arcsec"] = 1.5
    made["epoch_group"] = made["row"]
    return made


TARGETS = planned(NEAR, EDGE, OFF)


def run(archive: Archive, out: Path, scratch: Path, wanted: WantedSpectra | None = None, targets=TARGETS):
    return extract_cube(archive, PATH, targets, out, wanted=wanted or WantedSpectra(), scratch=scratch)


def test_rows_with_light_have_spectra_and_the_others_are_counted(release, tmp_path):
    with Archive(str(release)) as archive:
        made = run(archive, tmp_path / "a.hdf5", tmp_path / "scratch", WantedSpectra(optimal="moffat", fwhm_arcsec=1.7))
    assert (made.status, made.rows) == ("read", (3, 13))
    assert not (tmp_path / "scratch").exists(), "a local cube is read where it is"
    direct = extract_spectra(read_cube(release / PATH), TARGETS["ra"], TARGETS["dec"])
    with h5py.File(tmp_path / "a.hdf5") as file:
        assert file["row"][:].tolist() == [3, 13]
        assert file["targets/row"][:].tolist() == [3, 13, 23]
        assert file["targets/n_spectra"][:].tolist() == [1, 1, 0]
        np.testing.assert_array_equal(file["spectrum_flux"][:], direct.flux[:2])
        np.testing.assert_array_equal(file["spectrum_coverage"][:], direct.coverage[:2])
        assert file["optimal_flux"].shape == (2, 1036)
        assert np.nanmedian(file["optimal_flux"][0]) == pytest.approx(5.0, rel=0.1)
        assert (file["x"][0], file["y"][0]) == pytest.approx((51.0, 51.0), abs=1e-6)
        assert file["aperture_on_cube"][0] == 1 and 0.3 < file["aperture_on_cube"][1] < 0.9
    assert listed("20190102009_034", tmp_path / "a.hdf5")[:-1] == ("20190102009_034", 2, 1, 0, 0, 0, 0)


def test_the_same_file_comes_out_of_every_transport_and_nothing_stays(release, tmp_path):
    with serve(release) as server:
        for name, root in (("local", str(release)), ("http", server.url)):
            with Archive(root, patience=QUICK) as archive:
                run(archive, tmp_path / f"{name}.hdf5", tmp_path / "scratch")
    assert (tmp_path / "local.hdf5").read_bytes() == (tmp_path / "http.hdf5").read_bytes()
    assert [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()] == []


def test_an_absent_cube_is_recorded_if_the_archive_has_the_others(release, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/ifu-index.fits").write_bytes(b"x")
    (tmp_path / "moved").mkdir()
    with Archive(str(tmp_path / "empty")) as archive:
        wanted = WantedSpectra(check_absence=archive.absence_check("ifu-index.fits"))
        made = run(archive, tmp_path / "a.hdf5", tmp_path, wanted)
    assert (made.status, made.rows) == ("absent", ())
    with hdf5.reading(tmp_path / "a.hdf5", check=True) as file:
        assert hdf5.text(file["files/status"][:]) == ["absent"]
        assert file["targets/n_spectra"][:].tolist() == [0, 0, 0]
        assert len(file["row"]) == 0
    assert listed("c", tmp_path / "a.hdf5")[:-1] == ("c", 0, 0, 1, 0, 0, 0)
    with Archive(str(tmp_path / "moved")) as archive, pytest.raises(ArchiveUnavailable, match="moved, unmounted"):
        wanted = WantedSpectra(check_absence=archive.absence_check("ifu-index.fits"))
        run(archive, tmp_path / "b.hdf5", tmp_path, wanted)
    assert not (tmp_path / "b.hdf5").exists()
    packed = tmp_path / "empty" / f"{PATH}.gz"
    packed.parent.mkdir(parents=True)
    packed.write_bytes(b"x")
    with (
        Archive(str(tmp_path / "empty")) as archive,
        pytest.raises(InputError, match="files are compressed, and are read"),
    ):
        wanted = WantedSpectra(check_absence=archive.absence_check("ifu-index.fits"))
        run(archive, tmp_path / "b.hdf5", tmp_path, wanted)


@pytest.mark.parametrize("http", [False, True])
@pytest.mark.parametrize("wrong", ["truncated", "HTML"])
def test_a_malformed_cube_is_recorded_with_its_reason(release, tmp_path, wrong, http):
    path = tmp_path / "root" / PATH
    path.parent.mkdir(parents=True)
    data = (release / PATH).read_bytes()
    path.write_bytes(data[: len(data) // 2] if wrong == "truncated" else b"<!doctype html><html>busy</html>")
    with serve(tmp_path / "root") as server:
        root = server.url if http else str(tmp_path / "root")
        with Archive(root, patience=QUICK) as archive:
            made = run(archive, tmp_path / "a.hdf5", tmp_path / "scratch")
    assert made.status == "unreadable"
    assert re.search(r"truncated|its headers imply" if wrong == "truncated" else "an HTML page", made.reason)
    assert str(tmp_path) not in made.reason and "127.0.0.1" not in made.reason
    assert listed("c", tmp_path / "a.hdf5")[:-1] == ("c", 0, 0, 0, 1, 0, 0)


def write_plan(slots: tuple[str, ...] = (SLOT,)) -> None:
    """Write the files of a plan with the same targets in some cubes of one shot, all in NSIDE=16 pixel 5."""
    targets, cubes = np.concatenate([TARGETS] * len(slots)), np.zeros(len(slots), CUBE_DTYPE)
    targets["ifuslot"] = [slot.encode() for slot in slots for _ in TARGETS]
    cubes["shotid"], cubes["ifuslot"], cubes["fwhm_virus"] = SHOTID, [slot.encode() for slot in slots], 1.7
    np.save("plan_targets.npy", targets)
    np.save("plan_cubes.npy", cubes)
    lines = [f"{SHOTID},{slot},{len(TARGETS)},0\n" for slot in slots]
    Path("plan.csv").write_text("shotid,ifuslot,n_targets,in_2017\n" + "".join(lines))
    lines = [f"5,{SHOTID},{slot},ab\n" for slot in slots]
    Path("plan_pixels.csv").write_text("pix16,shotid,ifuslot,digest\n" + "".join(lines))
    columns = {name: TARGETS[name].tolist() for name in ("row", "ra", "dec")}
    pq.write_table(pa.table(columns | {"pix16": [5] * len(TARGETS), "pix64": [80] * len(TARGETS)}), "targets.parquet")


def program(root: str, *more: str) -> int:
    """Run the program for that plan, in the working directory."""
    words = ["--archive", root, "--release", "pdr1", "--targets", "targets.parquet", "--plan", "plan.csv"]
    words += ["--batch", "4-5", "--extracted", "extracted", "--assembled", "assembled", "--download", "scratch", *more]
    return cli.run(harvest_hetdex.main, harvest_hetdex.build_parser(), words)


def test_a_server_that_is_down_leaves_nothing_but_a_line_in_the_journal(release, tmp_path, monkeypatch):
    monkeypatch.setenv("SKYHARVEST_PATIENCE", "tries=2 base_s=0.01 cap_s=0.01")
    monkeypatch.chdir(tmp_path)
    write_plan()
    told = ("--list", "out.csv", "--journal", "journal.csv", "--known", "ifu-index.fits")
    with serve(release) as server:
        server.misbehave = lambda handler, _: handler.answer(503, b"") is None
        assert program(server.url, *told) == cli.EXIT_TRY_AGAIN
        assert not HETDEX.path(Path("extracted"), f"{SHOTID}_{SLOT}").exists() and not Path("out.csv").exists()
        failed = read_journal(Path("journal.csv")).failed[f"{SHOTID}_{SLOT}"]
        assert "HTTP 503" in failed.message
        server.misbehave = None
        assert program(server.url, *told) == 0
    read = read_journal(Path("journal.csv"))
    line = read.files[f"{SHOTID}_{SLOT}", *HETDEX.kind]
    assert (read.failed, line.status, line.n_searched, line.n_spectra, line.rows) == ({}, "read", 3, 2, (3, 13))
    assert line.bytes >= (release / PATH).stat().st_size
    with Path("out.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["unit"], row["n_spectra"], row["n_read"], row["n_absent"]) == (f"{SHOTID}_{SLOT}", "2", "1", "0")


def test_a_cube_that_a_bucket_refuses_is_absent_only_if_asked_for_and_if_the_list_is_there(
    release, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    write_plan()
    out = HETDEX.path(Path("extracted"), f"{SHOTID}_{SLOT}")

    known, absent = ("--known", "ifu-index.fits"), "--forbidden-is-absent"
    with serve(release) as server:
        server.misbehave = lambda handler, _: denied(handler) is None
        assert program(server.url, *known, absent) == cli.EXIT_TRY_AGAIN
        assert "the archive seems to refuse everything" in capsys.readouterr().err
        server.misbehave = lambda handler, _: "datacubes" in handler.path and denied(handler) is None
        assert program(server.url, *known) == 1
        assert "HTTP 403" in (said := capsys.readouterr().err) and "forbidden_is_absent: true" in said
        assert program(server.url, absent) != 0
        assert "--forbidden-is-absent needs --known" in capsys.readouterr().err
        assert not out.exists()
        assert program(server.url, *known, absent) == 0
    assert listed("c", out)[:-1] == ("c", 0, 0, 1, 0, 0, 0)


def test_maps_are_made_of_those_with_a_spectrum_as_from_the_whole_cube(release, tmp_path):
    """Also where the map needs more rows of the cube than the spectrum."""
    targets = TARGETS.copy()
    targets["wave"] = [4500.0, np.nan, 4700.0]
    maps = MapRequest(size_arcsec=40, half_width=8)
    with Archive(str(release)) as archive:
        run(archive, tmp_path / "a.hdf5", tmp_path, WantedSpectra(radius_arcsec=2.0, maps=maps), targets)
    with h5py.File(tmp_path / "a.hdf5") as file:
        made = read_maps(file["maps"])
        assert file["row"][:].tolist() == [3, 13]
    expected = make_maps(read_cube(release / PATH), *np.array([NEAR, EDGE]).T, [4500.0, np.nan], maps)
    for name in (*IMAGES, "wave", "x0", "y0"):
        np.testing.assert_array_equal(getattr(made, name), getattr(expected, name), err_msg=name)
    assert np.nanmax(made.line[0]) > 0
    assert np.isnan(made.line[1]).all()


def test_a_batch_keeps_the_cubes_that_are_well_and_tries_the_others_again(release, tmp_path, monkeypatch):
    """A cube that fails holds up the list, and none of the others; one of another request is read anew."""
    monkeypatch.setenv("SKYHARVEST_PATIENCE", "tries=2 base_s=0.01 cap_s=0.01")
    monkeypatch.chdir(tmp_path)
    slots = (SLOT, "035")
    for slot in slots:
        path = Path("root") / f"datacubes/{SHOTID}/dex_cube_{SHOTID}_{slot}.fits"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((release / PATH).read_bytes())
    Path("root/ifu-index.fits").write_bytes(b"x")
    write_plan(slots)
    names = [f"{SHOTID}_{slot}" for slot in slots]
    outs = [HETDEX.path(Path("extracted"), name) for name in names]

    with serve(Path("root")) as server:
        server.misbehave = lambda handler, _: "035" in handler.path and handler.answer(503, b"") is None
        assert program(server.url, "--list", "out.csv") == cli.EXIT_TRY_AGAIN
        assert [out.exists() for out in outs] == [True, False] and not Path("out.csv").exists()
        written = outs[0].stat().st_mtime_ns
        server.misbehave = None
        server.forget()
        assert program(server.url, "--list", "out.csv") == 0
        assert not any(SLOT in path for path, *_ in server.requests if "datacubes" in path)
    assert outs[0].stat().st_mtime_ns == written and outs[1].exists()
    with Path("out.csv").open(newline="") as stream:
        lines = [(line["unit"], line["n_spectra"]) for line in csv.DictReader(stream)]
    assert lines == [(name, "2") for name in names]
    outs[1].unlink()
    assert program("root", "--radius", "2.5") == 0
    assert outs[0].stat().st_mtime_ns != written
