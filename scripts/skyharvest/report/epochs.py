"""The report's facts, figure and table of sources that were observed several times, as HETDEX's are."""

from datetime import UTC, datetime, timedelta

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

from skyharvest.core.arrays import Array
from skyharvest.report.columns import Columns
from skyharvest.report.harvested import Harvested
from skyharvest.report.page import Fact, Table, number, text
from skyharvest.report.style import BINS, MAIN, Drawing, new, nothing, whole_numbers

MJD_0 = datetime(1858, 11, 17, tzinfo=UTC)


def epoch_facts(harvest: Harvested) -> list[Fact]:
    """Return the numbers of observations and sources, and the seeing."""
    columns = harvest.columns
    if not columns.n:
        return []
    epochs, sources = epochs_of_groups(columns)
    facts = [
        ("observations (shots)", f"{len(np.unique(columns.values['shotid'])):,}"),
        ("sources", f"{int(sources.sum()):,}"),
        ("with more than one epoch", f"{int(sources[epochs > 1].sum()):,}"),
    ]
    fwhm = columns.values["fwhm_virus"]
    if np.isfinite(fwhm).any():
        facts.append(("median seeing (FWHM)", f"{np.nanmedian(fwhm):.2f}″"))
    return facts


def epochs_figure(harvest: Harvested) -> Drawing:
    """Draw how often sources were observed, and when."""
    columns = harvest.columns
    figure, axes = new(4.1, 2)
    if not columns.n:
        return nothing(figure, "no spectrum"), "No spectrum."
    epochs, sources = epochs_of_groups(columns)
    axes[0].bar(epochs, sources, 0.7, color=MAIN)
    axes[0].set(xlabel="observations with a spectrum", ylabel="sources", xlim=(0.4, max(epochs.max(), 3) + 0.6))
    axes[0].xaxis.set_major_locator(whole_numbers())
    axes[0].set_title("how often")
    mjd = columns.values["mjd"]
    nights = [date2num(MJD_0 + timedelta(days=float(day))) for day in mjd[np.isfinite(mjd)]]  # type: ignore[no-untyped-call]
    axes[1].hist(nights, BINS if len(set(nights)) > 1 else 1, color=MAIN)
    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    axes[1].xaxis.set_major_locator(locator)
    axes[1].xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]
    axes[1].set(ylabel="spectra")
    axes[1].set_title("when")
    for ax in axes:
        ax.yaxis.set_major_locator(whole_numbers())
    said = (
        f"Histograms: {sources.sum():,} sources, {sources[epochs > 1].sum():,} of them with more than one observation, "
        f"at most {epochs.max():,}; and the dates of the observations."
    )
    return figure, said


def fields_table(harvest: Harvested) -> list[Table]:
    """Return spectra by field."""
    of = harvest.columns.values
    lines = []
    for name in np.unique(of["field"]).tolist():
        here = of["field"] == name
        counts = [len(np.unique(of["shotid"][here])), len(np.unique(of["epoch_group"][here])), int(here.sum())]
        lines.append([text(name or "unknown"), *map(number, counts)])
    return [Table("Spectra by field", ["field", "shots", "sources", "spectra"], lines)] if lines else []


def epochs_of_groups(columns: Columns) -> tuple[Array, Array]:
    """Return numbers of epochs, and how many sources (groups of positions) have so many, (m,) each."""
    _, first = np.unique(columns.values["epoch_group"], return_index=True)
    return np.unique(columns.values["n_epochs"][first], return_counts=True)
