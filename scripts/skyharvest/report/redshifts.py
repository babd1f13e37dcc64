"""The report's facts, figures and table of spectra with a class, a program and a redshift, as DESI's have."""

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from skyharvest.core.arrays import Array
from skyharvest.report.columns import Columns
from skyharvest.report.harvested import Harvested
from skyharvest.report.page import Fact, Table, number, text
from skyharvest.report.style import BINS, REST, SERIES, Drawing, new, nothing, whole_numbers

Axis = tuple[Array, str, bool]
"""Values, their label, and whether they are shown on a logarithmic scale."""

SPEED_OF_LIGHT = 299_792.458  # km/s
PANEL = 1.55  # inches
CLASSES = ("GALAXY", "QSO", "STAR")


def program_facts(harvest: Harvested) -> list[Fact]:
    """Return the number of spectra of each program, the largest first."""
    names, counts = np.unique(programs(harvest.columns), return_counts=True)
    in_order = sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda item: -item[1])
    return [(f"spectra, {name}", f"{n:,}") for name, n in in_order]


def warned_facts(harvest: Harvested) -> list[Fact]:
    """Return the number of spectra with a warning about their redshift, if redshifts were asked for."""
    if "z" not in harvest.columns.there:
        return []
    return [("spectra with ZWARN ≠ 0", f"{int(np.sum(harvest.columns.values['zwarn'] != 0)):,}")]


def redshifts_figure(harvest: Harvested) -> Drawing:
    """Draw redshifts without warning, by class and program; of stars, velocities."""
    columns = harvest.columns
    spectype, z = columns.values["spectype"], columns.values["z"]
    good = np.isfinite(z) & (columns.values["zwarn"] == 0)
    why = "no redshift without warning" if "z" in columns.there else "redshifts were not asked for"

    def axis_of(name: str) -> Axis:
        return (z * SPEED_OF_LIGHT, "c·z (km/s)", False) if name == "STAR" else (z, "redshift", False)

    of_class = ", ".join(f"{np.sum(spectype == name):,} {name}" for name in classes(spectype))
    said = f"Histograms of redshift by class and program: {of_class or 'no spectrum with a class'}."
    return _by_class(columns, good, axis_of, why), said


def signal_figure(harvest: Harvested) -> Drawing:
    """Draw the median signal-to-noise ratio per pixel of the r arm, by class and program."""
    columns = harvest.columns
    ratio = columns.values["median_coadd_snr_r"]
    good = np.isfinite(ratio) & (ratio > 0)
    why = "the files have no MEDIAN_COADD_SNR_R" if "median_coadd_snr_r" not in columns.there else "no spectrum"
    finite = ratio[np.isfinite(ratio)]
    said = "Histograms of the signal-to-noise ratio in the r arm by class and program" + (
        f"; the median is {np.median(finite):.2f} per pixel." if len(finite) else ": there is none."
    )
    return _by_class(columns, good, lambda _: (ratio, "median S/N per pixel of the r arm", True), why), said


def classes_table(harvest: Harvested) -> list[Table]:
    """Return spectra by class and program, with medians."""
    columns = harvest.columns
    of = columns.values
    program, ratio = programs(columns), of["median_coadd_snr_r"]
    lines = []
    for name in [*classes(of["spectype"]), ""]:
        for kind in np.unique(program).tolist():
            here = (of["spectype"] == name) & (program == kind)
            if not here.any():
                continue
            good = here & (of["zwarn"] == 0)
            z = float(np.median(of["z"][good])) if good.any() else np.nan
            snr = float(np.nanmedian(ratio[here])) if np.isfinite(ratio[here]).any() else np.nan
            lines.append(
                [
                    text(name or "not classified"),
                    text(kind),
                    number(int(here.sum())),
                    number(int(good.sum())),
                    number(z, f"{z:.4f}" if np.isfinite(z) else "–"),
                    number(snr, f"{snr:.2f}" if np.isfinite(snr) else "–"),
                ]
            )
    heads = ["class", "program", "spectra", "ZWARN = 0", "median z", "median S/N (r)"]
    return [Table("Spectra by class and program", heads, lines)] if lines else []


def classes(spectypes: Array) -> list[str]:
    """Return the classes that there are, galaxies first; "" is left out."""
    present = set(np.unique(spectypes).tolist()) - {""}
    return [name for name in CLASSES if name in present] + sorted(present.difference(CLASSES))


def programs(columns: Columns) -> Array:
    """Return each spectrum's program, (n,); with its survey, where there are several."""
    survey, program = columns.values["survey"], columns.values["program"]
    if len(np.unique(survey)) <= 1:
        return program
    return np.char.add(np.char.add(survey, "/"), program)


def _by_class(columns: Columns, good: Array, axis_of: Callable[[str], Axis], why: str) -> Figure:
    spectype, program = columns.values["spectype"], programs(columns)
    of_class = np.where(spectype == "", "not classified", spectype)
    shown = [name for name in classes(of_class) if np.any(good & (of_class == name))]
    kinds = sorted(np.unique(program[good]).tolist(), key=lambda kind: -np.sum(good & (program == kind)))
    figure, axes = new(0.45 + PANEL * max(len(shown), 1), max(len(shown), 1))
    for ax, name in zip(axes, shown, strict=False):
        here = good & (of_class == name)
        values, label, logarithmic = axis_of(name)
        edges = _edges(values[good if logarithmic else here], logarithmic)  # ratios are compared between classes
        stacked = [np.clip(values[here & (program == kind)], edges[0], edges[-1]) for kind in kinds]
        ax.hist(stacked, edges.tolist(), stacked=True, color=[*SERIES, *[REST] * len(kinds)][: len(kinds)], label=kinds)
        if logarithmic:
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set(xlim=(edges[0], edges[-1]), ylabel="spectra", xlabel=label)
        ax.set_title(f"{name}: {int(here.sum()):,}")
        ax.yaxis.set_major_locator(whole_numbers())
    if not shown:
        return nothing(figure, why)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=min(len(kinds), 4), columnspacing=1.0)
    return figure


def _edges(values: Array, logarithmic: bool) -> Array:
    """Return bins from the 0.2nd to the 99.8th percentile; what is outside is in the first and last one."""
    low, high = np.percentile(values, [0.2, 99.8])
    if logarithmic:
        low, high = (low, high) if high > low * 1.01 else (low / 2, high * 2)
        return np.geomspace(low, high, BINS + 1)
    low = min(low, 0.0) if low > -0.1 * high else low
    if not high > low:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, BINS + 1)
