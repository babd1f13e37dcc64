"""Pages of the detections of a shot of a reduction: a table of emission lines and continuum sources, and their reports.

``SHOT.html`` is a page as those of pixels are (`skyharvest.browser.site`), with the report of each detection, as it is
in the SQLite file of the shot, in the place of columns. Detectids are text. Spectra are shown in vacuum, per Å.
"""

import base64
import heapq
import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from skyharvest.browser.encoding import encode, json_values, rows_as_text_of
from skyharvest.browser.site import Json, PageKind, write
from skyharvest.core.arrays import Array
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats.hdf5 import open_made
from skyharvest.reduction.hetdex.detectids import is_continuum
from skyharvest.reduction.hetdex.report_list import Outcome, images_beside, read_list
from skyharvest.reduction.hetdex.sources.detection_tables import DETECTIONS, SPECTRA
from skyharvest.reduction.hetdex.virus import GRID, GRID_STEP
from skyharvest.sky.spectral_lines import EMISSION
from skyharvest.surveys.hetdex.cube import air_to_vacuum

SHOT = PageKind.of_spectra(
    "detections",
    home="All shots",
    home_title="The table of all shots",
    jump="detectid",
    filter="line sn>6 wave<4000",
)
SPECTRA_PER_FILE, REPORTS_PER_FILE = 16, 8
SHOWN = (
    *("wave", "wave_err", "flux", "flux_err", "sn", "chi2", "linewidth", "linewidth_err", "continuum"),
    *("continuum_err", "ra", "dec", "ifuslot"),
)
"""Columns of ``/Detections`` that a page's table has."""
RANK_OF_GUESSES = 1
"""Spectral lines of this rank are what a line may be."""
UNITS = {
    "ra": "°", "dec": "°", "wave": "Å", "wave_err": "Å", "linewidth": "Å", "linewidth_err": "Å", "x_ifu": "″",
    "y_ifu": "″", **dict.fromkeys(("flux", "flux_err", "flux_noise_1sigma"), "10⁻¹⁷ erg s⁻¹ cm⁻²"),
    **dict.fromkeys(("continuum", "continuum_err"), "10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹"),
}  # fmt: skip


@dataclass(frozen=True)
class Inputs:
    """Files of a shot.

    Attributes
    ----------
    shot
        Its name.
    files
        ``detections.h5`` of its IFUs, and ``continuum/SHOT.h5`` if it is there.
    reports
        ``reports/SHOT.csv``, beside which the pictures are.
    """

    shot: str
    files: Sequence[Path]
    reports: Path


def write_shot_page(inputs: Inputs, out: Path) -> int:
    """Write a page, its spectra and reports, and the assets if they are not there; return the number of detections.

    Parameters
    ----------
    inputs
        Files.
    out
        The page: ``SHOT.html``. Spectra and reports go to the directory ``SHOT`` beside it.

    Raises
    ------
    InputError
        If a file is of another shot.
    MalformedFile
        If a file is not what it should be.
    """
    found = _Found(inputs)
    outcomes = read_list(inputs.reports)
    with opened(images_beside(inputs.reports, inputs.shot)) as pictures:
        there = pictures.detectids()
        page = _page_data(found, outcomes, there)
        write(
            out,
            SHOT,
            page,
            itertools.chain(_spectra(found), _reports(found.detectids, pictures)),
            title=f"{inputs.shot} · detections",
            what=inputs.shot,
        )
    return len(found.detectids)


class _Found:
    """The detections of a shot, in the order of detectids: their rows, and their spectra one by one."""

    def __init__(self, inputs: Inputs) -> None:
        self._files: list[Path] = []
        self.failed: list[str] = []
        parts = []
        for path in inputs.files:
            with _reading(path, inputs.shot) as file:
                if reason := str(file.attrs.get("failed", "")):
                    self.failed.append(reason)
                elif len(file["Detections"]):
                    self._files.append(path)
                    parts.append(file["Detections"][:])
        rows = np.concatenate(parts) if parts else np.zeros(0, DETECTIONS)
        self.rows = rows[np.argsort(rows["detectid"], kind="stable")]
        self.detectids: list[int] = self.rows["detectid"].tolist()
        self._shot = inputs.shot

    def spectra(self) -> Iterator[Any]:
        """Yield rows of ``/Spectra``. A file's are read when it is their turn."""
        # Files of IFUs follow one another; the continuum sources are among them.
        starts = sorted(self._files, key=self._first)
        lines = (path for path in starts if not is_continuum(self._first(path)))
        others = (path for path in starts if is_continuum(self._first(path)))
        of_kinds = (itertools.chain.from_iterable(map(self._read, paths)) for paths in (lines, others))
        return heapq.merge(*of_kinds, key=lambda row: int(row["detectid"]))

    def _first(self, path: Path) -> int:
        with _reading(path, self._shot) as file:
            return int(file["Detections"].fields("detectid")[0])

    def _read(self, path: Path) -> Iterator[Any]:
        with _reading(path, self._shot) as file:
            spectra = file["Spectra"]
            for start in range(0, len(spectra), SPECTRA_PER_FILE):
                yield from spectra[start : start + SPECTRA_PER_FILE]


@contextmanager
def _reading(path: Path, shot: str) -> Iterator[h5py.File]:
    with open_made(path) as file:
        if file.attrs.get("shot") != shot:
            raise InputError(f"{path}: found the shot {file.attrs.get('shot')}; expected {shot}")
        if not file.attrs.get("failed", ""):
            kinds = {name: file[name].dtype if name in file else None for name in ("Detections", "Spectra")}
            if kinds != {"Detections": DETECTIONS, "Spectra": SPECTRA}:
                raise MalformedFile(f"{path}: found no tables of detections; remove it and run again")
        yield file


def _page_data(found: _Found, outcomes: Mapping[int, Outcome], there: set[int]) -> Json:
    rows, ids = found.rows, found.detectids
    columns: dict[str, list[Any]] = {"detectid": [str(detectid) for detectid in ids]}
    columns["kind"] = ["continuum" if is_continuum(detectid) else "line" for detectid in ids]
    columns |= {name: _short(rows[name]) for name in SHOWN}
    vacuum = np.round(air_to_vacuum(rows["wave"].astype(np.float64)), 3)
    columns["wave_vacuum"] = json_values(np.where([is_continuum(detectid) for detectid in ids], np.nan, vacuum))
    columns["report"] = [int(detectid in there) for detectid in ids]
    columns["reason"] = [_reason(outcomes.get(detectid)) for detectid in ids]
    n_there = sum(columns["report"])
    return {
        "table": columns,
        "grids": {"combined": encode(air_to_vacuum(GRID))},
        "arms": [],
        "overlays": [],
        "rows_per_file": {"spectra": SPECTRA_PER_FILE, "reports": REPORTS_PER_FILE},
        "main": {"title": "HETDEX", "columns": [[name, UNITS.get(name, "")] for name in DETECTIONS.names or ()]},
        "guesses": [[line.label, line.wave] for line in EMISSION if line.rank == RANK_OF_GUESSES],
        "about": [f"{sum(kind == 'line' for kind in columns['kind'])} lines", f"{n_there} reports"],
        "failed": "; ".join(dict.fromkeys(found.failed)),
    }


def _reason(outcome: Outcome | None) -> str:
    return "it is not in the list of reports" if outcome is None else outcome.reason


def _short(values: Array) -> list[Any]:
    """Return a column as JSON values, with as many digits as its type has."""
    if values.dtype == np.float32:
        values = np.array([float(str(value)) for value in values])
    return json_values(values)


def _spectra(found: _Found) -> Iterator[tuple[str, Json]]:
    both = zip(found.spectra(), found.detectids, rows_as_text_of(found.rows), strict=True)
    for batch in _batched(both, SPECTRA_PER_FILE):
        sources = []
        for row, detectid, columns in batch:
            assert row["detectid"] == detectid, f"found the spectrum of {row['detectid']}; expected that of {detectid}"
            flux, error = (row[name] / np.float32(GRID_STEP) for name in ("spec1d", "spec1d_err"))
            known = np.isfinite(flux) & (error > 0)
            ivar = np.where(known, 1 / np.where(known, error, 1) ** 2, 0).astype(np.float32)
            sources.append({"data": encode(flux, ivar), "mask": [], "columns": columns})
        yield "spectra", {"sources": sources}


def _reports(detectids: Sequence[int], pictures: "Pictures") -> Iterator[tuple[str, Json]]:
    for batch in _batched(detectids, REPORTS_PER_FILE):
        images = (pictures.read(detectid) for detectid in batch)
        yield "reports", {"reports": [image and base64.b64encode(image).decode("ascii") for image in images]}


def _batched(values: Iterable[Any], n: int) -> Iterator[list[Any]]:
    values = iter(values)
    while batch := list(itertools.islice(values, n)):
        yield batch


class Pictures:
    """The SQLite file of a shot's reports, open to be read."""

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self._path, self._database = path, database

    def detectids(self) -> set[int]:
        """Return which there are."""
        return {int(row[0]) for row in self._ask("SELECT detectid FROM report")}

    def read(self, detectid: int) -> bytes | None:
        """Return one, a PNG file; None if it is not there."""
        rows = self._ask("SELECT image FROM report WHERE detectid = ?", detectid)
        return bytes(rows[0][0]) if rows else None

    def _ask(self, question: str, *values: int) -> list[Any]:
        try:
            return self._database.execute(question, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise MalformedFile(f"{self._path}: found no reports ({error}); remove it and run again") from None


@contextmanager
def opened(path: Path) -> Iterator[Pictures]:
    """Open the SQLite file of a shot's reports.

    Raises
    ------
    MalformedFile
        If it is not there, or damaged.
    """
    if not path.exists():
        raise MalformedFile(f"{path}: it is not there; remove the list of reports beside it and run again")
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        yield Pictures(path, database)
