"""The reports of a shot: those that are missing or old are made, those of detections that are gone are removed."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.core.arrays import Floats
from skyharvest.core.errors import HarvestError
from skyharvest.core.words import counted
from skyharvest.reduction.hetdex.report_list import Outcome, images_beside, write_list
from skyharvest.reduction.hetdex.source_settings import Reports
from skyharvest.reduction.hetdex.sources.cutouts import DetectorImages
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers, ShotFibers
from skyharvest.reduction.hetdex.steps import DONE, FAILED, LEFT_OUT
from skyharvest.report.hetdex_detections.content import gather
from skyharvest.report.hetdex_detections.legacy_images import Covering, LegacyImages
from skyharvest.report.hetdex_detections.neighbours import Neighbour, Objects, find_neighbours, read_objects
from skyharvest.report.hetdex_detections.picture import VERSION, Picture
from skyharvest.report.hetdex_detections.report_file import ReportFile, open_reports
from skyharvest.report.hetdex_detections.shot_detections import Detection, ShotDetections
from skyharvest.report.hetdex_detections.sky_light import read_sky
from skyharvest.report.hetdex_detections.sky_panels import HALF

log = logging.getLogger(__name__)

NEAR_SHOT = 0.5
"""Degrees: objects of catalogues that are farther from the middle of a shot are not kept."""


@dataclass(frozen=True)
class Inputs:
    """What reports of a shot are made of, beside its fibers.

    Attributes
    ----------
    multifits
        Directories ``science/SHOT/expNN/IFU``.
    lines
        Directories ``detections/SHOT/IFU``.
    continuum
        ``continuum/SHOT.h5``, if there is one.
    catalogue
        The catalogue of stars.
    results
        Directory of a harvest's results, in which cutouts of the Legacy Surveys are looked for.
    """

    multifits: Sequence[Path]
    lines: Sequence[Path]
    continuum: Path | None
    catalogue: Path | None
    results: Path | None


@dataclass(frozen=True)
class Counts:
    """How many reports there are.

    Attributes
    ----------
    expected
        Detections that have a report by the settings.
    found
        Pictures that are there, as counted in the file.
    new
        Those that were made now.
    removed
        Those of detections that are gone.
    """

    expected: int
    found: int
    new: int
    removed: int


def write_reports(
    fibers: ShotFibers,
    inputs: Inputs,
    out: Path,
    settings: Reports,
    draw: Callable[[Picture, Any], bytes] = Picture.draw,
) -> Counts:
    """Write the reports of a shot, and their list.

    Parameters
    ----------
    fibers
        Those of the shot.
    inputs
        Other files.
    out
        ``reports/SHOT.csv``: it appears at the end, the SQLite file beside it grows picture by picture.
    settings
        Of the step.
    draw
        Draws a picture.

    Raises
    ------
    InputError, MalformedFile
        If a file that is needed for all reports is not there, or is not what it should be. What is wrong with a single
        one is in the list.
    """
    detections = ShotDetections(fibers.name, inputs.lines, inputs.continuum)
    for what, why in detections.failures.items():
        log.warning("%s: %s failed: %s", fibers.name, what, why)
    with open_reports(images_beside(out, fibers.name)) as file:
        step = _Step(inputs, settings, fibers, detections, file=file, draw=draw)
        outcomes = step.run()
        wanted = {detectid for detectid, one in outcomes.items() if one.state != LEFT_OUT}
        gone = file.detectids() - {detectid for detectid, one in outcomes.items() if one.state == DONE}
        file.remove(gone)
        counts = Counts(len(wanted), len(file.detectids()), step.n_new, len(gone))
    write_list(out, outcomes)
    log.info(
        "%s: found %s of %d expected; %d new, %d removed, %d left out",
        fibers.name,
        counted(counts.found, "report"),
        counts.expected,
        counts.new,
        counts.removed,
        len(outcomes) - counts.expected,
    )
    return counts


class _Step:
    """The work on one shot."""

    def __init__(
        self,
        inputs: Inputs,
        settings: Reports,
        fibers: ShotFibers,
        detections: ShotDetections,
        *,
        file: ReportFile,
        draw: Callable[[Picture, Any], bytes],
    ) -> None:
        self._inputs, self._settings, self._fibers = inputs, settings, fibers
        self._detections, self._file, self._draw = detections, file, draw
        self._picture = Picture(settings.radius)
        self._there = file.digests()
        self.n_new = 0
        rows = detections.rows
        ra, dec = (rows[name].astype(np.float64) for name in ("ra", "dec"))
        number = {int(detectid): k for k, detectid in enumerate(rows["detectid"])}
        near = find_neighbours(ra, dec, self._catalogues(), settings.radius)
        self._neighbours = {detectid: near[k] for detectid, k in number.items()}
        self._same = detections.of_same_source()
        self._legacy = LegacyImages(inputs.results, ra, dec) if inputs.results else None
        covering = self._legacy.covering if self._legacy else [None] * len(rows)
        self._covering: dict[int, Covering | None] = {detectid: covering[k] for detectid, k in number.items()}

    def _catalogues(self) -> list[Objects]:
        """Return what of catalogues is near the shot."""
        if self._fibers.failed or not len(self._detections):
            return []
        paths = [(self._inputs.catalogue, True)]
        paths.append((Path(self._settings.neighbours) if self._settings.neighbours else None, False))
        row = self._fibers.row
        return [
            read_objects(path, stars=stars).near(float(row["ra"]), float(row["dec"]), NEAR_SHOT)
            for path, stars in paths
            if path
        ]

    def run(self) -> dict[int, Outcome]:
        """Make what is missing or old, and return what became of all detections."""
        outcomes: dict[int, Outcome] = {}
        if not self._fibers.failed:
            sky = read_sky(self._fibers.path)
            with DetectorImages(self._inputs.multifits) as images:
                for ifu in self._fibers.ifus:
                    outcomes |= self._of_ifu(ifu, images, sky)
        reason = self._fibers.failed or "its IFU has no fibers in this shot"
        for detectid in self._detections.rows["detectid"].tolist():
            outcomes.setdefault(detectid, Outcome(FAILED, reason))
        return outcomes

    def _of_ifu(self, ifu: str, images: DetectorImages, sky: Floats) -> dict[int, Outcome]:
        outcomes: dict[int, Outcome] = {}
        fibers: IfuFibers | None = None
        files = self._state_of_files(ifu)
        for detection in self._detections.of_ifu(ifu):
            sn = float(detection.row["sn"])
            if sn < self._settings.least_sn:
                outcomes[detection.detectid] = Outcome(LEFT_OUT, f"S/N {sn:.1f} is below reports.least_sn")
                continue
            digest = self._digest(detection, files)
            if self._there.get(detection.detectid) == digest:
                outcomes[detection.detectid] = Outcome(DONE)
                continue
            fibers = fibers or self._fibers.read(ifu)
            outcomes[detection.detectid] = self._make(detection, fibers, images, sky, digest)
        return outcomes

    def _make(
        self, detection: Detection, fibers: IfuFibers, images: DetectorImages, sky: Floats, digest: str
    ) -> Outcome:
        """Make a report. Whatever is wrong with it stays with it: the others are made."""
        detectid = detection.detectid
        covering = self._covering[detectid]
        try:
            content = gather(
                detection,
                fibers,
                images,
                sky=sky,
                picture=self._legacy.picture(covering, HALF) if self._legacy and covering else None,
                no_picture=self._legacy.why if self._legacy else "",
                neighbours=self._neighbours[detectid],
                same_source=self._same[detectid],
            )
            image = self._draw(self._picture, content)
        except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError, OSError, HarvestError) as error:
            log.exception("%d failed", detectid)
            return Outcome(FAILED, f"{type(error).__name__}: {error}")
        self._file.put(detectid, image, digest)
        self.n_new += 1
        return Outcome(DONE, "; ".join(content.pieces.failures))

    def _digest(self, detection: Detection, files: str) -> str:
        """Return the digest of all that a report is made of."""
        made = hashlib.sha256()
        for part in (detection.row, detection.spectrum, detection.fibers):
            made.update(part.tobytes())
        for row in self._same[detection.detectid]:
            made.update(row.tobytes())
        neighbours = [_said(neighbour) for neighbour in self._neighbours[detection.detectid]]
        why = self._legacy.why if self._legacy else ""
        made.update(
            repr((VERSION, self._settings.radius, files, neighbours, self._covering[detection.detectid], why)).encode()
        )
        return made.hexdigest()

    def _state_of_files(self, ifu: str) -> str:
        """Return sizes and times of the files that pictures of an IFU are drawn of."""
        directories = [path for path in self._inputs.multifits if path.name == ifu]
        paths = [*self._fibers.files]
        paths += sorted(path for directory in directories for path in directory.glob("multi_*.fits"))
        return ";".join(f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in paths)


def _said(neighbour: Neighbour) -> str:
    """Return a neighbour as text, with all digits."""
    values = (neighbour.ra, neighbour.dec, neighbour.magnitudes.tolist(), neighbour.redshift)
    return f"{neighbour.source} {neighbour.id} {values}"
