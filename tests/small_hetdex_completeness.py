"""Files of completeness of values alone: some IFUs in some shots, in which half of the lines are found at S/N 4.8."""

import numpy as np

from skyharvest.reduction.hetdex.lines.completeness import write_file
from skyharvest.reduction.hetdex.lines.completeness_file import TABLES, statistics

IFUS = ("317_015_038_0211", "020_106_055_0123")
SHOTS = ("20190103v017", "20190103v018")


def unit(rng, *, completeness=1.0, pull=1.0, n_false=0):
    """Return tables and attributes of an IFU."""
    tables = {name: np.zeros(0, kind) for name, kind in TABLES.items()}
    rows = np.zeros(400, TABLES["Injected"])
    rows["sn"] = rng.uniform(3, 14, len(rows))
    rows["sn_fit"], rows["noise"] = rows["sn"] / 1.3, rng.uniform(1.5, 2.5, len(rows))
    rows["limit"], rows["flux"], rows["linewidth"] = rows["noise"], rows["sn"] * rows["noise"], 2.7
    seen = rows["sn"] + rng.normal(0, 1, len(rows)) > 4.8
    rows["found"], rows["isolated"] = seen & (rng.uniform(size=len(rows)) < completeness), 1
    error = 1.3 * rows["noise"]
    rows["found_flux_err"], rows["found_flux"] = error, rows["flux"] + pull * rng.normal(0, error)
    rows["found_wave"], rows["found_x"], rows["found_linewidth"] = rng.normal(0, 0.3, len(rows)), 0.1, 2.7
    tables["Injected"] = rows
    tables["Found"] = np.zeros(5 + n_false, TABLES["Found"])
    tables["Found"]["sign"] = [1] * 5 + [-1] * n_false
    tables["Found"]["sn"], tables["Found"]["isolated"] = 5.3, 1
    edges = np.linspace(-12, 12, 97)
    tables["Histogram"] = np.zeros(96, TABLES["Histogram"])
    tables["Histogram"]["low"], tables["Histogram"]["high"] = edges[:-1], edges[1:]
    tables["Histogram"]["n"] = np.histogram(rng.normal(0, 1, 100_000), edges)[0]
    tables["Limits"] = np.zeros(50, TABLES["Limits"])
    tables["Limits"]["wave"], tables["Limits"]["limit"] = np.linspace(3510, 5490, 50), 9.0
    found = statistics(rows)
    attributes = {"least_sn": 4.8, "limit_sn": 5.0, "fluxlimit_4600": 9.0, "scatter": 1.0, "n_positions": 12_000}
    return tables, attributes | found | {f"isolated_{name}": value for name, value in found.items()}


def write(directory, **planted):
    """Write the files, and return where they are."""
    rng = np.random.default_rng(1)
    paths = []
    for shot in SHOTS:
        for ifu in IFUS:
            tables, attributes = unit(rng, **planted)
            paths.append(directory / shot / f"{ifu}.h5")
            write_file(paths[-1], tables, {"shot": shot, "ifu": ifu, "failed": "", **attributes})
    return paths
