"""What the toy survey says of itself: words, columns, addresses, and what is shown of it."""

from collections.abc import Mapping
from typing import Any

from skyharvest.harvest.shown import BrowserDescription, ReaderDescription, ReportDescription
from skyharvest.harvest.survey import Addresses, Survey
from skyharvest.surveys.toy.release import load_release


def addresses(section: Mapping[str, Any]) -> Addresses:
    """Return where the tables are."""
    release = load_release(section["release"])
    return release.root(section["archive"]), lambda pix16, _kind: release.table(int(pix16))


SURVEY = Survey(
    name="toy",
    title="Toy survey",
    unit="table",
    file="table",
    files="tables",
    product="spectra",
    unmatched="no_spectrum",
    near="n_within_report_radius",
    by_radius=True,
    unit_columns=("pix16",),
    group=lambda pix16: str(int(pix16) // 100),
    addresses=addresses,
    report=ReportDescription(nearest="spectrum"),
    browser=BrowserDescription(role="spectra", labels=("number",)),
    reader=ReaderDescription(
        axes={"wavelength": "wavelength"},
        dimensions=((r"spectrum_\w+", ("wavelength",)),),
        kinds={"spectrum": "enabled: true"},
        wavelength="wavelength",
    ),
)
