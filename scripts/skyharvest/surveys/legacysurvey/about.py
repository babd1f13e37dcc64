"""The DESI Legacy Imaging Surveys: cutouts of images, which are divided into bricks of the sky."""

from collections.abc import Mapping
from typing import Any

from skyharvest.harvest.demo import DEMO
from skyharvest.harvest.plan import Kind, Unit
from skyharvest.harvest.survey import Addresses, Survey
from skyharvest.surveys.legacysurvey.release import load_release
from skyharvest.surveys.legacysurvey.shown import BROWSER, READER, REPORT


def addresses(section: Mapping[str, Any]) -> Addresses:
    """Return where the bricks' directories are."""
    release = load_release(section["release"])

    def directory(unit: Unit, _kind: Kind) -> str:
        region, _, brickname = str(unit).partition("_")
        return release.checksums(region, brickname).rpartition("/")[0]

    return release.root_if_any(section["archive"]), directory


CONTACT_SHEET = "contact_sheet.png"
"""Beside the assembled file: a picture of all its cutouts, if that is asked for."""

SURVEY = Survey(
    name="legacysurvey",
    title="Legacy Surveys",
    unit="brick",
    file="brick",
    files="files",
    product="images",
    unmatched="no_image",
    near="n_bands",
    more_columns=("n_without_maskbits",),
    unit_columns=("region", "brickname"),
    group=lambda brick: str(brick).partition("_")[2][:3],
    choices=("bands",),
    index="bricks.npy",
    index_rule="fetch_legacysurvey_bricks",
    fetch_index="bricks:fetch_bricks",
    more_plan=("plan_bricks.npy", "urls.txt"),
    simulated=(
        "simulate_legacysurvey",
        (
            f"{DEMO}/legacysurvey/truth.hdf5",
            f"{DEMO}/legacysurvey/north/survey-bricks-demo-north.fits.gz",
            f"{DEMO}/legacysurvey/south/survey-bricks-demo-south.fits.gz",
        ),
    ),
    addresses=addresses,
    report=REPORT,
    browser=BROWSER,
    reader=READER,
)
