"""The report's sections: numbers gathered from a run's files, drawn, and put into words and tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skyharvest.report.costs import costs
from skyharvest.report.desi import desi
from skyharvest.report.hetdex import hetdex
from skyharvest.report.legacysurvey import legacysurvey
from skyharvest.report.page import Section
from skyharvest.report.provenance import provenance
from skyharvest.report.style import styled
from skyharvest.report.survey import Harvested, read_harvest

OF_SURVEY = {"desi": desi, "hetdex": hetdex, "legacysurvey": legacysurvey}


def sections(
    results: Path,
    config: Mapping[str, Any],
    surveys: Sequence[str],
    versions: Mapping[str, str],
    about: tuple[str, str],
) -> tuple[list[Section], list[Harvested]]:
    """Return all sections, and what they were made from.

    Parameters
    ----------
    surveys
        Those to report on.
    about
        The configuration as YAML, and its digest.
    """
    harvests = [read_harvest(name, results, config) for name in surveys]
    with styled():
        made = [OF_SURVEY[one.name](one) for one in harvests]
        made.append(costs(harvests, results / "logs"))
    made.append(provenance(harvests, versions, *about))
    return made, harvests
