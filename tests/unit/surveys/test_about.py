"""What the surveys say of themselves, each in its module ``about``."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from skyharvest.surveys import NAMES, SURVEYS, releases

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
HEAVY = {"numpy", "h5py", "healpy", "hpgeom", "pandas", "pyarrow", "astropy", "scipy", "pydantic", "snakemake"}


def test_every_survey_is_registered_under_its_own_name():
    assert [survey.name for survey in SURVEYS.values()] == list(SURVEYS) == list(NAMES)
    folder = SCRIPTS / "skyharvest/surveys"
    assert {path.parent.name for path in folder.glob("*/about.py")} == set(NAMES)


def test_a_description_needs_nothing_heavy():
    code = f"import sys, skyharvest.surveys; print(sorted(set(sys.modules) & {HEAVY}))"
    found = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_only_releases_of_enabled_surveys_are_asked_for():
    config = {name: {"enabled": name != "hetdex", "release": f"{name}1"} for name in NAMES}
    assert releases(config) == {"desi": "desi1", "legacysurvey": "legacysurvey1"}


@pytest.mark.parametrize(
    ("name", "columns", "row", "unit"),
    [
        ("desi", [("pix64", "i8")], (27258,), 27258),
        ("hetdex", [("shotid", "i8"), ("ifuslot", "S3")], (20190102009, b"034"), "20190102009_034"),
        ("legacysurvey", [("region", "S5"), ("brickname", "S8")], (b"south", b"1234p567"), "south_1234p567"),
    ],
)
def test_a_row_of_the_plan_s_targets_names_its_unit(name, columns, row, unit):
    assert SURVEYS[name].units(np.array([row, row], columns)).tolist() == [unit, unit]


@pytest.mark.parametrize(
    ("name", "section", "unit", "kind", "address"),
    [
        (
            "desi",
            {"release": "dr1", "archive": "/data"},
            27258,
            ("main", "dark"),
            ("/data", "spectro/redux/iron/healpix/main/dark/272/27258/coadd-main-dark-27258.fits"),
        ),
        (
            "desi",
            {"release": "dr1", "archive": "globus", "globus": {"local": "/copied"}},
            27258,
            ("sv3", "bright"),
            ("/copied", "spectro/redux/iron/healpix/sv3/bright/272/27258/coadd-sv3-bright-27258.fits"),
        ),
        (
            "hetdex",
            {"release": "pdr1", "archive": "/data"},
            "20190102009_034",
            ("hetdex", "cube"),
            ("/data", "datacubes/20190102009/dex_cube_20190102009_034.fits"),
        ),
        (
            "legacysurvey",
            {"release": "dr10", "archive": "/data"},
            "south_1234p567",
            ("legacysurvey", "brick"),
            ("/data", "dr10/south/coadd/123/1234p567"),
        ),
    ],
)
def test_the_address_of_a_file_is_formed_from_the_configuration(name, section, unit, kind, address):
    root, path = SURVEYS[name].addresses(section)
    assert (root, path(unit, kind)) == address


@pytest.mark.parametrize(("name", "release"), [("desi", "demo"), ("hetdex", "demohetdex")])
def test_an_archive_that_the_release_has_not_is_no_root(name, release):
    root, path = SURVEYS[name].addresses({"release": release, "archive": "https"})
    assert root == ""
    assert path(1 if name == "desi" else "20190102009_034", ("main", "dark"))
