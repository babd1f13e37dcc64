"""The report's figures of what was found: redshifts, signal, HETDEX's epochs, the Legacy Surveys' bands."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from skyharvest.report.columns import Columns
from skyharvest.report.figures import nothing
from skyharvest.report.style import LOST, MAIN, REST, SERIES, new, whole_numbers

Array = npt.NDArray[Any]

SPEED_OF_LIGHT = 299_792.458  # km/s
BINS = 36
PANEL = 1.55  # inches
CLASSES = ("GALAXY", "QSO", "STAR")
MJD_0 = datetime(1858, 11, 17, tzinfo=UTC)


def classes(spectypes: Array) -> list[str]:
    """Return the classes that there are, galaxies first; "" is left out."""
    found = set(np.unique(spectypes).tolist()) - {""}
    return [name for name in CLASSES if name in found] + sorted(found.difference(CLASSES))


def programs(columns: Columns) -> Array:
    """Return each spectrum's program, (n,); with its survey, where there are several."""
    survey, program = columns.values["survey"], columns.values["program"]
    if len(np.unique(survey)) <= 1:
        return program
    return np.char.add(np.char.add(survey, "/"), program)


def draw_redshifts(columns: Columns) -> Figure:
    """Draw redshifts without warning, by class and program; of stars, velocities."""
    z = columns.values["z"]
    good = np.isfinite(z) & (columns.values["zwarn"] == 0)
    why = "no redshift without warning" if "z" in columns.there else "redshifts were not asked for"

    def scaled(name: str) -> tuple[Array, str, bool]:
        if name == "STAR":
            return z * SPEED_OF_LIGHT, "c·z (km/s)", False
        return z, "redshift", False

    return _by_class(columns, good, scaled, why)


def draw_signal(columns: Columns) -> Figure:
    """Draw the median signal-to-noise ratio per pixel of the r arm, by class and program."""
    ratio = columns.values["median_coadd_snr_r"]
    good = np.isfinite(ratio) & (ratio > 0)
    why = "the files have no MEDIAN_COADD_SNR_R" if "median_coadd_snr_r" not in columns.there else "no spectrum"
    return _by_class(columns, good, lambda _: (ratio, "median S/N per pixel of the r arm", True), why)


def _by_class(columns: Columns, good: Array, scaled: Any, why: str) -> Figure:
    spectype, program = columns.values["spectype"], programs(columns)
    of_class = np.where(spectype == "", "not classified", spectype)
    shown = [name for name in classes(of_class) if np.any(good & (of_class == name))]
    kinds = sorted(np.unique(program[good]).tolist(), key=lambda kind: -np.sum(good & (program == kind)))
    figure, axes = new(0.45 + PANEL * max(len(shown), 1), max(len(shown), 1))
    for ax, name in zip(axes, shown, strict=False):
        here = good & (of_class == name)
        values, label, logarithmic = scaled(name)
        edges = _edges(values[good if logarithmic else here], logarithmic)  # ratios are compared between classes
        stacked = [np.clip(values[here & (program == kind)], edges[0], edges[-1]) for kind in kinds]
        ax.hist(stacked, edges.tolist(), stacked=True, color=_colours(len(kinds)), label=kinds)
        if logarithmic:
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set(xlim=(edges[0], edges[-1]), ylabel="spectra", xlabel=label)
        ax.set_title(f"{name}: {int(here.sum()):,}")
        _whole(ax)
    if shown:
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=min(len(kinds), 4), columnspacing=1.0)
    else:
        nothing(axes[0], why)
        axes[0].set_axis_off()
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


def _colours(n: int) -> list[str]:
    return [SERIES[k] if k < len(SERIES) else REST for k in range(n)]


def _whole(axes: Axes) -> None:
    """Keep the ticks of a count at whole numbers."""
    axes.yaxis.set_major_locator(whole_numbers())


def epochs_of_groups(columns: Columns) -> tuple[Array, Array]:
    """Return numbers of epochs, and how many sources (groups of positions) have so many, (m,) each."""
    _, first = np.unique(columns.values["epoch_group"], return_index=True)
    return np.unique(columns.values["n_epochs"][first], return_counts=True)


def draw_epochs(columns: Columns) -> Figure:
    """Draw how often sources were observed, and when."""
    figure, axes = new(4.1, 2)
    if columns.n == 0:
        for ax in axes:
            ax.set_axis_off()
        nothing(axes[0], "no spectrum")
        return figure
    number, sources = epochs_of_groups(columns)
    axes[0].bar(number, sources, 0.7, color=MAIN)
    axes[0].set(xlabel="observations with a spectrum", ylabel="sources", xlim=(0.4, max(number.max(), 3) + 0.6))
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
        _whole(ax)
    return figure


def shares(coverage: Array) -> Array:
    """Return the share of cutouts, (band, 3), that a band covers wholly, in part, and not at all.

    Parameters
    ----------
    coverage
        (n, band), the share of each cutout's pixels that have data.
    """
    known = np.nan_to_num(np.asarray(coverage, float))
    whole, none = known > 0.999, known <= 0
    return np.stack([whole.mean(axis=0), (~whole & ~none).mean(axis=0), none.mean(axis=0)], axis=1)


def draw_bands(bands: Sequence[str], coverage: Array) -> Figure:
    """Draw which bands cover the cutouts."""
    figure, (axes,) = new(0.9 + 0.36 * max(len(bands), 2))
    if len(bands) == 0 or len(coverage) == 0:
        axes.set_axis_off()
        nothing(axes, "no cutout")
        return figure
    left = np.zeros(len(bands))
    for share, colour, label in zip(
        shares(coverage).T, (MAIN, LOST, REST), ("whole cutout", "part of it", "nothing"), strict=True
    ):
        axes.barh(range(len(bands)), share * 100, 0.68, left=left, color=colour, label=label)
        left += share * 100
    axes.set_yticks(range(len(bands)), list(bands))
    axes.invert_yaxis()
    axes.set(xlabel="cutouts with data (%)", ylabel="band", xlim=(0, 100))
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside upper left", ncols=3, columnspacing=1.0)
    return figure


def nearest_radius(radii: Array, wanted: float = 2.0) -> int:
    """Return the index of the aperture whose radius (arcsec) is nearest to one."""
    return int(np.argmin(np.abs(np.asarray(radii, float) - wanted)))


def draw_magnitudes(bands: Sequence[str], magnitude: Array, radius: float) -> Figure:
    """Draw magnitudes in one aperture, band by band, on one scale.

    Parameters
    ----------
    magnitude
        (n, band), AB.
    radius
        Of the aperture, arcsec.
    """
    figure, axes = new(0.3 + 1.15 * max(len(bands), 1), max(len(bands), 1), sharex=True)
    known = magnitude[np.isfinite(magnitude)]
    if len(known) == 0:
        for ax in axes:
            ax.set_axis_off()
        nothing(axes[0], "no magnitude")
        return figure
    low, high = np.percentile(known, [0.2, 99.8])
    edges = np.linspace(low - 0.2, high + 0.2, BINS + 1)
    for k, (ax, band) in enumerate(zip(axes, bands, strict=True)):
        values = magnitude[:, k][np.isfinite(magnitude[:, k])]
        ax.hist(np.clip(values, edges[0], edges[-1]), edges.tolist(), color=SERIES[k % len(SERIES)])
        ax.set_title(f"{band}: {len(values):,}")
        _whole(ax)
    axes[-1].set(xlabel=f"AB magnitude within {radius:g}″")
    return figure
