"""Take out of a few coadds the rows that match a few targets, and write them as they are.

Layout of an extracted file (n matched rows, ordered by coadd, then CSV row, then distance; a CSV row that matches two
spectra has two rows, a spectrum that two CSV rows match is there twice):

=========================================  ====================================================================
``row``, ``separation_arcsec``             (n,) CSV row and great-circle distance; absent without targets
``targetid``, ``ra``, ``dec``              (n,) of the fiber, degrees
``file``                                   (n,) index into ``files``
``fibermap/*``, ``scores/*``               (n,) every column, under its own name
``redshifts/*``                            (n,) every column of redrock's REDSHIFTS, aligned by TARGETID
``b|r|z/wavelength``                       (npix,) Å
``b|r|z/flux, ivar, mask``                 (n, npix) bit for bit as in the coadd
``b|r|z/resolution``                       (n, ndiag, npix) ditto
``files/…``                                one per coadd asked for: `skyharvest.harvest.extracted`; ``beside`` is of its
                                           redshifts, ``n_searched`` are its fibers
``files/pix64``                            its pixel
``targets/row``                            every target of the pixel
``targets/n_spectra, nearest_arcsec``      matches; distance to the nearest fiber within the report radius or NaN
``targets/n_within_report_radius``         fibers within the report radius
``targets/likely_targetid``                where TARGETIDs are matched: that of a fiber nearby from which the target's
                                           own, which no fiber has, was probably rounded; -1 if there is none
attribute ``request``                      digest of the targets and options that it was made for
=========================================  ====================================================================
"""

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from skyharvest import __version__
from skyharvest.archive.archive import Archive, Cost, is_url
from skyharvest.core.arrays import Array, Floats, Ints
from skyharvest.core.errors import Absent, InputError, MalformedFile
from skyharvest.formats import hdf5
from skyharvest.harvest.extracted import Files, write_files
from skyharvest.sky.matching import equal_ids, separation_deg, within_radius
from skyharvest.surveys.desi.coadd import Coadd, read_redshifts
from skyharvest.surveys.desi.release import CoaddFile
from skyharvest.surveys.desi.shown import ARMS
from skyharvest.surveys.desi.spectra import stack_columns
from skyharvest.surveys.desi.wanted import FORMAT, Positions, Wanted
from skyharvest.targets import targetids

log = logging.getLogger(__name__)


BATCH_ROWS = 128  # spectra held at once: 57 MB with their resolution
SECOND_READING_S = 1.0  # between a malformed reading and the second one
NO_REDROCK = {"Z": np.nan, "ZERR": np.nan, "ZWARN": -1, "SPECTYPE": b"", "SUBTYPE": b"", "DELTACHI2": np.nan}


@dataclass
class Selection:
    """What of one coadd is wanted; its small tables already at the chosen rows.

    Attributes
    ----------
    status
        ``read``, ``absent`` or ``unreadable``.
    target, fiber : (n,) int64
        Index of the target and row of the coadd, pair by pair.
    """

    file: CoaddFile
    status: str = "read"
    reason: str = ""
    redrock: str = "not read"
    n_fibers: int = 0
    coadd: Coadd | None = None
    wavelength: dict[str, Floats] = field(default_factory=dict)
    target: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    fiber: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
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


def extract(archive: Archive, coadds: Sequence[CoaddFile], out: Path, wanted: Wanted) -> list[Selection]:
    """Extract the matched rows of some coadds into one file.

    Parameters
    ----------
    coadds
        Their paths are recorded as given, so that the same file comes out of every transport.
    wanted
        Targets, radii, and what to read. With ``record_missing`` a coadd that is absent, or malformed on two readings,
        is recorded with the reason and the others are still used; without it that is an error.

    Returns
    -------
    list of Selection
        One per coadd, in order.

    Raises
    ------
    ArchiveUnavailable, ArchiveRefused
        Never recorded: the pixel fails, and the next run tries again.
    Absent, MalformedFile
        Without ``record_missing``.
    """
    failed: set[str] = set()
    bad: dict[str, MalformedFile] = {}
    costs = {coadd.path: Cost() for coadd in coadds}
    while True:
        with ExitStack() as opened:
            selections = []
            for coadd in coadds:
                with archive.metered(costs[coadd.path]):
                    selections.append(_select(archive, coadd, wanted, bad.get(coadd.path), opened))
                selections[-1].cost = costs[coadd.path]
            try:
                with hdf5.create(out, sealed=True) as file:
                    _write(file, selections, wanted, archive)
                return selections
            except _Misfit as torn:
                # Read once more, then go on without.
                if torn.path in failed:
                    if not wanted.record_missing:
                        raise torn.error from None
                    log.warning("unreadable: %s", torn.error)
                    bad[torn.path] = torn.error
                else:
                    failed.add(torn.path)
                    log.warning("%s; reading it once more", torn.error)
                    time.sleep(SECOND_READING_S)


class _Misfit(Exception):
    """A coadd whose headers were fine, but not its spectra, or that does not go with the pixel's others."""

    def __init__(self, path: str, error: MalformedFile) -> None:
        super().__init__(path)
        self.path = path
        self.error = error


def _select(
    archive: Archive, file: CoaddFile, wanted: Wanted, malformed: MalformedFile | None, opened: ExitStack
) -> Selection:
    if malformed is not None:
        return Selection(file, "unreadable", _reason(archive, file.path, malformed))
    try:
        try:
            return _read_tables(archive, file, wanted, opened)
        except MalformedFile as first:
            log.warning("%s; reading it once more", first)
            time.sleep(SECOND_READING_S)
            return _read_tables(archive, file, wanted, opened)
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


def _reason(archive: Archive, path: str, error: MalformedFile) -> str:
    """Return the error's message without the archive's root: the record must not depend on the transport."""
    root = archive.root if is_url(archive.root) else str(Path(archive.root))  # as paths are shown: without // and ./
    reason = str(error).replace(archive.location(path), path)
    return reason if root == "." else reason.replace(f"{root}/", "")


def _read_tables(archive: Archive, file: CoaddFile, wanted: Wanted, opened: ExitStack) -> Selection:
    coadd = Coadd(
        opened.enter_context(archive.open(file.path)), resolution=wanted.resolution, positions=not wanted.by_targetid
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
    chosen.scores = {name: values[chosen.fiber] for name, values in scores.items()}
    if wanted.redshifts:
        _add_redshifts(chosen, archive, wanted)
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


def _add_redshifts(chosen: Selection, archive: Archive, wanted: Wanted) -> None:
    if len(chosen.fiber) == 0:
        return  # nothing to align; the file need not be read
    if not chosen.file.redrock:
        raise InputError(
            f"{chosen.path}: expected a file name like coadd-main-dark-27258.fits, to find its redrock file"
        )
    targetid = chosen.fibermap["TARGETID"]
    try:
        with archive.open(chosen.file.redrock) as source:
            chosen.redshifts = read_redshifts(source, targetid, chosen.n_fibers)
        chosen.redrock = "read"
    except Absent as error:
        if wanted.check_absence:
            wanted.check_absence(chosen.file.redrock)
        log.warning("the coadd's spectra are kept without redshifts: %s", error)
        chosen.redrock = "absent"
        chosen.redshifts = {"TARGETID": targetid} | {
            name: np.full(len(targetid), value) for name, value in NO_REDROCK.items()
        }


def _write(file: h5py.File, selections: Sequence[Selection], wanted: Wanted, archive: Archive) -> None:
    file.attrs["format"] = FORMAT
    file.attrs["request"] = wanted.digest([chosen.file for chosen in selections])
    file.attrs["skyharvest_version"] = __version__
    lengths = [len(chosen.fiber) for chosen in selections]
    _write_files(file, selections)
    number = np.repeat(np.arange(len(selections)), lengths)
    hdf5.write_column(file, "file", number.astype(np.int32))
    if wanted.targets is not None:
        _write_targets(file, selections, wanted.targets)
        file.attrs["radius_arcsec"] = wanted.radius_arcsec
        file.attrs["report_radius_arcsec"] = wanted.report_radius_arcsec
    read = [chosen for chosen in selections if chosen.coadd is not None]
    n_of_read = [len(chosen.fiber) for chosen in read]
    fibermap = _stack(read, [chosen.fibermap for chosen in read], n_of_read)
    if not fibermap:
        return
    units: dict[str, str] = {}
    for chosen in read:
        assert chosen.coadd is not None
        units |= {column.name: column.unit for column in chosen.coadd.fibermap_hdu.columns.values()}
    for name, column, unit in (
        ("targetid", "TARGETID", None),
        ("ra", "TARGET_RA", "deg"),
        ("dec", "TARGET_DEC", "deg"),
    ):
        hdf5.write_column(file, name, fibermap[column], unit=unit)
    hdf5.write_table(file.create_group("fibermap"), fibermap, units)
    hdf5.write_table(file.create_group("scores"), _stack(read, [chosen.scores for chosen in read], n_of_read))
    if wanted.redshifts:
        with_matches = [chosen for chosen in read if len(chosen.fiber)]
        redshifts = _stack(
            with_matches, [chosen.redshifts for chosen in with_matches], [len(chosen.fiber) for chosen in with_matches]
        )
        assert not redshifts or np.array_equal(redshifts["TARGETID"], fibermap["TARGETID"])
        hdf5.write_table(file.create_group("redshifts"), redshifts)
    _write_arms(file, read, archive)


def _stack(read: Sequence[Selection], tables: Sequence[dict[str, Array]], lengths: Sequence[int]) -> dict[str, Array]:
    """Stack the coadds' tables; the first one that does not go with those before it is not what it should be."""
    try:
        return stack_columns(tables, lengths)
    except MalformedFile:
        for k, chosen in enumerate(read):
            try:
                stack_columns(tables[: k + 1], lengths[: k + 1])
            except MalformedFile as error:
                raise _Misfit(chosen.path, MalformedFile(f"{chosen.path}: {error}")) from error
        raise


def _write_files(file: h5py.File, selections: Sequence[Selection]) -> None:
    kinds = [_kind(chosen) for chosen in selections]
    files = Files(
        path=[chosen.path for chosen in selections],
        kind=[(survey, program) for survey, program, _ in kinds],
        status=[chosen.status for chosen in selections],
        reason=[chosen.reason for chosen in selections],
        beside=[chosen.redrock for chosen in selections],
        n_searched=[chosen.n_fibers for chosen in selections],
    )
    write_files(file, files, {"pix64": np.array([pix64 for _, _, pix64 in kinds], np.int64)})


def _kind(chosen: Selection) -> tuple[str, str, int]:
    """Return survey, program and pixel of a coadd; where nobody else knows them, its header may."""
    file = chosen.file
    if file.survey:
        return file.survey, file.program, file.pix64
    header = chosen.coadd.fits.hdus[0].header if chosen.coadd is not None else {}
    pixel = header.get("HPXPIXEL")
    pixel = pixel if isinstance(pixel, int) and 0 <= pixel < 2**63 else -1
    return str(header.get("SURVEY") or ""), str(header.get("PROGRAM") or ""), pixel


def _write_targets(file: h5py.File, selections: Sequence[Selection], targets: Positions) -> None:
    target = np.concatenate([chosen.target for chosen in selections])
    hdf5.write_column(file, "row", targets.row[target])
    separation = np.concatenate([chosen.separation_arcsec for chosen in selections])
    hdf5.write_column(file, "separation_arcsec", separation, unit="arcsec")
    near = np.concatenate([chosen.near_target for chosen in selections])
    nearest = np.full(len(targets.row), np.inf)
    np.minimum.at(nearest, near, np.concatenate([chosen.near_arcsec for chosen in selections]))
    columns = {
        "row": targets.row,
        "n_spectra": np.bincount(target, minlength=len(targets.row)),
        "nearest_arcsec": np.where(np.isfinite(nearest), nearest, np.nan),
        "n_within_report_radius": np.bincount(near, minlength=len(targets.row)),
    }
    if targets.targetid is not None:
        likely = [chosen.likely_targetid for chosen in selections if chosen.likely_targetid is not None]
        columns["likely_targetid"] = np.max([np.full(len(targets.row), targetids.NONE), *likely], axis=0)
    hdf5.write_table(file.create_group("targets"), columns, {"nearest_arcsec": "arcsec"})


def _write_arms(file: h5py.File, read: Sequence[Selection], archive: Archive) -> None:
    """Copy the spectra, a batch of rows at a time, into datasets of their final length."""
    n = sum(len(chosen.fiber) for chosen in read)
    datasets = {arm: _arm_datasets(file.create_group(arm), arm, read, n) for arm in ARMS}
    begin = 0
    for chosen in read:
        assert chosen.coadd is not None
        for start in range(0, len(chosen.fiber), BATCH_ROWS):
            rows = chosen.fiber[start : start + BATCH_ROWS]
            try:
                with archive.metered(chosen.cost):
                    arms = chosen.coadd.read_arms(rows, chosen.wavelength)
            except MalformedFile as error:
                raise _Misfit(chosen.path, error) from error
            place = slice(begin, begin + len(rows))
            for arm, images in arms.items():
                for kind, dataset in datasets[arm].items():
                    values = getattr(images, kind)
                    if kind == "resolution":
                        pad = (dataset.shape[1] - values.shape[1]) // 2
                        dataset[place, pad : pad + values.shape[1]] = values
                    else:
                        dataset[place] = values
            begin += len(rows)
    assert begin == n


def _arm_datasets(group: h5py.Group, arm: str, read: Sequence[Selection], n: int) -> dict[str, h5py.Dataset]:
    wave = read[0].wavelength[arm]
    for chosen in read:
        if not np.array_equal(chosen.wavelength[arm], wave):
            error = MalformedFile(f"{chosen.path}: its {arm} wavelengths differ from those of {read[0].path}")
            raise _Misfit(chosen.path, error)
    hdf5.write_column(group, "wavelength", wave, unit="Angstrom")
    coadds = [chosen.coadd for chosen in read if chosen.coadd is not None]
    units = {"flux": "10**-17 erg/(s cm2 Angstrom)", "ivar": "10**+34 (s2 cm4 Angstrom2) / erg2"}
    datasets = {}
    for kind in coadds[0].kinds:
        dtype = np.result_type(*(coadd.dtype(arm, kind) for coadd in coadds))
        shape: tuple[int, ...] = (len(wave),)
        if kind == "resolution":
            # Other numbers of diagonals are padded with zeros on both sides: the same matrix.
            shape = (max(coadd.n_diagonals[arm] for coadd in coadds), len(wave))
        datasets[kind] = hdf5.spectra_dataset(group, kind, n, shape, dtype, compressed=False)
        if kind in units:
            datasets[kind].attrs["unit"] = units[kind]
    return datasets
