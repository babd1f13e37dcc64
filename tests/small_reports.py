"""A shot of a reduction with small detections and reports, for the pages that show them."""

import io
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from hetdex_products import IFUS, detection_rows, write_detections
from skyharvest.core.csv_file import write_rows
from skyharvest.reduction.hetdex.layout import Layout, shotid_of

SHOT = "20190103v017"
GRID = 3470.0 + 2.0 * np.arange(1036)
N_LINES, N_CONTINUUM = (12, 9), 4
LEFT_OUT, FAILED, LOST = 3, 5, 20
"""Detections, in the order of detectids, without a report: by a setting, with a reason, and unseen."""


@dataclass(frozen=True)
class Shot:
    """What there is.

    Attributes
    ----------
    layout
        Of the reduction.
    directories
        ``detections/SHOT/IFU``.
    continuum
        ``continuum/SHOT.h5``.
    rows, spectra
        Of all detections, by detectid.
    """

    layout: Layout
    directories: list[Path]
    continuum: Path
    rows: np.ndarray
    spectra: np.ndarray

    @property
    def ids(self) -> list[int]:
        """All detectids."""
        return self.rows["detectid"].tolist()


def png(k: int) -> bytes:
    """The report of the k-th detection: its width tells which it is."""
    packed = io.BytesIO()
    Image.new("RGB", (300 + k, 200), (k * 9 % 255, 90, 160)).save(packed, "PNG")
    return packed.getvalue()


def write_shot(directory: Path, *, shot: str = SHOT) -> Shot:
    """Write the products of a shot."""
    layout = Layout(directory)
    parts, directories = [], []
    for ifu, n in zip(IFUS, N_LINES, strict=True):
        made = _like_lines(detection_rows(shot, ifu, n))
        path = write_detections(layout.detections(shot, ifu) / "detections.h5", made, shot=shot, ifu=ifu)
        directories.append(path.parent)
        parts.append(made)
    others = [detection_rows(shot, ifu, N_CONTINUUM, continuum=True) for ifu in IFUS]
    continuum = {name: np.concatenate([other[name] for other in others]) for name in others[0]}
    for name in ("wave", "wave_err", "flux", "flux_err", "sn", "linewidth", "linewidth_err", "chi2"):
        continuum["Detections"][name] = np.nan
    write_detections(layout.of_shot("continuum", shot), continuum, shot=shot)
    parts.append(continuum)
    rows, spectra = (np.concatenate([part[name] for part in parts]) for name in ("Detections", "Spectra"))
    order = np.argsort(rows["detectid"])
    made = Shot(layout, directories, layout.of_shot("continuum", shot), rows[order], spectra[order])
    _write_reports(made, shot)
    return made


def _like_lines(tables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    rows, spectra = tables["Detections"], tables["Spectra"]
    random = np.random.default_rng(len(rows))
    rows["wave"], rows["sn"] = random.uniform(3600, 5400, len(rows)), random.uniform(4, 12, len(rows))
    rows["chi2"], rows["linewidth"] = random.uniform(0.7, 1.6, len(rows)), random.uniform(1.8, 5, len(rows))
    rows["flux"], rows["flux_err"], rows["wave_err"], rows["linewidth_err"] = 8 * rows["sn"], 8, 0.2, 0.3
    line = np.exp(-0.5 * ((GRID - rows["wave"][:, None]) / 3) ** 2)
    spectra["spec1d"] = random.normal(0, 0.8, (len(rows), 1036)) + 1.5 * rows["sn"][:, None] * line
    spectra["spec1d_err"] = 0.8
    spectra["spec1d"][:, :7] = spectra["spec1d_err"][:, :7] = np.nan
    return tables


def _write_reports(made: Shot, shot: str) -> None:
    cells = []
    path = made.layout.reports(shot)
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path.with_name(f"elixer_reports_{shotid_of(shot)}.db"))) as database:
        database.execute("CREATE TABLE report(detectid BIGINT PRIMARY KEY, image BLOB NOT NULL)")
        for k, detectid in enumerate(made.ids):
            state, reason = {
                LEFT_OUT: ("left_out", "S/N 4.1 is below reports.least_sn"),
                FAILED: ("failed", "it <b>cannot</b> be drawn"),
            }.get(k, ("done", ""))
            cells.append((detectid, state, reason))
            if k not in (LEFT_OUT, FAILED, LOST):
                database.execute("INSERT INTO report VALUES (?, ?)", (detectid, png(k)))
        database.commit()
    write_rows(path, ("detectid", "state", "reason"), cells)
