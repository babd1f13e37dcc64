"""Merged cutouts: what is in them, in whatever order shots are named; what fails; memory; PyTables."""

import tracemalloc

import h5py
import numpy as np
import pytest
import tables as pytables

from hetdex_products import shots
from skyharvest.core.errors import InputError
from skyharvest.formats.pytables import TableWriter, open_new, write_table
from skyharvest.reduction.hetdex.layout import shotid_of
from skyharvest.reduction.hetdex.release.merged_cutouts import merge_cutouts
from skyharvest.reduction.hetdex.release.merging import Source
from skyharvest.reduction.hetdex.sources.cutout_tables import OF_DETECTIONS, tables

SHOTS = ("20190103v012", "20190103v017", "20190104v003")


def rows_of(shot, n, size=(12, 5)):
    """Rows of all tables: random, but for detectids."""
    random = np.random.default_rng(shotid_of(shot))
    made = {}
    for name, dtype in tables(*size).items():
        rows = np.zeros(n if name in OF_DETECTIONS else n // 2, dtype)
        for column in dtype.names:
            if rows.dtype[column].base.kind == "f":
                rows[column] = random.normal(size=rows[column].shape)
        rows["detectid"] = shotid_of(shot) * 100_000 + 13_500 + np.arange(len(rows))
        made[name] = rows
    made["NotCut"]["reason"] = b"planted"
    return made


def write(path, shot, n, failed="", size=(12, 5)):
    with open_new(path, "") as file:
        file.attrs.update(shot=shot, failed=failed)
        for name, rows in rows_of(shot, n, size).items():
            if name in OF_DETECTIONS:
                with TableWriter(file, name, rows.dtype, len(rows), chunk=1) as table:
                    table.append(rows)
            else:
                write_table(file, name, rows)
    return Source(path, shot)


@pytest.fixture
def sources(tmp_path):
    numbers = dict(zip(SHOTS, (3, 5, 2), strict=True))
    return [write(tmp_path / f"{shot}.h5", shot, n) for shot, n in numbers.items()]


def failures(path):
    with h5py.File(path) as file:
        return {row["shot"].decode(): row["reason"].decode() for row in file["Failed"][:]}


def test_all_rows_are_there_by_detectid_in_whatever_order(tmp_path, sources):
    assert merge_cutouts(sources, tmp_path / "one.h5") == 10
    merge_cutouts([sources[k] for k in (2, 0, 1)], tmp_path / "other.h5")
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "other.h5").read_bytes()
    parts = [rows_of(shot, n) for shot, n in zip(SHOTS, (3, 5, 2), strict=True)]
    with pytables.open_file(tmp_path / "one.h5") as file:
        for name in (*OF_DETECTIONS, "NotCut"):
            truth = np.concatenate([part[name] for part in parts])
            assert file.get_node(f"/{name}").read().tobytes() == truth.tobytes()
        wanted = int(parts[1]["LineImages"]["detectid"][3])
        table = file.root.LineImages
        assert table.will_query_use_indexing(f"detectid == {wanted}") == {"detectid"}
        (row,) = table.read_where(f"detectid == {wanted}")
        assert np.array_equal(row["line_image"], parts[1]["LineImages"]["line_image"][3])


def test_what_fails_is_told_and_the_others_are_merged(tmp_path, sources):
    good = tmp_path / "good.h5"
    merge_cutouts([sources[1]], good)
    failed = write(tmp_path / "failed.h5", "20190105v001", 0, failed="it has no stars")
    torn = Source(tmp_path / "torn.h5", "20190105v002")
    torn.path.write_bytes(sources[0].path.read_bytes()[:3000])
    elsewhere = Source(sources[2].path, "20190105v003")
    damaged = write(tmp_path / "damaged.h5", "20190105v004", 3)
    with h5py.File(damaged.path, "r+") as file:  # a row of another detection, which is seen when it is copied
        row = file["Spec1D"][1]
        row["detectid"] += 50
        file["Spec1D"][1] = row
    other = write(tmp_path / "other.h5", "20190105v005", 2)
    with h5py.File(other.path, "r+") as file:
        del file["PhotImages"]
    out = tmp_path / "out.h5"
    assert merge_cutouts([failed, torn, sources[1], elsewhere, damaged, other], out) == 5
    said = failures(out)
    assert len(said) == 5
    assert said["20190105v001"] == "it has no stars"
    assert "no HDF5 file" in said["20190105v002"]
    assert "other shots" in said["20190105v003"]
    assert "Spec1D" in said["20190105v004"]
    assert "PhotImages" in said["20190105v005"]
    with h5py.File(out) as file, h5py.File(good) as expected:
        assert all(np.array_equal(file[name]["detectid"], expected[name]["detectid"]) for name in OF_DETECTIONS)


def test_nothing_can_be_merged_as_well(tmp_path):
    empty = write(tmp_path / "empty.h5", SHOTS[0], 0)
    for k, sources in enumerate(([], [empty])):
        assert merge_cutouts(sources, tmp_path / f"{k}.h5") == 0
        with pytables.open_file(tmp_path / f"{k}.h5") as file:
            assert len(file.root.FiberImages) == len(file.root.Failed) == 0


def test_shots_that_do_not_go_together_are_an_error(tmp_path, sources):
    with pytest.raises(InputError, match="20190103v012 twice"):
        merge_cutouts([*sources, sources[0]], tmp_path / "out.h5")
    wide = write(tmp_path / "wide.h5", "20190105v001", 2, size=(14, 5))
    with pytest.raises(InputError, match=r"\(12, 5\).*\(14, 5\)"):
        merge_cutouts([*sources, wide], tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_memory_does_not_grow_with_the_number_of_shots(tmp_path):
    names = shots(60)
    many = [write(tmp_path / f"{shot}.h5", shot, 2) for shot in names]
    peaks = []
    for n in (10, 60):
        tracemalloc.start()
        merge_cutouts(many[:n], tmp_path / "out.h5")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1_000_000
