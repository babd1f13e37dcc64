"""Tables of all shots and of all fibers: what is in them, what fails, queries of PyTables."""

import h5py
import healpy
import numpy as np
import pytest
from astropy.stats import biweight_location
from astropy.table import Table

from hetdex_products import DEAD, IFUS, fiber_rows, write_shot, write_small_plan
from hetdex_sources import ifu_fibers
from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.layout import Layout, shotid_of
from skyharvest.reduction.hetdex.lines.flux_limits import FluxLimits, measure_flux_limits, write_flux_limits
from skyharvest.reduction.hetdex.release.fiber_index import merge_fibers, write_fibers_of_shot
from skyharvest.reduction.hetdex.release.merging import Source
from skyharvest.reduction.hetdex.release.survey_file import write_limits, write_survey
from skyharvest.reduction.hetdex.source_settings import Detections, Flags

GOOD = ("20190103v012", "20190103v017", "20190204v003")
FAILED, BROKEN, OTHER = "20190104v001", "20190104v002", "20190104v004"
ALL = (*GOOD, FAILED, BROKEN, OTHER)
REASONS = {FAILED: "too few stars", BROKEN: "found no HDF5 file", OTHER: f"found shot {GOOD[0]}; expected {OTHER}"}


@pytest.fixture
def layout(tmp_path):
    """Three shots, the second with a low throughput; one that failed, one that is cut short, one that is another's."""
    made = Layout(tmp_path / "hetdex")
    for shot in (*GOOD, BROKEN):
        write_shot(made, shot, response=0.05 if shot == GOOD[1] else 0.15)
    write_shot(made, FAILED, failed=REASONS[FAILED])
    path = made.of_shot("shots", BROKEN)
    path.write_bytes(path.read_bytes()[:-100])
    made.of_shot("shots", OTHER).write_bytes(made.of_shot("shots", GOOD[0]).read_bytes())
    return made


def check_failures(path) -> None:
    with h5py.File(path) as file:
        found = {row["shot"].decode(): row["reason"].decode() for row in file["Failed"][:]}
    assert list(found) == sorted(REASONS)
    assert all(reason in found[shot] for shot, reason in REASONS.items()), found


def test_the_survey_has_a_row_of_each_shot_and_says_which_have_none(layout):
    files = [Source(layout.of_shot("shots", shot), shot) for shot in ALL]
    out = layout.survey("own")
    write_survey(files, out)
    first = out.read_bytes()
    write_survey(files[::-1], out)
    assert out.read_bytes() == first
    rows = []
    for shot in GOOD:
        with h5py.File(layout.of_shot("shots", shot)) as file:
            rows.append(file["Shot"][0])
    tables = pytest.importorskip("tables")
    with tables.open_file(out) as file:
        assert file.root.Survey.read().tobytes() == np.array(rows).tobytes()
        assert file.root.Survey.read_where("response_4540 < 0.08")["datevobs"].tolist() == [GOOD[1].encode()]
    check_failures(out)


def test_the_noise_of_a_shot_is_that_of_its_ifus(tmp_path):
    layout, paths, searched = Layout(tmp_path), [], (*IFUS, "040_095_013_0201")
    for k, ifu in enumerate(searched):
        paths.append(layout.detections(GOOD[0], ifu) / "flux_limits.h5")
        paths[-1].parent.mkdir(parents=True)
        small = ifu_fibers(rows=9, columns=8, error=0.3 * (k + 1), seed=k)
        write_flux_limits(paths[-1], measure_flux_limits(small, Detections(), np.ones(1036)))
    noise = [1e-17 * float(FluxLimits.read(path).typical(np.array([4600.0]), sn=1.0)[0]) for path in paths]
    damaged = layout.detections(GOOD[0], "099_099_099_0099") / "flux_limits.h5"
    damaged.parent.mkdir()
    damaged.write_bytes(b"")
    pairings = [*searched, damaged.parent.name, "098_098_098_0098"]  # and one that was not looked at
    write_limits(layout, {GOOD[1]: [], GOOD[0]: pairings}, tmp_path / "flim.txt")
    found = Table.read(tmp_path / "flim.txt", format="ascii")  # as hetdex_api reads it
    assert found["shotid"].tolist() == [shotid_of(GOOD[0]), shotid_of(GOOD[1])]
    np.testing.assert_allclose(found["f1sigma_biweight"], [biweight_location(noise), np.nan], rtol=1e-3)


def fibers(layout: Layout, settings: Flags, shots=ALL):
    for shot in shots:
        write_fibers_of_shot(shot, layout.of_shot("shots", shot), layout.of_shot("fiber_index", shot), settings)
    out = layout.fiber_index("own")
    merge_fibers([Source(layout.of_shot("fiber_index", shot), shot) for shot in shots], out)
    return out


def test_all_fibers_are_in_the_index_with_pixels_and_flags(layout, tmp_path):
    (tmp_path / "bad.csv").write_text(f"shot,reason\n{GOOD[2]},clouds\n")
    out = fibers(layout, Flags(bad_shots=str(tmp_path / "bad.csv")))
    with h5py.File(out) as file:
        found = file["FiberIndex"][:]
    n = 3 * len(IFUS) * 4 * 4
    truth = np.concatenate([fiber_rows(shot) for shot in GOOD])
    for column in truth.dtype.names:
        np.testing.assert_array_equal(found[column], truth[column], err_msg=column)
    assert found["shotid"].tolist() == [shotid_of(shot) for shot in GOOD for _ in range(n)]
    assert found["date"].tolist() == [int(shot[:8]) for shot in GOOD for _ in range(n)]
    names = ("specid", "ifuslot", "ifuid", "amp")
    for row in found[[0, n // 6, n - 1]]:
        assert b"_".join([b"multi", *(row[name] for name in names)]) == row["multiframe"]
    placed = np.isfinite(found["ra"])
    pixels = healpy.ang2pix(2**15, *(found[name][placed].astype(float) for name in ("ra", "dec")), lonlat=True)
    np.testing.assert_array_equal(found["healpix"][placed], pixels)
    assert set(found["healpix"][~placed]) == {-1}

    by_shot = found.reshape(3, n)
    odd = np.isin(np.arange(n), [5, DEAD])  # without a place, and without light
    for shot in by_shot:
        np.testing.assert_array_equal(shot["flag_badfib"], ~odd)
    np.testing.assert_array_equal(by_shot["flag_throughput"][:, 0], [1, 0, 1])
    np.testing.assert_array_equal(by_shot["flag_shot"][:, 0], [1, 1, 0])
    np.testing.assert_array_equal(by_shot["flag"], [~odd, np.zeros(n), np.zeros(n)])
    assert (found["flag_meteor"] & found["flag_satellite"] & found["flag_largegal"]).all()
    check_failures(out)
    with h5py.File(out.with_name("fiber_mask.h5")) as file:
        mask = file["Flags"][:]
    assert mask.dtype.names == ("fiber_id", *(name for name in found.dtype.names if name.startswith("flag")))
    assert all((mask[name] == found[name]).all() for name in mask.dtype.names)


def test_pytables_finds_fibers_by_pixel_shot_and_place(layout):
    tables = pytest.importorskip("tables")
    with tables.open_file(fibers(layout, Flags())) as file:
        table = file.root.FiberIndex
        rows = table.read()
        for column, value in (("healpix", rows["healpix"][40]), ("healpix", -1), ("shotid", shotid_of(GOOD[1]))):
            assert table.will_query_use_indexing(f"{column} == 1") == {column}
            assert table.read_where(f"{column} == {value}").tobytes() == rows[rows[column] == value].tobytes()
        near = (rows["ra"] >= 150.1) & (rows["ra"] <= 150.15)
        assert 0 < near.sum() < len(rows)
        np.testing.assert_array_equal(table.get_where_list("(ra >= 150.1) & (ra <= 150.15)"), np.flatnonzero(near))


def test_the_order_of_shots_changes_no_byte_and_a_shot_that_is_added_no_row(layout):
    out = fibers(layout, Flags())
    first = out.read_bytes()
    assert fibers(layout, Flags(), ALL[::-1]).read_bytes() == first
    with h5py.File(fibers(layout, Flags(), GOOD[::2])) as file:
        few = file["FiberIndex"][:]
    with h5py.File(fibers(layout, Flags(), GOOD)) as file:
        more = file["FiberIndex"][:]
    assert more[more["shotid"] != shotid_of(GOOD[1])].tobytes() == few.tobytes()


def test_a_shot_whose_fibers_turn_out_to_be_damaged_fails_alone(layout):
    out = fibers(layout, Flags(), GOOD)
    path = layout.of_shot("fiber_index", GOOD[0])
    with h5py.File(path) as file:
        at = file["FiberIndex"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[at.byte_offset + 100 : at.byte_offset + 160] = bytes(60)
    path.write_bytes(data)
    merge_fibers([Source(layout.of_shot("fiber_index", shot), shot) for shot in GOOD], out)
    with h5py.File(out) as file:
        assert set(file["FiberIndex"]["shotid"]) == {*map(shotid_of, GOOD[1:])}
        assert file["Failed"]["shot"].tolist() == [GOOD[0].encode()]


def test_a_wrong_table_of_what_is_bad_is_an_error(layout, tmp_path):
    (tmp_path / "bad.csv").write_text("shot\n20190103v012\n")
    with pytest.raises(InputError, match=r"bad\.csv"):
        fibers(layout, Flags(bad_shots=str(tmp_path / "bad.csv")))


def test_programs_write_tables_of_the_shots_that_are_named(layout):
    import index_fibers
    import merge_fiber_index
    import write_survey as write_survey_program

    write_small_plan(layout, list(GOOD[:2]))
    reduction = ["--reduction", str(layout.directory), "--shots", *GOOD[:2]]
    for shot in GOOD[:2]:
        given = ["--shot", shot, "--file", str(layout.of_shot("shots", shot)), "--least-response", "0.01"]
        given += ["--out", str(layout.of_shot("fiber_index", shot))]
        assert cli.run(index_fibers.main, index_fibers.build_parser(), given) == 0
    for program, out in (
        (merge_fiber_index, layout.fiber_index("own")),
        (write_survey_program, layout.survey("own")),
    ):
        assert cli.run(program.main, program.build_parser(), [*reduction, "--out", str(out)]) == 0
    with h5py.File(layout.fiber_index("own")) as index, h5py.File(layout.survey("own")) as survey:
        assert set(index["FiberIndex"]["shotid"]) == set(survey["Survey"]["shotid"]) == {*map(shotid_of, GOOD[:2])}
        assert index["FiberIndex"]["flag_throughput"].all()
    limits = layout.survey("own").with_name("flim4600_averages.txt")
    assert limits.read_text().splitlines()[1:] == [f"{shotid_of(shot)} nan" for shot in GOOD[:2]]
