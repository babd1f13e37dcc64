"""The cutouts of a shot's emission lines, for machine learning: ``im2D_SHOTID.h5`` (`.cutout_tables`).

Of each detection: the pieces of the detector's images around it (`.cutouts`), of the four fibers with the highest
weight and the mean of all with their weights; its spectrum; its picture on the sky (`.line_image`). A picture of
another survey is not a product of this reduction: ``im_phot`` is NaN, and its header empty.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats.pytables import TableWriter, open_new, write_table
from skyharvest.reduction.hetdex.layout import DETECTIONS_FILE
from skyharvest.reduction.hetdex.source_settings import Cutouts
from skyharvest.reduction.hetdex.sources.cutout_tables import NOT_CUT, OF_DETECTIONS, TITLES, UNITS, tables
from skyharvest.reduction.hetdex.sources.cutouts import BEST_FIBERS, DetectorImages, Fiber, NotCut, weighted_mean
from skyharvest.reduction.hetdex.sources.detection_file import SourceRows, read_rows
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers, ShotFibers
from skyharvest.reduction.hetdex.sources.line_image import line_image, offsets

log = logging.getLogger(__name__)

IMAGE = "clean_image"


def write_cutouts(
    fibers: ShotFibers, multifits: Sequence[Path], detections: Sequence[Path], out: Path, how: Cutouts
) -> None:
    """Write the cutouts of a shot; the file appears whole.

    A shot without calibrated fibers has no rows, and an attribute ``failed`` that says why. Memory is that of an IFU.

    Parameters
    ----------
    fibers
        Those of the shot.
    multifits
        Directories ``science/SHOT/expNN/IFU``.
    detections
        Directories ``detections/SHOT/IFU``.
    out
        The file.
    how
        Settings.

    Raises
    ------
    InputError
        If files are of different shots.
    MalformedFile
        If a file is not what it should be.
    """
    first, n_rows = {}, 0
    for directory in detections:
        _, rows = _read(directory, fibers.name)
        n_rows += len(rows)
        if len(rows):
            first[directory] = int(rows.detections["detectid"][0])
    kinds = tables(how.width, how.height)
    not_cut: list[tuple[int, str, str]] = []
    with atomic_path(out) as temporary, open_new(temporary, "HETDEX cutouts of detections") as file:
        file.attrs.update(shot=fibers.name, failed=fibers.failed, missing="NaN", units=UNITS)
        with ExitStack() as stack:
            writers = {
                name: stack.enter_context(TableWriter(file, name, kinds[name], n_rows, TITLES[name], chunk=1))
                for name in OF_DETECTIONS
            }
            images = stack.enter_context(DetectorImages(multifits))
            for directory in sorted(first, key=lambda one: first[one]):
                ifu, rows = _read(directory, fibers.name)
                for made in _Cutter(fibers.read(ifu), images, how, kinds, not_cut).rows(rows):
                    for name, row in made.items():
                        writers[name].append(row)
        encoded = [(detectid, part.encode(), reason.encode("ascii", "replace")) for detectid, part, reason in not_cut]
        write_table(file, "NotCut", np.array(encoded, NOT_CUT), TITLES["NotCut"])
    log.info("%s: %d detections of %d IFUs; %d parts could not be made", out, n_rows, len(first), len(not_cut))


class _Cutter:
    """What makes the rows of an IFU's detections."""

    def __init__(
        self,
        fibers: IfuFibers,
        images: DetectorImages,
        how: Cutouts,
        kinds: Mapping[str, np.dtype[Any]],
        not_cut: list[tuple[int, str, str]],
    ) -> None:
        self._fibers, self._images, self._how, self._kinds, self._not_cut = fibers, images, how, kinds, not_cut
        self._east, self._north = offsets()

    def rows(self, found: SourceRows) -> Iterator[dict[str, Array]]:
        """Yield the row of each table, (1,), for each detection."""
        for detection, spectrum in zip(found.detections, found.spectra, strict=True):
            own = slice(*np.searchsorted(found.fibers["detectid"], detection["detectid"] + np.arange(2)))
            made = {name: np.zeros(1, self._kinds[name]) for name in OF_DETECTIONS}
            for row in made.values():
                row["detectid"] = detection["detectid"]
            self._cut(made["FiberImages"][0], detection, found.fibers[own])
            made["PhotImages"]["im_phot"] = np.nan
            for to, of in (("spec1D", "spec1d"), ("spec1D_err", "spec1d_err")):
                made["Spec1D"][to] = spectrum[of] / 2  # of 2 Å, as hetdex_api halves them
            self._picture(made["LineImages"][0], detection)
            yield made

    def _cut(self, row: Any, detection: Any, fibers: Array) -> None:
        """Fill in the pieces of a detection's fibers."""
        shape = self._how.height, self._how.width
        for name in ("im_wave", "im_sum", "im_array"):
            row[name] = np.nan
        weight = np.nan_to_num(fibers["weight"].astype(np.float64))
        order = np.argsort(-weight, kind="stable")
        fibers, weight = fibers[order], weight[order]
        pieces, wave = [], None
        for one in fibers:
            fiber = Fiber(int(one["expnum"]), one["multiframe"].decode(), int(one["fibnum"]))
            try:
                piece = self._images.piece(
                    fiber, float(detection["wave"]), [IMAGE], width=self._how.width, height=self._how.height
                )
            except NotCut as error:
                self._not_cut.append((int(detection["detectid"]), "FiberImages", str(error)))
                pieces.append(np.full(shape, np.nan, np.float32))
                continue
            pieces.append(piece.images[IMAGE])
            wave = piece.wave if wave is None else wave
        if not pieces:
            self._not_cut.append((int(detection["detectid"]), "FiberImages", "it has no fibers"))
        if wave is None:
            return
        row["im_wave"] = wave
        row["im_sum"] = weighted_mean(pieces, weight)
        row["im_array"][: min(len(pieces), BEST_FIBERS)] = pieces[:BEST_FIBERS]

    def _picture(self, row: Any, detection: Any) -> None:
        """Fill in the picture of a line."""
        place = (float(detection[name]) for name in ("ra", "dec", "wave", "linewidth"))
        made = line_image(self._fibers, *place)
        row["line_image"], row["line_image_err"], row["header"] = made.image, made.error, made.header.encode()
        row["delta_ra"], row["delta_dec"] = self._east, self._north
        for name in ("flux", "flux_err", "bkg_stddev", "apcor"):
            row[name] = getattr(made, name)
        row["sn_im"] = made.sn
        if not np.isfinite(made.flux):
            reason = "no fiber near it has light in the band and beside it"
            self._not_cut.append((int(detection["detectid"]), "LineImages", reason))


def _read(directory: Path, shot: str) -> tuple[str, SourceRows]:
    """Return the pairing of an IFU, and its detections: none if the search failed."""
    path = directory / DETECTIONS_FILE
    rows, attributes = read_rows(path)
    if attributes.get("shot") != shot:
        raise InputError(f"{path}: found the shot {attributes.get('shot')}; expected {shot}")
    if not np.array_equal(rows.detections["detectid"], rows.spectra["detectid"]):
        raise MalformedFile(f"{path}: found spectra of other detections; remove {directory} and run again")
    return str(attributes.get("ifu", "")), rows
