"""The report's section on HETDEX."""

import numpy as np

from skyharvest.report.columns import Columns
from skyharvest.report.histograms import draw_epochs, epochs_of_groups
from skyharvest.report.page import Section, Table, number, text
from skyharvest.report.survey import Harvested, common, missing, picture


def hetdex(harvest: Harvested) -> Section:
    """Return HETDEX's section."""
    section = common(harvest)
    columns = harvest.columns
    section.facts += [(f"cubes {state}", f"{n:,}") for state, n in harvest.summary["cubes"].items()]
    several = 0
    said = "No spectrum."
    if columns.n:
        epochs, sources = epochs_of_groups(columns)
        several = int(sources[epochs > 1].sum())
        said = (
            f"Histograms: {sources.sum():,} sources, {several:,} of them with more than one observation, at most "
            f"{epochs.max():,}; and the dates of the observations."
        )
        section.facts += [
            ("observations (shots)", f"{len(np.unique(columns.values['shotid'])):,}"),
            ("sources", f"{int(sources.sum()):,}"),
            ("with more than one epoch", f"{several:,}"),
        ]
        fwhm = columns.values["fwhm_virus"]
        if np.isfinite(fwhm).any():
            section.facts.append(("median seeing (FWHM)", f"{np.nanmedian(fwhm):.2f}″"))
    section.pictures.append(picture("hetdex", "epochs", draw_epochs(columns), said))
    section.tables = [*_fields(columns), *missing(harvest)]
    return section


def _fields(columns: Columns) -> list[Table]:
    """Return HETDEX's spectra by field."""
    of = columns.values
    lines = []
    for name in np.unique(of["field"]).tolist():
        here = of["field"] == name
        counts = [len(np.unique(of["shotid"][here])), len(np.unique(of["epoch_group"][here])), int(here.sum())]
        lines.append([text(name or "unknown"), *map(number, counts)])
    return [Table("Spectra by field", ["field", "shots", "sources", "spectra"], lines)] if lines else []
