"""HETDEX: spectra around positions in data cubes, a cube for each shot and IFU."""

from collections.abc import Mapping
from typing import Any

from skyharvest.harvest.demo import DEMO
from skyharvest.harvest.plan import Kind, Unit
from skyharvest.harvest.survey import Addresses, Survey
from skyharvest.surveys.hetdex.release import load_release
from skyharvest.surveys.hetdex.shown import BROWSER, READER, REPORT


def addresses(section: Mapping[str, Any]) -> Addresses:
    """Return where the cubes are."""
    release = load_release(section["release"])

    def path(unit: Unit, _kind: Kind) -> str:
        shotid, _, ifuslot = str(unit).partition("_")
        return release.cube(int(shotid), ifuslot)

    return release.root_if_any(section["archive"]), path


FITS_DIRECTORY = "maps"
"""Beside the assembled file: the maps as FITS files, if they are asked for."""

SURVEY = Survey(
    name="hetdex",
    title="HETDEX",
    unit="cube",
    file="cube",
    files="cubes",
    product="spectra",
    unmatched="no_spectrum",
    near="n_cubes",
    unit_columns=("shotid", "ifuslot"),
    group=lambda cube: str(cube).partition("_")[0],
    choices=("fields", "min_flag"),
    index="ifu-index.fits",
    index_rule="fetch_hetdex_index",
    fetch_index="index:fetch_index",
    more_plan=("plan_cubes.npy", "urls.txt"),
    simulated=("simulate_hetdex", (f"{DEMO}/hetdex/truth.hdf5", f"{DEMO}/hetdex/ifu-index.fits")),
    addresses=addresses,
    report=REPORT,
    browser=BROWSER,
    reader=READER,
)
