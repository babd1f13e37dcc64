"""DESI: spectra of fibers, co-added by NSIDE=64 pixel, survey and program."""

from collections.abc import Mapping
from typing import Any

from skyharvest.harvest.demo import DEMO, DEMO_CSV
from skyharvest.harvest.plan import Kind, Unit
from skyharvest.harvest.survey import Addresses, Survey
from skyharvest.surveys.desi.release import GLOBUS, load_release
from skyharvest.surveys.desi.shown import BROWSER, READER, REPORT


def addresses(section: Mapping[str, Any]) -> Addresses:
    """Return where the coadds are; what Globus copies is in a directory of this machine."""
    release = load_release(section["release"], archive=section["archive"])

    def path(unit: Unit, kind: Kind) -> str:
        return release.coadd(*kind, int(unit))

    if section["archive"] == GLOBUS:
        return section["globus"]["local"], path
    return release.root_if_any(section["archive"]), path


SURVEY = Survey(
    name="desi",
    title="DESI",
    unit="pixel",
    file="coadd",
    files="coadds",
    product="spectra",
    unmatched="no_fiber",
    empty="no_spectrum",
    near="n_within_report_radius",
    by_radius=True,
    unit_columns=("pix64",),
    kind_columns=("survey", "program"),
    group=lambda pix64: str(int(pix64) // 100),
    choices=("surveys", "programs"),
    index="tilepix.fits",
    index_rule="fetch_tilepix",
    fetch_index="plan:fetch_tilepix",
    copy=("globus_transfer", "globus_transfer.csv"),
    simulated=("simulate_release", (DEMO_CSV, f"{DEMO}/truth.hdf5", f"{DEMO}/spectro/redux/demo/healpix/tilepix.fits")),
    addresses=addresses,
    report=REPORT,
    browser=BROWSER,
    reader=READER,
)
