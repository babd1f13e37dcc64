"""Detections of a shot, for reports: emission lines of its IFUs, and continuum sources."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.reduction.hetdex.detectids import is_continuum
from skyharvest.reduction.hetdex.layout import DETECTIONS_FILE, Pairing
from skyharvest.reduction.hetdex.sources.detection_file import SourceRows, read_rows
from skyharvest.sky.matching import within_radius

SAME_SOURCE = 2.0
"""Arcsec: detections that are nearer to each other are of one source."""


@dataclass(frozen=True)
class Detection:
    """A detection.

    Attributes
    ----------
    row, spectrum
        Of ``/Detections`` and ``/Spectra``.
    fibers
        Its rows of ``/Fibers``, those of the highest weight first.
    """

    row: Any
    spectrum: Any
    fibers: Array

    @property
    def detectid(self) -> int:
        """Its number."""
        return int(self.row["detectid"])

    @property
    def is_continuum(self) -> bool:
        """Whether it is a continuum source, and no line."""
        return is_continuum(self.detectid)


class ShotDetections:
    """All detections of a shot; spectra and fibers are read IFU by IFU.

    Parameters
    ----------
    shot
        Name of the shot.
    lines
        Directories ``detections/SHOT/IFU``.
    continuum
        ``continuum/SHOT.h5``, if there is one.

    Attributes
    ----------
    rows
        (n,) of type `DETECTIONS`, by detectid.
    failures
        What has no detections, and why.

    Raises
    ------
    InputError
        If a file is of another shot.
    MalformedFile
        If a file is not what it should be, or two detections have one number.
    """

    def __init__(self, shot: str, lines: Sequence[Path], continuum: Path | None) -> None:
        self.failures: dict[str, str] = {}
        self._shot, self._continuum = shot, continuum
        self._files = {str(Pairing.named(path.name, path)): path / DETECTIONS_FILE for path in lines}
        parts = []
        for ifu, path in self._files.items():
            parts.append(self._read(path, f"lines of {ifu}").detections)
        self._sources = self._read(continuum, "continuum sources") if continuum else SourceRows.joined([])
        parts.append(self._sources.detections)
        rows = np.concatenate(parts)
        self.rows = rows[np.argsort(rows["detectid"], kind="stable")]
        twice = np.flatnonzero(np.diff(self.rows["detectid"]) == 0)
        if twice.size:
            raise MalformedFile(f"{shot}: found detection {self.rows['detectid'][twice[0]]} twice; run its steps again")

    def _read(self, path: Path, what: str) -> SourceRows:
        rows, attributes = read_rows(path)
        if attributes.get("shot") != self._shot:
            raise InputError(f"{path}: found shot {attributes.get('shot')}; expected {self._shot}")
        if attributes["failed"]:
            self.failures[what] = str(attributes["failed"])
        return rows

    def __len__(self) -> int:
        return len(self.rows)

    def of_ifu(self, ifu: str) -> Iterator[Detection]:
        """Yield the detections of an IFU."""
        slot = Pairing.named(ifu).ifuslot.encode()
        path = self._files.get(ifu)
        lines = read_rows(path)[0] if path else SourceRows.joined([])
        for rows in (lines, self._sources):
            here = np.flatnonzero(rows.detections["ifuslot"] == slot)
            spectra = {int(k): i for i, k in enumerate(rows.spectra["detectid"])}
            for k in here:
                detectid = int(rows.detections["detectid"][k])
                first, last = np.searchsorted(rows.fibers["detectid"], [detectid, detectid + 1])
                fibers = rows.fibers[first:last]
                order = np.argsort(-np.nan_to_num(fibers["weight"]), kind="stable")
                yield Detection(rows.detections[k], rows.spectra[spectra[detectid]], fibers[order])

    def of_same_source(self) -> dict[int, list[Any]]:
        """Return the other detections of each one's source, by detectid: rows, the nearest first."""
        ra, dec = (self.rows[name].astype(np.float64) for name in ("ra", "dec"))
        first, second, _ = within_radius(ra, dec, ra, dec, SAME_SOURCE)
        found: dict[int, list[Any]] = {int(k): [] for k in self.rows["detectid"]}
        for i, j in zip(first, second, strict=True):
            if i != j:
                found[int(self.rows["detectid"][i])].append(self.rows[j])
        return found
