"""What of a coadd is wanted: its rows that match targets, and what stands beside them in small tables."""

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skyharvest.archive.archive import Archive, Cost, is_url
from skyharvest.core.arrays import Array, Bools, Floats, Ints
from skyharvest.core.errors import Absent, InputError, MalformedFile
from skyharvest.sky.matching import equal_ids, separation_deg, within_radius
from skyharvest.surveys.desi.by_targetid import NO_REDROCK
from skyharvest.surveys.desi.coadd import Coadd, read_redshifts
from skyharvest.surveys.desi.release import CoaddFile
from skyharvest.surveys.desi.wanted import Positions, Wanted
from skyharvest.targets import targetids

log = logging.getLogger(__name__)

SECOND_READING_S = 1.0  # between a malformed reading and the second one


@dataclass
class Selection:
    """What of one coadd is wanted; its small tables already at the chosen rows.

    Attributes
    ----------
    status
        ``read``, ``absent`` or ``unreadable``.
    reason
        Why it was not read, or is without some part.
    without
        Parts that it was read without, in the words of ``files/without``.
    wavelength
        Of the arms that it has.
    target, fiber : (n,) int64
        Index of the target and row of the coadd, pair by pair.
    kept : (n,) bool
        Of these, those for the assembled file; known when their spectra have been read.
    """

    file: CoaddFile
    status: str = "read"
    reason: str = ""
    without: list[str] = field(default_factory=list)
    beside: str = "not read"
    n_fibers: int = 0
    coadd: Coadd | None = None
    wavelength: dict[str, Floats] = field(default_factory=dict)
    target: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    fiber: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    kept: Bools = field(default_factory=lambda: np.zeros(0, bool))
    separation_arcsec: Floats = field(default_factory=lambda: np.zeros(0))
    near_target: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    near_arcsec: Floats = field(default_factory=lambda: np.zeros(0))
    likely_targetid: Ints | None = None
    fibermap: dict[str, Array] = field(default_factory=dict)
    scores: dict[str, Array] = field(default_factory=dict)
    redshifts: dict[str, Array] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)

    @property
    def path(self) -> str:
        """The coadd's path."""
        return self.file.path


def select(
    archive: Archive, file: CoaddFile, wanted: Wanted, malformed: MalformedFile | None, opened: ExitStack
) -> Selection:
    """Choose the rows of a coadd and read what stands beside them; ``malformed`` is what is known of it already."""
    if malformed is not None:
        return Selection(file, "unreadable", _reason(archive, file.path, malformed))
    try:
        try:
            return _read_tables(archive, file, wanted, opened, last=False)
        except MalformedFile as first:
            log.warning("%s; reading it once more", first)
            time.sleep(SECOND_READING_S)
            return _read_tables(archive, file, wanted, opened, last=True)
    except Absent as error:
        if not wanted.record_missing:
            raise
        if wanted.check_absence:
            wanted.check_absence(file.path)
        log.info("absent: %s", error)
        return Selection(file, "absent", "not in the archive")
    except MalformedFile as error:
        if not wanted.record_missing:
            raise
        log.warning("unreadable: %s", error)
        return Selection(file, "unreadable", _reason(archive, file.path, error))


def go_without(chosen: Selection, part: str, why: str) -> None:
    """Say that some part of what is wanted of a coadd cannot be had."""
    log.warning("without %s: %s", part, why)
    chosen.without.append(part)
    chosen.reason = f"{chosen.reason}; {why}".removeprefix("; ")


def _reason(archive: Archive, path: str, error: MalformedFile | str) -> str:
    """Return the error's message without the archive's root: the record must not depend on the transport."""
    root = archive.root if is_url(archive.root) else str(Path(archive.root))  # as paths are shown: without // and ./
    reason = str(error).replace(archive.location(path), path)
    return reason if root == "." else reason.replace(f"{root}/", "")


def _read_tables(archive: Archive, file: CoaddFile, wanted: Wanted, opened: ExitStack, *, last: bool) -> Selection:
    """Choose the rows; of what the coadd may lack, raise `MalformedFile` unless it is the last reading."""
    coadd = Coadd(
        opened.enter_context(archive.open(file.path)),
        resolution=wanted.reads_resolution,
        positions=not wanted.by_targetid,
    )
    fibermap, scores, wavelength = coadd.small_tables()
    for axis in ("TARGET_RA", "TARGET_DEC"):
        fibermap.setdefault(axis, np.full(coadd.n_rows, np.nan))
    chosen = Selection(file, coadd=coadd, wavelength=wavelength, n_fibers=coadd.n_rows)
    if wanted.targets is None:
        chosen.fiber = np.arange(coadd.n_rows)
    else:
        _match(chosen, wanted.targets, fibermap, wanted)
    chosen.fibermap = {name: values[chosen.fiber] for name, values in fibermap.items()}
    chosen.kept = np.ones(len(chosen.fiber), bool)
    chosen.scores, problem = scores.at(chosen.fiber)
    if problem:
        coadd.lacks["scores"] = problem
    if len(chosen.fiber) and coadd.lacks:
        if not last:
            raise MalformedFile("; ".join(coadd.lacks.values()))
        for part, why in coadd.lacks.items():
            go_without(chosen, part, _reason(archive, file.path, why))
    if wanted.redshifts:
        _add_redshifts(chosen, fibermap["TARGETID"], archive, wanted)
    if coadd.is_torn and len(chosen.fiber):
        chosen.beside = "unreadable"
    log.info("%s: %d fibers, %d matched rows", file.path, coadd.n_rows, len(chosen.fiber))
    return chosen


def _match(chosen: Selection, targets: Positions, fibermap: dict[str, Array], wanted: Wanted) -> None:
    reach = max(wanted.radius_arcsec, wanted.report_radius_arcsec)
    target, fiber, separation = within_radius(
        targets.ra, targets.dec, fibermap["TARGET_RA"], fibermap["TARGET_DEC"], reach
    )
    chosen.near_target, chosen.near_arcsec = target, separation
    if targets.targetid is None:
        inside = separation <= wanted.radius_arcsec
        chosen.target, chosen.fiber, chosen.separation_arcsec = target[inside], fiber[inside], separation[inside]
        return
    chosen.target, chosen.fiber = equal_ids(targets.targetid, fibermap["TARGETID"])
    fibers = fibermap["TARGETID"], fibermap["TARGET_RA"], fibermap["TARGET_DEC"]
    likely = targetids.likely(targets.targetid, targets.ra, targets.dec, fibers, wanted.targetid_radius_arcsec)
    chosen.likely_targetid = likely
    if len(rounded := np.flatnonzero(likely != targetids.NONE)):
        k = rounded[0]
        log.warning(
            "%s: %d TARGETIDs look rounded, such as %d of CSV row %d, where there is a fiber of TARGETID %d; %s",
            *(chosen.path, len(rounded), targets.targetid[k], targets.row[k], likely[k], targetids.CURE),
        )
    chosen.separation_arcsec = 3600 * separation_deg(
        targets.ra[chosen.target],
        targets.dec[chosen.target],
        fibermap["TARGET_RA"][chosen.fiber],
        fibermap["TARGET_DEC"][chosen.fiber],
    )


def _add_redshifts(chosen: Selection, targetid: Ints, archive: Archive, wanted: Wanted) -> None:
    """Add redrock's rows; ``targetid`` are those of all fibers of the coadd. Whatever it lacks costs no spectrum."""
    if len(chosen.fiber) == 0:
        return  # nothing to align; the file need not be read
    if not chosen.file.redrock:
        raise InputError(
            f"{chosen.path}: expected a file name like coadd-main-dark-27258.fits, to find its redrock file"
        )
    try:
        try:
            problem = _read_redshifts(chosen, targetid, archive)
        except MalformedFile as first:
            problem = str(first)
        if problem:
            log.warning("%s; reading it once more", problem)
            time.sleep(SECOND_READING_S)
            problem = _read_redshifts(chosen, targetid, archive)
        chosen.beside = "incomplete" if problem else "read"
    except Absent:
        if wanted.check_absence:
            wanted.check_absence(chosen.file.redrock)
        chosen.beside, problem = "absent", f"{chosen.file.redrock} is not in the archive"
    except MalformedFile as error:
        chosen.beside, problem = "unreadable", f"{error}"
    if problem:
        go_without(chosen, "redshifts", _reason(archive, chosen.file.redrock, problem))
    if chosen.beside in ("absent", "unreadable"):
        n = len(chosen.fiber)
        nothing = {name: np.full(n, value) for name, value in NO_REDROCK.items()}
        chosen.redshifts = {"TARGETID": chosen.fibermap["TARGETID"]} | nothing


def _read_redshifts(chosen: Selection, targetid: Ints, archive: Archive) -> str:
    """Read redrock's rows of the chosen fibers, and return what they lack."""
    with archive.open(chosen.file.redrock) as source:
        table, lacking = read_redshifts(source, targetid)
    chosen.redshifts, problem = table.at(chosen.fiber)
    return "; ".join(filter(None, (lacking, problem)))
