"""Redshifts, tiles and exposures of a production as a whole, in the form of a public release."""

import csv

import fitsio
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skyharvest.core.errors import MalformedFile
from skyharvest.database.catalogues import load_catalogues
from skyharvest.database.connection import Database
from skyharvest.database.files import catalogue_files
from skyharvest.reduction.desi import exposure_healpix
from skyharvest.reduction.desi.exposure_files import write_exposures
from skyharvest.reduction.desi.exposure_healpix import ExposurePixel, read_healpix, write_healpix
from skyharvest.reduction.desi.layout import Layout
from skyharvest.reduction.desi.zcatalog import write_zcatalog
from skyharvest.simulate.desi import catalogues
from skyharvest.simulate.desi.coadd import write_redrock
from small_production import NIGHT, PIXELS, ROWS, production, row
from small_release import simulated

SPARE = {"EBVFAC": 10 ** (2.165 * 0.05 / 2.5), "AIRMASS": 1.25, "GOALTIME": 900.0, "GOALTYPE": "dark"}


def read(path, hdu):
    return fitsio.read(str(path), ext=hdu)


@pytest.fixture
def made(tmp_path):
    """A production with redshifts in one of two pixels, twice of a target; an exposure lacks a frame."""
    rows = [one | SPARE if one["EXPID"] == 5 else one for one in ROWS]
    rows[4:6] = [
        one | {"SURVEY": "main", "FAPRGRM": "dark", "EXPTIME": 450.0, "MJD-OBS": 60690.25} for one in rows[4:6]
    ]
    rows.append(row(8, "science", SURVEY="sv3", FAPRGRM="bright", TILEID=2))
    of_sv3 = tuple(one.__class__(NIGHT, 8, 2, "sv3", "bright", 0, 9712, 5) for one in PIXELS[:1])
    made = production(tmp_path, tuple(rows), PIXELS + of_sv3)
    layout = Layout(made.directory)
    pixels = {("main", "dark", 9712): 1, ("sv3", "bright", 9712): 2}
    for (survey, program, pix64), seed in pixels.items():
        coadd = simulated(5, program, pix64, seed=seed, targetid=[11, 12, 13, 14, 15 + seed])
        path = layout.healpix("redrock", survey, program, pix64)
        path.parent.mkdir(parents=True)
        write_redrock(path, coadd)
    frames = [(5, "b0"), (5, "r0"), (5, "z0"), (6, "b0"), (8, "b0"), (3, "b0")]
    for expid, camera in frames:
        path = layout.exposure("cframe", NIGHT, expid, camera)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return made


def test_redshifts_have_the_columns_of_dr1_and_the_values_of_redrock(made):
    layout = Layout(made.directory)
    assert write_zcatalog(made) == 10
    rows = read(layout.redshifts(), "ZCATALOG")
    # Of another list of the same data model; targeting masks are those of the surveys that there are.
    wanted = [name for name in catalogues.ZPIX.names if "SV1" not in name]
    with fitsio.FITS(str(layout.redshifts())) as file:
        kinds = file["ZCATALOG"].get_rec_dtype()[0]
    assert {name: kinds[name].newbyteorder("=") for name in wanted} == {name: catalogues.ZPIX[name] for name in wanted}
    for survey, program in (("main", "dark"), ("sv3", "bright")):
        own = rows[rows["SURVEY"] == survey]
        path = layout.healpix("redrock", survey, program, 9712)
        redshifts, fibers, tsnr2 = (read(path, name) for name in ("REDSHIFTS", "FIBERMAP", "TSNR2"))
        for name in ("TARGETID", "Z", "ZWARN", "SPECTYPE", "CHI2"):
            assert_array_equal(own[name], redshifts[name])
        assert_array_equal(own["COEFF"][:, : redshifts["COEFF"].shape[1]], redshifts["COEFF"])
        for name in ("TARGET_RA", "FLUX_R", "COADD_EXPTIME", "DESI_TARGET"):
            assert_array_equal(own[name], fibers[name])
        assert_array_equal(own["TSNR2_LRG"], tsnr2["TSNR2_LRG"])
        assert set(own["HEALPIX"]) == set(own["SPGRPVAL"]) == {9712}
        assert set(own["PROGRAM"]) == {program}


def test_the_primary_spectrum_is_the_best_of_a_target(made):
    write_zcatalog(made)
    rows = read(Layout(made.directory).redshifts(), "ZCATALOG")
    for targetid in np.unique(rows["TARGETID"]):
        own = rows[rows["TARGETID"] == targetid]
        best = min(own, key=lambda one: (one["ZWARN"] != 0, -one["TSNR2_LRG"]))
        assert own["ZCAT_PRIMARY"].tolist() == [one["Z"] == best["Z"] for one in own]
        assert set(own["ZCAT_NSPEC"]) == {len(own)}
        in_sv = own["SURVEY"] == "sv3"
        assert own["SV_NSPEC"].tolist() == in_sv.astype(int).tolist()
        assert_array_equal(own["MAIN_PRIMARY"], ~in_sv)


def test_targets_are_there_for_each_tile(made):
    write_zcatalog(made)
    layout = Layout(made.directory)
    rows = read(layout.targets(), "TARGETPHOT")
    expected = set()
    for survey, program in (("main", "dark"), ("sv3", "bright")):
        seen = read(layout.healpix("redrock", survey, program, 9712), "EXP_FIBERMAP")
        expected |= {(survey, *pair) for pair in seen[["TARGETID", "TILEID"]].tolist()}
    found = zip(rows["SURVEY"].astype(str), rows["TARGETID"].tolist(), rows["TILEID"].tolist(), strict=True)
    assert set(found) == expected
    assert len(rows) == len(expected)


def test_exposures_and_tiles_are_those_with_calibrated_frames(made):
    layout = Layout(made.directory)
    assert write_exposures(made) == (2, 3, 5)
    exposures, frames = (read(layout.exposures(), name) for name in ("EXPOSURES", "FRAMES"))
    assert exposures["EXPID"].tolist() == [5, 6, 8]
    assert [*zip(frames["EXPID"], frames["CAMERA"], strict=True)] == [
        *((5, "b0"), (5, "r0"), (5, "z0"), (6, "b0"), (8, "b0"))
    ]
    first, second = exposures[0], exposures[1]
    assert (first["MJD"], first["GOALTYPE"], second["GOALTYPE"]) == (60690.25, "dark", "")
    assert first["EBV"] == pytest.approx(0.05)
    assert np.isnan([first["EFFTIME_SPEC"], second["AIRMASS"], second["GOALTIME"], second["EBV"]]).all()
    first = read(layout.tiles(), "TILE_COMPLETENESS")[0]
    assert (first["TILEID"], first["SURVEY"], first["NEXP"], first["EXPTIME"]) == (1, "main", 2, 900.0)
    with layout.tiles().with_suffix(".csv").open(newline="") as lines:
        assert [line["TILEID"] for line in csv.DictReader(lines)] == ["1", "2"]
    for path, name, wanted in (
        (layout.tiles(), "TILE_COMPLETENESS", catalogues.TILE),
        (layout.exposures(), "EXPOSURES", catalogues.EXPOSURE),
        (layout.exposures(), "FRAMES", catalogues.FRAME),
    ):
        kinds = fitsio.read(str(path), ext=name).dtype
        # Of texts the data model says how long the longest is.
        assert {one: kinds[one].newbyteorder("=") for one in wanted.names if wanted[one].kind != "S"} == {
            one: wanted[one] for one in wanted.names if wanted[one].kind != "S"
        }


def test_a_redrock_file_of_other_targets_is_named(made):
    path = Layout(made.directory).healpix("redrock", "main", "dark", 9712)
    with fitsio.FITS(str(path), "rw") as file:
        fibers = file["FIBERMAP"].read()
        fibers["TARGETID"] = fibers["TARGETID"][::-1]
        file["FIBERMAP"].write(fibers)
    with pytest.raises(MalformedFile, match=r"FIBERMAP and REDSHIFTS are not of the same targets"):
        write_zcatalog(made)
    assert not Layout(made.directory).redshifts().exists()


def test_without_tsnr2_the_longest_exposure_is_the_best_and_nothing_makes_empty_tables(made):
    layout = Layout(made.directory)
    for survey, program in (("main", "dark"), ("sv3", "bright")):
        path = layout.healpix("redrock", survey, program, 9712)
        tables = {name: read(path, name) for name in ("REDSHIFTS", "FIBERMAP", "EXP_FIBERMAP")}
        tables["REDSHIFTS"]["ZWARN"] = 0
        tables["FIBERMAP"]["COADD_EXPTIME"] = 100 if survey == "main" else 200
        catalogues.write_tables(path, [*tables.items(), ("TSNR2", tables["REDSHIFTS"][["TARGETID"]])])
    write_zcatalog(made)
    rows = read(layout.redshifts(), "ZCATALOG")
    twice = rows[rows["ZCAT_NSPEC"] == 2]
    assert len(twice) == 8
    assert_array_equal(twice["ZCAT_PRIMARY"], twice["SURVEY"] == "sv3")
    assert np.isnan(rows["TSNR2_LRG"]).all()
    for path in layout.production.glob("healpix/*/*/*/*/redrock-*"):
        path.unlink()
    assert write_zcatalog(made) == 0
    assert len(read(layout.redshifts(), "ZCATALOG")) == 0


def test_long_names_of_programs_are_not_cut(made):
    layout, long = Layout(made.directory), ("main", "bright1b", 9712)
    path = exposure_healpix.path_of(made.directory, NIGHT)
    write_healpix(path, [*read_healpix(path), ExposurePixel(NIGHT, 6, 1, *long[:2], 0, 9712, 5)])
    layout.healpix("redrock", *long).parent.mkdir(parents=True)
    write_redrock(layout.healpix("redrock", *long), simulated(5, "dark", 9712, seed=7, targetid=[21, 22, 23, 24, 25]))
    write_zcatalog(production_again(made))
    for table, hdu in ((layout.redshifts(), "ZCATALOG"), (layout.targets(), "TARGETPHOT")):
        assert set(np.char.strip(read(table, hdu)["PROGRAM"].astype(str))) == {"dark", "bright", "bright1b"}


def production_again(made):
    return made.__class__(made.directory, made.settings)


def test_a_production_without_redshifts_is_loaded_with_its_exposures(made, tmp_path):
    for path in made.directory.rglob("redrock-*"):
        path.unlink()
    write_zcatalog(made)
    write_exposures(made)
    database = Database(path=tmp_path / "database")
    loaded = load_catalogues(database, "small", catalogue_files(made.directory))
    assert loaded["zpix"] == 0
    assert loaded["exposure"] > 0
