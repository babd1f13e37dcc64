"""The report's sections: numbers gathered from a run's files, drawn, and put into words and tables.

A survey's description (`skyharvest.harvest.shown.ReportDescription`) names what its section shows; each name stands in
one of the four tables here for the function that makes it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from skyharvest.report import common, cutouts, epochs, redshifts
from skyharvest.report.check import check_sections
from skyharvest.report.harvested import Harvested, read_harvest
from skyharvest.report.page import Fact, Picture, Section, Table
from skyharvest.report.run_sections import costs, provenance
from skyharvest.report.style import Drawing, styled, svg_picture

FACTS: dict[str, Callable[[Harvested], list[Fact]]] = {
    "bricks": cutouts.brick_facts,
    "epochs": epochs.epoch_facts,
    "files": common.file_facts,
    "programs": redshifts.program_facts,
    "warned": redshifts.warned_facts,
}
FIGURES: dict[str, Callable[[Harvested], Drawing]] = {
    "bands": cutouts.bands_figure,
    "distances": common.distances_figure,
    "epochs": epochs.epochs_figure,
    "magnitudes": cutouts.magnitudes_figure,
    "pixels": common.pixels_figure,
    "redshifts": redshifts.redshifts_figure,
    "separations": common.distances_figure,
    "signal": redshifts.signal_figure,
    "sky": common.sky_figure,
    "steps": common.steps_figure,
}
PICTURES: dict[str, Callable[[Harvested], list[Picture]]] = {"contact_sheet": cutouts.contact_sheet}
TABLES: dict[str, Callable[[Harvested], list[Table]]] = {
    "classes": redshifts.classes_table,
    "fields": epochs.fields_table,
    "missing": common.missing_table,
    "pixels": common.pixels_table,
}


def survey_section(harvest: Harvested) -> Section:
    """Return the section of a survey."""
    name, shown = harvest.name, harvest.survey.report
    return Section(
        name,
        harvest.title,
        facts=[*common.first_facts(harvest), *(fact for key in shown.facts for fact in FACTS[key](harvest))],
        warnings=common.warnings(harvest),
        pictures=[
            *(svg_picture(name, kind, *FIGURES[kind](harvest)) for kind in shown.figures),
            *(picture for kind in shown.pictures for picture in PICTURES[kind](harvest)),
        ],
        tables=[table for key in shown.tables for table in TABLES[key](harvest)],
    )


def sections(
    results: Path,
    config: Mapping[str, Any],
    surveys: Sequence[str],
    versions: Mapping[str, str],
    about: tuple[str, Mapping[str, str]],
) -> tuple[list[Section], list[Harvested]]:
    """Return all sections, and what they were made from; ``about``: the configuration as YAML, and its digests."""
    harvests = [read_harvest(name, results, config) for name in surveys]
    with styled():
        drawn = [*(survey_section(harvest) for harvest in harvests), costs(harvests, results)]
    return [*drawn, *check_sections(results), provenance(harvests, versions, *about)], harvests
