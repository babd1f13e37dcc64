"""The report's section on DESI."""

import numpy as np

from skyharvest.report.columns import Columns
from skyharvest.report.figures import draw_separations
from skyharvest.report.histograms import classes, draw_redshifts, draw_signal, programs
from skyharvest.report.page import Section, Table, number, text
from skyharvest.report.survey import Harvested, common, missing, picture, pixel_picture, pixel_table


def desi(harvest: Harvested) -> Section:
    """Return DESI's section."""
    section = common(harvest)
    columns, rows = harvest.columns, harvest.rows
    match = harvest.config["match"]
    radius, farthest = match["radius_arcsec"], match["report_radius_arcsec"]
    by_program = {kind: int(np.sum(programs(columns) == kind)) for kind in np.unique(programs(columns)).tolist()}
    section.facts += [
        *((f"spectra, {kind}", f"{n:,}") for kind, n in sorted(by_program.items(), key=lambda item: -item[1])),
        ("coadds read", f"{harvest.summary['coadds']['read']:,}"),
        ("coadds absent", f"{harvest.summary['coadds']['absent']:,}"),
    ]
    if "z" in columns.there:
        warned = int(np.sum(columns.values["zwarn"] != 0))
        section.facts.append(("spectra with ZWARN ≠ 0", f"{warned:,}"))
    near = rows.nearest_arcsec[np.isfinite(rows.nearest_arcsec)]
    said = (
        f"Histogram: {np.sum(near <= radius):,} rows have a fiber within the match radius of {radius:g} arcsec, "
        f"{np.sum(near > radius):,} more within {farthest:g} arcsec"
        + (f"; the median distance is {np.median(near):.2f} arcsec." if len(near) else ".")
    )
    section.pictures.append(
        picture("desi", "separations", draw_separations(rows.nearest_arcsec, radius, farthest), said)
    )
    of_class = ", ".join(
        f"{np.sum(columns.values['spectype'] == name):,} {name}" for name in classes(columns.values["spectype"])
    )
    said = f"Histograms of redshift by class and program: {of_class or 'no spectrum with a class'}."
    section.pictures.append(picture("desi", "redshifts", draw_redshifts(columns), said))
    ratio = columns.values["median_coadd_snr_r"]
    ratio = ratio[np.isfinite(ratio)]
    said = "Histograms of the signal-to-noise ratio in the r arm by class and program" + (
        f"; the median is {np.median(ratio):.2f} per pixel." if len(ratio) else ": there is none."
    )
    section.pictures.append(picture("desi", "signal", draw_signal(columns), said))
    section.pictures.append(pixel_picture(harvest))
    section.tables = [pixel_table(harvest), *_classes(columns), *missing(harvest)]
    return section


def _classes(columns: Columns) -> list[Table]:
    """Return spectra by class and program, with medians."""
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
