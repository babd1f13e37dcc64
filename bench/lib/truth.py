"""The results of a run on the archive of `big_archive`, compared with what was simulated."""

import csv
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lib.big_archive import Sample


def check(results: Path, sample: Sample, truth: dict[str, Any]) -> None:
    """Compare ledger and summary with what was simulated; and see that spectra were not read from holes."""
    with (results / "desi" / "ledger.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    if len(lines) != len(truth["status"]):
        raise SystemExit(f"the ledger has {len(lines):,} rows, the CSV {len(truth['status']):,}")
    for column, expected in truth.items():
        found = np.array([line[column] for line in lines]).astype(expected.dtype)
        wrong = np.flatnonzero(found != expected)
        if len(wrong):
            raise SystemExit(
                f"ledger.csv, row {wrong[0]}: {column} is {found[wrong[0]]}, {expected[wrong[0]]} was simulated "
                f"({len(wrong):,} rows differ)"
            )
    summary = json.loads((results / "desi" / "summary.json").read_text())
    expected_totals = {
        "rows": len(lines),
        "spectra": int(truth["n_spectra"].sum()),
        "coadds": {"read": sample.n_coadds, "absent": 0, "unreadable": 0},
    }
    for key, value in expected_totals.items():
        if summary[key] != value:
            raise SystemExit(f"summary.json: {key} is {summary[key]}, {value} was simulated")
    fullest = max((pixel for pixel in sample.pixels if pixel.covered), key=lambda pixel: pixel.count)
    path = results / "desi_crossmatches" / f"healpix={fullest.pix64 >> 4}" / "crossmatch_desi.hdf5"
    with h5py.File(path) as file:
        flux = file["desi/spectrum_flux"][:]
    if not len(flux) or not (flux != 0).any(axis=1).all():
        raise SystemExit(f"{path}: holds a spectrum of zeros, which was not simulated")
