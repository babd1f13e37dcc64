"""What a run that has ended moves aside, and what it leaves."""

import csv
from pathlib import Path

import h5py
import pytest
from astropy.io import fits

from skyharvest.config.load import validate
from skyharvest.harvest.manifest import Manifest, write_manifest
from skyharvest.harvest.origin import Origin
from skyharvest.run.superseded import show, supersede
from skyharvest.surveys import NAMES, SURVEYS, load_harvests

NOW, OLD = "a" * 64, "b" * 64
HASHES = dict.fromkeys(NAMES, "now")


def settings(results: Path, **enabled: bool) -> dict:
    sections = {name: {"enabled": enabled.get(name, True), "archive": str(results)} for name in NAMES}
    return validate({"targets": {"csv": "x.csv"}, "results": str(results), **sections})


@pytest.fixture
def results(tmp_path):
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def everything(results: Path) -> set[Path]:
    """Return all paths below the results, of what was moved those that it had."""
    paths = (path.relative_to(results) for path in results.rglob("*"))
    return {Path(*path.parts[2:]) if path.parts[0] == "superseded" else path for path in paths}


def moved(results: Path, **enabled: bool) -> set[str]:
    """Return what is moved, without the directory of the time; all else must be as it was."""
    before = everything(results)
    harvests = load_harvests(settings(results, **enabled), lambda _: "")
    found = supersede(results, harvests, NOW, HASHES)
    if found:
        assert str(len(found)) in show(results, found)
        with (results / "superseded/moved.csv").open(newline="") as stream:
            lines = list(csv.DictReader(stream))
        assert all((results / line["path"]).exists() for line in lines)
    assert before <= everything(results), "nothing is lost"
    return {str(one.path) for one in found}


def ended(results: Path, survey: str, *pixels: int, csv_sha256: str = NOW, config_hash: str = "now") -> None:
    """Write what a run leaves of a survey."""
    for pixel in pixels:
        assembled(results, survey, pixel, csv_sha256, config_hash)
    manifest = Manifest(survey, "dr1", csv_sha256, config_hash, 9, dict.fromkeys(pixels, 1))
    write_manifest(manifest, results / survey / "manifest.json")


def assembled(results: Path, survey: str, pixel: int, csv_sha256: str = NOW, config_hash: str = "now") -> Path:
    path = SURVEYS[survey].crossmatch(results / f"{survey}_crossmatches", pixel)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_hdf5(path, csv_sha256, config_hash)
    return path


def write_hdf5(path: Path, csv_sha256: str, config_hash: str = "now") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs.update({"csv_sha256": csv_sha256, "config_hash": config_hash})


def write_fits(path: Path, csv_sha256: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(header=fits.Header({"CSVSHA": csv_sha256, "CONFHASH": "now"})).writeto(path)


def write_page(path: Path, csv_sha256: str, **hashes: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(Origin(csv_sha256, hashes).meta())


def test_pixels_that_a_run_did_not_search_and_files_that_it_did_not_make(results):
    ended(results, "desi", 5)
    ended(results, "legacysurvey", 5)
    assembled(results, "desi", 6)
    for name in ("contact_sheet.png", "maps.fits", ".crossmatch.tmp"):
        (results / "legacysurvey_crossmatches/healpix=5" / name).touch()
    (results / "desi_crossmatches/notes").mkdir()
    expected = {"desi_crossmatches/healpix=6", "legacysurvey_crossmatches/healpix=5/maps.fits"}
    assert moved(results) == expected
    assert moved(results) == set()


def test_a_survey_that_is_not_asked_for_stays_as_long_as_its_rows_are_those_of_the_csv(results):
    ended(results, "desi", 5)
    ended(results, "hetdex", 5, config_hash="of another time")
    assert moved(results, hetdex=False) == set()
    ended(results, "hetdex", 5, csv_sha256=OLD)
    (results / "hetdex/plan.csv").touch()
    assert moved(results, hetdex=False) == {"hetdex_crossmatches", "hetdex/manifest.json"}


def test_of_a_survey_whose_run_did_not_end_what_is_of_another_csv_goes(results):
    ended(results, "desi", 5)
    assembled(results, "hetdex", 5)
    assembled(results, "hetdex", 6, csv_sha256=OLD)
    assembled(results, "hetdex", 7).write_bytes(b"torn")
    assert moved(results, hetdex=False) == {"hetdex_crossmatches/healpix=6", "hetdex_crossmatches/healpix=7"}


@pytest.mark.parametrize(("csv_sha256", "config_hash"), [(OLD, "now"), (NOW, "before")])
def test_without_a_run_to_the_end_of_this_csv_and_these_settings_nothing_is_judged(results, csv_sha256, config_hash):
    ended(results, "desi", 5, csv_sha256=csv_sha256, config_hash=config_hash)
    assembled(results, "desi", 6)
    write_page(results / "report/healpix=5.html", NOW, desi="now")
    write_fits(results / "export_fits/healpix=5/coadd-5.fits", NOW)
    assert moved(results) == set()


def test_products_are_judged_file_by_file(results):
    ended(results, "desi", 5, 6)
    ended(results, "hetdex", 5)
    for name, sha in (("coadd-5", NOW), ("redrock-5", OLD)):
        write_fits(results / f"export_fits/healpix=5/{name}.fits", sha)
    for name in ("coadd-6", "redrock-6"):
        write_fits(results / f"export_fits/healpix=6/{name}.fits", OLD)
    write_hdf5(results / "export_mmu/healpix=5/001-of-001.hdf5", NOW)
    write_hdf5(results / "export_mmu/healpix=6/001-of-001.hdf5", NOW, "before")
    write_hdf5(results / "hetdex/catalogue.hdf5", OLD)
    for name, sha in (("a", NOW), ("b", OLD)):
        properties = results / f"export_hats{'' if name == 'b' else '_of_mine'}/desi/hats.properties"
        properties.parent.mkdir(parents=True)
        properties.write_text(f"skyharvest_csv_sha256={sha}\nskyharvest_config_hash=now\n")
    assert moved(results) == {
        "export_fits/healpix=5/redrock-5.fits",
        "export_fits/healpix=6",
        "export_mmu/healpix=6",
        "hetdex/catalogue.hdf5",
        "export_hats",
    }


def test_pages_go_with_what_lies_beside_them(results):
    ended(results, "desi", 5, 6, 7)
    ended(results, "hetdex", 5, config_hash="before")  # its run with these settings has not ended
    write_page(results / "report/healpix=5.html", NOW, desi="now", hetdex="now")
    write_page(results / "report/healpix=6.html", NOW, desi="now")
    write_page(results / "report/healpix=7.html", NOW, desi="before")
    (results / "report/healpix=8.html").write_text("of an earlier version")
    write_page(results / "report/index.html", OLD, desi="now")
    for name in ("healpix=6", "healpix=7", "figures", "assets"):
        (results / "report" / name).mkdir()
    names = ("healpix=7", "healpix=7.html", "healpix=8.html", "index.html", "figures")
    assert moved(results) == {f"report/{name}" for name in names}


def test_a_surveys_directory_may_be_a_link(results, tmp_path):
    ended(results, "desi", 5)
    elsewhere = tmp_path / "another disk"
    elsewhere.mkdir()
    (results / "hetdex_crossmatches").symlink_to(elsewhere)
    ended(results, "hetdex", 5)
    assembled(results, "hetdex", 6)
    assert moved(results) == {"hetdex_crossmatches/healpix=6"}
    assert [path.name for path in elsewhere.iterdir()] == ["healpix=5"]
