"""The cubes of a shot: bits of their masks, the table and the index; and their harvest, by the code for public ones."""

import csv
from dataclasses import replace
from pathlib import Path

import fitsio
import h5py
import index_cubes
import make_cubes
import numpy as np
import pytest

from hetdex_shot_file import shot_row, with_quality, write_shot
from hetdex_sources import DITHERS, MIDDLE, Star, ifu_fibers
from skyharvest.archive.archive import Archive
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.hetdex_mask import MASK_BITS
from skyharvest.formats.pytables import open_new
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.lines.flux_limits import FILE, limit_at_4600, measure_flux_limits, write_flux_limits
from skyharvest.reduction.hetdex.release import cubes_csv
from skyharvest.reduction.hetdex.release.cube_fibers import fibers_of_cube, middle_of
from skyharvest.reduction.hetdex.release.cube_index import write_index
from skyharvest.reduction.hetdex.release.shot_cubes import make_cubes as make
from skyharvest.reduction.hetdex.source_settings import Cubes, Detections, Flags
from skyharvest.reduction.hetdex.sources.ifu_fibers import ShotFibers
from skyharvest.reduction.hetdex.sources.sky_faults import SkyFaults
from skyharvest.surveys.hetdex.cube import read_cube
from skyharvest.surveys.hetdex.extract import WantedSpectra, extract_cube
from skyharvest.surveys.hetdex.index import fetch_index, read_index
from skyharvest.surveys.hetdex.plan import cube_of_plan, make_plan, targets_of_cube, write_plan
from skyharvest.surveys.hetdex.release import load_release

SHOT, SHOTID = "20190103v017", 20190103017
STARS = (Star(-5.3, 6.0, 40.0), Star(3.5, -13.2, 25.0, depth=0.3))
FWHM = (1.7, 1.9, 1.8)


def has(bits, name):
    return (np.asarray(bits) & MASK_BITS[name]) != 0


@pytest.fixture(scope="module")
def fibers():
    """An IFU of 187 fibers, and three exposures; one amplifier failed in the second, another one in all."""
    missing = [(2, "LU"), *((expnum, "RU") for expnum in (1, 2, 3))]
    made = with_quality(ifu_fibers(STARS, rows=17, columns=11, fwhm=FWHM, error=0.05, missing=missing))
    dead = made.fiber_id == made.fiber_id[3]
    pixels = made.flux.copy()
    pixels[dead] = pixels[8, 500:520] = np.nan
    chi2, to_fiber = (made.more[name].copy() for name in ("chi2", "fiber_to_fiber"))
    chi2[14], to_fiber[20] = 9, 0.3
    pixels[14] = 1e6  # junk, which is to be seen nowhere
    return replace(made, flux=pixels, more={"chi2": chi2, "fiber_to_fiber": to_fiber})


def test_each_fibers_bits_say_what_is_wrong_with_it(fibers):
    at = fibers.ra[30], fibers.dec[30]
    tracks = np.array(
        [(SHOT, fibers.expnum[30], "meteor", *at, at[0], at[1] + 1e-3, 0.1)],
        SkyFaults().tracks.dtype,
    )
    galaxies = np.array([(fibers.ra[60], fibers.dec[60], 1.0, 1.0, 0.0)], SkyFaults().galaxies.dtype)
    faults = SkyFaults(tracks, galaxies, {SHOT: "twilight"})
    row = shot_row(fibers)[0]
    made = fibers_of_cube(fibers, middle_of(fibers), row, faults, Flags(least_response=0.2))
    n = len(fibers)
    for name in ("BADSHOT", "THROUGHPUT"):
        assert has(made.bits[:n], name).all()
    assert np.flatnonzero(has(made.bits[:, 0], "BADFIB")).tolist() == [3, 14, 20]
    assert np.flatnonzero(has(made.bits[:, 0], "CHI2FIB")).tolist() == [14]
    assert np.flatnonzero(has(made.bits[:, 0], "FTF")).tolist() == [20]
    assert np.flatnonzero(has(made.bits[:, 0], "LARGEGAL")).tolist() == [60]
    assert has(made.bits[30], "METEOR").all()
    assert not has(made.bits[:n][fibers.expnum != fibers.expnum[30]], "METEOR").any()
    lost = np.isnan(fibers.flux)
    np.testing.assert_array_equal(has(made.bits[:n], "MAIN"), lost)
    np.testing.assert_array_equal(has(made.bits[:n], "PIXMASK"), lost & (np.arange(n) == 8)[:, None])
    np.testing.assert_array_equal(np.isnan(made.flux[:n]), lost | np.isin(np.arange(n), [3, 14, 20])[:, None])
    # Fibers of the amplifier that failed in an exposure are where the dithers have them; those of the other are lost.
    assert has(made.bits[n:], "BADAMP").all()
    assert not has(made.bits[:n], "BADAMP").any()
    first = (fibers.amp == "LU") & (fibers.expnum == 1)
    np.testing.assert_allclose(made.x[n:], made.x[:n][first] + DITHERS[2][0], atol=1e-6)
    np.testing.assert_allclose(made.y[n:], made.y[:n][first] + DITHERS[2][1], atol=1e-6)
    assert np.isnan(made.flux[n:]).all()
    # Shares of all fibers, those of four amplifiers that failed, too.
    assert made.good["flag_badfib"] == pytest.approx(1 - 3 / (n + 448))
    assert made.good["flag_badamp"] == pytest.approx(n / (n + 448))
    assert (made.good["flag_shot"], made.good["flag"]) == (pytest.approx(448 / (n + 448)), 0)


def test_a_fiber_without_a_place_has_no_part(fibers):
    ra = fibers.ra.copy()
    ra[40] = np.nan
    lost = replace(fibers, ra=ra, x=np.where(np.arange(len(ra)) == 40, np.nan, fibers.x))
    row = shot_row(fibers)[0]
    made = fibers_of_cube(lost, middle_of(lost), row, SkyFaults(), Flags())
    whole = fibers_of_cube(fibers, middle_of(fibers), row, SkyFaults(), Flags())
    np.testing.assert_allclose(made.x[: len(ra) - 1], np.delete(whole.x[: len(ra)], 40), atol=1e-6)
    np.testing.assert_array_equal(made.flux, np.delete(whole.flux, 40, axis=0))
    assert np.isfinite(made.x).all()
    assert made.good["flag_badfib"] < whole.good["flag_badfib"]


@pytest.fixture(scope="module")
def released(fibers, tmp_path_factory):
    """The reduction's directory, with a release of a shot, by the programs."""
    layout = Layout(tmp_path_factory.mktemp("reduction"))
    shot, astrometry, stars = write_shot(layout, fibers)
    options = ["--shot", shot, "--astrometry", astrometry, "--stars", stars, "--out", layout.cubes(SHOT)]
    make_cubes.main(make_cubes.build_parser().parse_args([str(word) for word in options]))
    limits = layout.detections(SHOT, str(fibers.ifu)) / FILE
    limits.parent.mkdir(parents=True)
    write_flux_limits(limits, measure_flux_limits(fibers, Detections(limit_step=5.0), np.ones(1036)))
    options = ["--reduction", layout.directory, "--shots", SHOT, "--out", layout.cube_index]
    index_cubes.main(index_cubes.build_parser().parse_args([str(word) for word in options]))
    return layout


def test_the_index_is_that_of_a_public_release(released, fibers):
    with fitsio.FITS(str(released.cube_index)) as file:
        table = file[1].read()
    (cube,) = read_index(released.cube_index)
    middle = fibers.pointing.to_sky(*(np.array([at + d]) for at, d in zip(MIDDLE, (0.81, 0.0), strict=True)))
    np.testing.assert_allclose([cube["ra_cen"], cube["dec_cen"]], np.concatenate(middle), atol=1e-7)
    assert (cube["shotid"], cube["ifuslot"], cube["field"]) == (SHOTID, b"106", b"dex-spring")
    assert (cube["fwhm_virus"], cube["exptime"], cube["mjd"]) == (np.float32(1.8), 366, 58486.25)
    limits = released.detections(SHOT, str(fibers.ifu)) / FILE
    assert cube["fluxlimit_4600"] == pytest.approx(limit_at_4600(limits), rel=1e-6)
    assert 1e-18 < cube["fluxlimit_4600"] < 1e-16
    assert (table["objid"], table["ambtemp"], table["date"]) == ("DEXsp_0123", 9.25, 20190103)
    assert np.isnan(table["humidity"])


def test_flux_limits_of_an_earlier_run_are_not_in_the_index_if_lines_are_not_looked_for(released, tmp_path):
    options = ["--reduction", released.directory, "--shots", SHOT, "--no-limits", "--out", tmp_path / "index.fits"]
    index_cubes.main(index_cubes.build_parser().parse_args([str(word) for word in options]))
    (cube,) = read_index(tmp_path / "index.fits")
    assert np.isnan(cube["fluxlimit_4600"])


def test_a_cube_tells_by_its_mask_where_amplifiers_failed_and_what_has_no_value(released):
    cube = read_cube(released.cubes(SHOT) / f"dex_cube_{SHOTID}_106.fits")
    assert (cube.shotid, cube.ifuslot) == (SHOTID, "106")
    nothing = np.isnan(cube.flux)
    np.testing.assert_array_equal(nothing, np.isnan(cube.error))
    assert has(cube.mask[nothing], "MAIN").all()
    assert has(cube.mask[nothing], "BADAMP").all()
    filled = has(cube.mask, "BADAMP") & ~nothing  # by the other exposures
    assert filled.any(axis=(1, 2)).all()
    assert np.nanmax(cube.flux) < 100


def test_a_star_is_harvested_as_from_a_public_release(released, fibers, tmp_path):
    release = load_release("own")
    with Archive(str(released.release)) as archive:
        index = fetch_index(archive, release, tmp_path / "ifu-index.fits")
        x, y = (np.array([getattr(star, axis) for star in STARS]) for axis in "xy")
        ra, dec = fibers.pointing.to_sky(x + MIDDLE[0], y + MIDDLE[1])
        plan = make_plan(index, {"row": np.arange(2), "ra": ra, "dec": dec, "pix16": np.zeros(2, np.int64)})
        write_plan(plan, tmp_path, release, archive.root)
        targets = targets_of_cube(tmp_path / "plan_targets.npy", SHOTID, "106")
        assert len(targets) == 2
        wanted = WantedSpectra(content=cube_of_plan(tmp_path / "plan_cubes.npy", SHOTID, "106")["content"].decode())
        path, out = release.cube(SHOTID, "106"), tmp_path / "out.h5"
        result = extract_cube(archive, path, targets, out, wanted=wanted, scratch=tmp_path)
    assert (result.status, result.rows) == ("read", (0, 1))
    with h5py.File(out) as file:
        for k, star in enumerate(STARS):
            true = star.spectrum() / 2  # per Å
            known = file["spectrum_coverage"][k] > 0.95
            assert known.sum() > 400
            # 3.5″ have 98 % of the light; other exposures have another seeing, and circles edges that are masked.
            assert np.nanmedian((file["spectrum_flux"][k] / true)[known]) == pytest.approx(0.98, abs=0.04)


def test_a_shot_that_failed_and_an_ifu_without_fibers_have_no_cubes_but_reasons(tmp_path):
    layout = Layout(tmp_path)
    every = [(expnum, amp) for expnum in (1, 2, 3) for amp in ("LL", "LU", "RL", "RU")]
    files = write_shot(layout, with_quality(ifu_fibers(rows=6, columns=6, missing=every)))
    make(ShotFibers(*files), layout.cubes(SHOT), Cubes(), Flags(), SkyFaults())
    other = "20190103v018"
    with open_new(layout.of_shot("shots", other), other) as file:
        file.attrs.update(shot=other, failed="found 1 star; expected 4")
    failed = ShotFibers(*(layout.of_shot(step, other) for step in ("shots", "astrometry", "stars")))
    make(failed, layout.cubes(other), Cubes(), Flags(), SkyFaults())
    rows = [row for shot in (SHOT, other) for row in cubes_csv.read(layout.cubes(shot))]
    assert [(row.ifu, row.reason) for row in rows] == [
        ("020_106_055_0123", "none of its fibers has a value: planted"),
        ("", "found 1 star; expected 4"),
    ]
    assert [path.name for shot in (SHOT, other) for path in layout.cubes(shot).iterdir()] == [cubes_csv.NAME] * 2
    write_index(layout, [SHOT, other], layout.cube_index)
    assert len(read_index(layout.cube_index)) == 0


def test_the_table_keeps_what_it_is_given_and_an_index_is_of_cubes_that_are_there(tmp_path):
    layout = Layout(tmp_path)
    random = np.random.default_rng(1)
    rows = np.zeros(4, cubes_csv.INDEX)
    for name in rows.dtype.names:
        kind = rows.dtype[name].kind
        if kind == "f":
            rows[name] = random.normal(size=4)
        elif kind == "i":
            rows[name] = random.integers(1, 2**31, 4)
        else:
            rows[name] = [b"7", b"013", b"a,b", b"x"]
    rows["fluxlimit_4600"], rows["humidity"][1] = np.nan, np.nan
    rows["shotid"], rows["ifuslot"] = SHOTID, [b"106", b"034", b"105", b"013"]
    directory = layout.cubes(SHOT)
    directory.mkdir(parents=True)
    given = [cubes_csv.CubeRow(f"020_{k:03d}_055_0123", path=f"{k}.fits", values=row) for k, row in enumerate(rows)]
    cubes_csv.write(directory, [*given, cubes_csv.CubeRow("020_999_055_0123", "its amplifiers, all, failed")])
    found = cubes_csv.read(directory)
    for row, values in zip(found[:4], rows, strict=True):
        for name in rows.dtype.names:
            np.testing.assert_array_equal(row.values[name], values[name], err_msg=name)
    assert (found[4].reason, found[4].values) == ("its amplifiers, all, failed", None)
    with pytest.raises(MalformedFile, match=r"0\.fits: it is not there; remove the directory and run again"):
        write_index(layout, [SHOT], layout.cube_index)
    assert not layout.cube_index.exists()
    for k in range(4):
        (directory / f"{k}.fits").touch()
    write_index(layout, [SHOT], layout.cube_index)
    assert fitsio.read(str(layout.cube_index), 1)["ifuslot"].tolist() == ["013", "034", "105", "106"]
    with (directory / cubes_csv.NAME).open(newline="") as stream:
        assert next(csv.reader(stream))[:4] == ["ifu", "state", "reason", "path"]
    with pytest.raises(MalformedFile, match=r"cubes\.csv: it is not there"):
        write_index(layout, ["20190103v099"], layout.cube_index)
    assert Path(layout.cube_index).exists()
