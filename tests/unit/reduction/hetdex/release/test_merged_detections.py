"""Merged files of detections: what is in them, in whatever order they are made; what fails; memory; PyTables."""

import re
import shutil
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from hetdex_products import (
    FIBERS_EACH,
    IFUS,
    detection_rows,
    shots,
    write_continuum,
    write_detections,
    write_ifu,
    write_small_plan,
)
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.plan import read_plan
from skyharvest.reduction.hetdex.release import detection_parts
from skyharvest.reduction.hetdex.release.merged_detections import merge_detections, sources_of_shots
from skyharvest.reduction.hetdex.release.merging import Source
from skyharvest.reduction.hetdex.sources.detection_tables import TABLES

PROGRAMS = Path(__file__).resolve().parents[5] / "scripts/reduction/hetdex"
SHOTS = ("20190103v012", "20190103v017", "20190104v003")
NUMBERS = dict(zip(IFUS, (5, 3), strict=True))


@pytest.fixture
def layout(tmp_path):
    """A month of three shots with two IFUs: one has no lines, one failed."""
    made = Layout(tmp_path / "hetdex")
    write_small_plan(made, list(SHOTS))
    for shot in SHOTS:
        for ifu, n in NUMBERS.items():
            write_ifu(made, shot, ifu, n)
    write_ifu(made, SHOTS[1], IFUS[0], 0)
    write_ifu(made, SHOTS[2], IFUS[1], 0, failed="there are no fibers")
    return made


def merged(paths, out: Path) -> Path:
    merge_detections([path if isinstance(path, Source) else Source.named(path) for path in paths], out)
    return out


def month(layout: Layout, out: Path, names=SHOTS) -> Path:
    return merged(sources_of_shots(layout, read_plan(layout.plan), names), out)


def tables_of(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: file[name][:] for name in (*TABLES, "Failed")}


def expected(units) -> dict[str, np.ndarray]:
    parts = [detection_rows(*unit) for unit in units]
    return {name: np.concatenate([part[name] for part in parts]) for name in TABLES}


def same(found: dict, truth: dict) -> bool:
    return all(found[name].tobytes() == truth[name].tobytes() for name in TABLES)


UNITS = [(SHOTS[0], IFUS[0], 5), (SHOTS[0], IFUS[1], 3), (SHOTS[1], IFUS[1], 3), (SHOTS[2], IFUS[0], 5)]


def test_a_month_has_every_row_of_its_units_and_says_what_failed(layout, tmp_path):
    found = tables_of(month(layout, tmp_path / "m.h5", SHOTS[::-1]))
    assert same(found, expected(UNITS))
    assert [tuple(row) for row in found["Failed"].tolist()] == [
        (SHOTS[2].encode(), IFUS[1].encode(), b"there are no fibers")
    ]
    with pytest.raises(InputError, match="found no shot 20200101v001; expected one of 20190103v012, "):
        month(layout, tmp_path / "m.h5", ["20200101v001"])


def test_the_order_in_which_files_are_named_or_made_changes_no_byte(layout, tmp_path):
    nights = [month(layout, tmp_path / f"{k}.h5", names) for k, names in enumerate((SHOTS[:2], SHOTS[2:]))]
    first = merged(nights, tmp_path / "first.h5").read_bytes()
    time.sleep(1.1)  # no time of writing is in them
    for path, names in zip(nights[::-1], (SHOTS[2:], SHOTS[1::-1]), strict=True):
        month(layout, path, names)
    assert merged(nights[::-1], tmp_path / "second.h5").read_bytes() == first
    assert same(tables_of(tmp_path / "first.h5"), expected(UNITS))
    assert len(tables_of(tmp_path / "second.h5")["Failed"]) == 1


def test_files_with_detections_among_one_another_are_merged_row_by_row(layout, tmp_path, monkeypatch):
    monkeypatch.setattr(detection_parts, "IDS", 2)
    outer = month(layout, tmp_path / "outer.h5", [SHOTS[0], SHOTS[2]])
    inner = month(layout, tmp_path / "inner.h5", [SHOTS[1]])
    continuum = write_continuum(layout, SHOTS[0], 4)
    files = (inner, continuum, outer)
    found = tables_of(merged(files, tmp_path / "all.h5"))
    with h5py.File(continuum) as file:
        both = {name: np.concatenate([rows, file[name][:]]) for name, rows in expected(UNITS).items()}
    assert same(found, {name: rows[np.argsort(rows["detectid"], kind="stable")] for name, rows in both.items()})
    assert merged(files[::-1], tmp_path / "again.h5").read_bytes() == (tmp_path / "all.h5").read_bytes()


def test_a_detectid_in_two_files_is_an_error_that_names_both(layout, tmp_path):
    one = month(layout, tmp_path / "one.h5", SHOTS[:2])
    other = month(layout, tmp_path / "other.h5", SHOTS[1:])
    out = tmp_path / "out.h5"
    for files in ((one, other), (other, one), (one, one)):
        first, second = sorted(map(str, files))
        with pytest.raises(InputError, match=f"{first} and {second}: found detectid 201901030") as error:
            merged(files, out)
        assert "in both" in str(error.value)
    assert list(tmp_path.glob("*out.h5*")) == []


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])


def not_hdf5(path: Path) -> None:
    path.write_bytes(b"<html>")


def without_spectra(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["Spectra"]


def with_other_spectra(path: Path) -> None:
    tables = detection_rows(SHOTS[0], IFUS[0], 5)
    tables["Spectra"]["detectid"][3] += 1
    write_detections(path, tables)


def with_other_fibers(path: Path) -> None:
    tables = detection_rows(SHOTS[0], IFUS[0], 5)
    tables["Fibers"]["detectid"][-1] += 1
    write_detections(path, tables)


def unsorted(path: Path) -> None:
    tables = detection_rows(SHOTS[0], IFUS[0], 5)
    write_detections(path, {name: rows[::-1] for name, rows in tables.items()})


def damaged(path: Path) -> None:
    with h5py.File(path) as file:
        at = file["Detections"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[at.byte_offset + 40 : at.byte_offset + 60] = bytes(20)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (Path.unlink, "it is not there"),
        (truncated, "found no HDF5 file"),
        (not_hdf5, "found no HDF5 file"),
        (without_spectra, r"\[/Spectra\]: found no table"),
        (with_other_spectra, "found spectra of other detections than"),
        (with_other_fibers, "found 1 fibers of no detection"),
        (unsorted, "found detectids that do not increase"),
        (damaged, "cannot be read"),
    ],
)
def test_a_file_that_is_wrong_fails_its_unit_alone(layout, tmp_path, break_it, reason):
    path = layout.detections(SHOTS[0], IFUS[0]) / "detections.h5"
    break_it(path)
    found = tables_of(month(layout, tmp_path / "m.h5"))
    assert same(found, expected(UNITS[1:]))
    shot, ifu, why = found["Failed"][0].tolist()
    assert (shot, ifu) == (SHOTS[0].encode(), IFUS[0].encode())
    assert str(path).encode() in why
    assert re.search(reason, why.decode())
    assert len(found["Failed"]) == 2
    if path.exists():
        with pytest.raises(MalformedFile, match=reason):
            merged([path], tmp_path / "x.h5")  # a name that is of no unit
        whole = path.rename(tmp_path / f"{SHOTS[0]}.h5")
        assert tables_of(merged([whole], tmp_path / "y.h5"))["Failed"]["shot"].tolist() == [SHOTS[0].encode()]


@pytest.mark.parametrize(("shot", "ifu"), [(SHOTS[1], IFUS[0]), (SHOTS[0], IFUS[1])])
def test_a_file_of_another_unit_fails_its_own_alone(layout, tmp_path, shot, ifu):
    path = layout.detections(SHOTS[0], IFUS[0]) / "detections.h5"
    shutil.copyfile(layout.detections(shot, ifu) / "detections.h5", path)
    found = tables_of(month(layout, tmp_path / "m.h5"))
    assert same(found, expected(UNITS[1:]))
    assert b"; expected " in found["Failed"]["reason"][0]


def test_numbers_and_rows_stay_when_a_shot_is_added_and_when_a_run_is_repeated(layout, tmp_path):
    before = tables_of(month(layout, tmp_path / "before.h5", SHOTS[::2]))
    first = (tmp_path / "before.h5").read_bytes()
    after = tables_of(month(layout, tmp_path / "after.h5"))
    for name in TABLES:
        kept = np.isin(after[name]["detectid"] // 100_000, [20190103012, 20190104003])
        assert 0 < kept.sum() < len(kept)
        assert after[name][kept].tobytes() == before[name].tobytes()
    assert month(layout, tmp_path / "before.h5", SHOTS[::2]).read_bytes() == first


def test_spectra_are_copied_as_they_are_stored_and_repacked_where_they_are_stored_otherwise(layout, tmp_path):
    small = month(layout, tmp_path / "m.h5")
    with h5py.File(small, "a") as file:
        rows = file["Spectra"][:]
        del file["Spectra"]
        file.create_dataset("Spectra", data=rows, chunks=(4,))
    assert same(tables_of(merged([small], tmp_path / "repacked.h5")), expected(UNITS))
    with h5py.File(tmp_path / "repacked.h5") as file:
        assert file["Spectra"].chunks == (1,)


def test_pytables_queries_a_merged_file(layout, tmp_path):
    tables = pytest.importorskip("tables")
    truth = expected(UNITS)
    with tables.open_file(month(layout, tmp_path / "m.h5")) as file:
        for name in TABLES:
            table = file.get_node(f"/{name}")
            assert table.will_query_use_indexing("detectid == 1") == {"detectid"}
            for wanted in [*truth["Detections"]["detectid"].tolist(), 3_000_000_000]:
                found = table.read_where("detectid == wanted")
                assert found.tobytes() == truth[name][truth[name]["detectid"] == wanted].tobytes()
        assert len(file.root.Detections.read_where("shotid == 20190103012")) == 8
        assert len(file.root.Detections.read_where("(flux > 0) & (ifuslot == b'093')")) == 10
        assert file.root.Spectra.read_coordinates([2], "spec1d").shape == (1, 1036)
        assert file.root.Fibers.nrows == FIBERS_EACH * 16
        assert file.root.Failed[0]["reason"] == b"there are no fibers"


def test_nothing_to_merge_is_an_empty_file_that_pytables_queries(tmp_path):
    tables = pytest.importorskip("tables")
    with tables.open_file(merged([], tmp_path / "m.h5")) as file:
        assert len(file.root.Detections.read_where("detectid == 3")) == 0


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Files of the continuum sources of 50 shots."""
    layout = Layout(tmp_path_factory.mktemp("many"))
    return [write_continuum(layout, shot, 3, spectra_chunk=6) for shot in shots(50)]


def test_memory_does_not_grow_with_the_number_of_shots(many, tmp_path):
    peaks = {}
    for n in (3, 15, 30):  # the first for what is imported
        tracemalloc.start()
        merged(many[:n], tmp_path / "all.h5")
        peaks[n] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    with h5py.File(tmp_path / "all.h5") as file:
        assert len(file["Spectra"]) == 180
    assert peaks[30] - peaks[15] < 0.1 * 90 * sum(dtype.itemsize for dtype in TABLES.values()), peaks


def test_a_merge_that_is_killed_leaves_nothing_half_written_and_is_repeated(many, tmp_path):
    out, whole = tmp_path / "release/cont_own.h5", merged(many, tmp_path / "whole.h5").read_bytes()
    out.parent.mkdir()
    command = [sys.executable, PROGRAMS / "merge_detections.py", "--out", out, "--reduction", many[0].parents[1]]
    command += ["--shots", *(path.stem for path in many)]
    out.write_bytes(b"what was there before")
    program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while program.poll() is None:
        if any(path.stat().st_size > 0.05 * len(whole) for path in out.parent.glob(".*.tmp")):
            break
        time.sleep(0.005)
    program.kill()
    assert program.wait() == -9
    assert out.read_bytes() == b"what was there before"
    assert len(list(out.parent.iterdir())) == 2  # and what it had written
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert out.read_bytes() == whole
    assert [path.name for path in out.parent.iterdir()] == ["cont_own.h5"]
