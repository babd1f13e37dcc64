"""Take out of a few coadds the rows that match a few targets, and write them as they are.

Layout of an extracted file (n matched rows, ordered by coadd, then CSV row, then distance; a CSV row that matches two
spectra has two rows, a spectrum that two CSV rows match is there twice):

=========================================  ====================================================================
``row``, ``separation_arcsec``             (n,) CSV row and great-circle distance; absent without targets
``kept``                                   (n,) whether the assembled file takes it: some pixel of an arm is good (ivar
                                           > 0, mask 0), and the fiber is not of sky, unless those are wanted
``targetid``, ``ra``, ``dec``              (n,) of the fiber, degrees
``file``, ``coadd_row``                    (n,) index into ``files``, and row of that coadd
``fibermap/*``, ``scores/*``               (n,) every column, under its own name; scores that are not known are NaN
``redshifts/*``                            (n,) every column of redrock's REDSHIFTS, aligned by TARGETID; NaN, ZWARN -1
                                           where they are not known
``b|r|z/wavelength``                       (npix,) Å
``b|r|z/flux, ivar, mask``                 (n, npix) bit for bit as in the coadd; NaN, 0 and `NODATA` where it has no
                                           such arm
``b|r|z/resolution``                       (n, ndiag, npix) ditto, if wanted; NaN
``lsf_sigma``                              (n, nwave) float32, if wanted: width of the combined spectrum's line-spread
                                           function, `skyharvest.surveys.desi.spectra.lsf_sigma`
``files/…``                                one per coadd asked for: `skyharvest.harvest.extracted`; ``without`` may say
                                           ``arm z``, ``resolution z``, ``redshifts``, ``scores``; ``beside`` is of its
                                           redshifts and torn scores; ``n_searched`` are its fibers
``files/pix64``                            its pixel
``files/arms``                             the arms that it has: ``b r z``; empty if it was not read
``targets/row``                            every target of the pixel
``targets/n_spectra, n_empty``             matches that are kept, and that are not
``targets/nearest_arcsec``                 distance to the nearest fiber within the report radius or NaN
``targets/n_within_report_radius``         fibers within the report radius
``targets/likely_targetid``                where TARGETIDs are matched: that of a fiber nearby from which the target's
                                           own, which no fiber has, was probably rounded; -1 if there is none
attribute ``request``                      digest of the targets and options that it was made for
=========================================  ====================================================================
"""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np

from skyharvest import __version__
from skyharvest.archive.archive import Archive, Cost
from skyharvest.core.arrays import Array, Floats
from skyharvest.core.errors import MalformedFile
from skyharvest.formats import hdf5
from skyharvest.formats.hdf5_spectra import spectra_dataset, write_rows
from skyharvest.harvest.extracted import Files, write_files
from skyharvest.surveys.desi import selection
from skyharvest.surveys.desi.coadd import N_DIAGONALS, arm_grid
from skyharvest.surveys.desi.release import CoaddFile
from skyharvest.surveys.desi.selection import Selection, go_without, select
from skyharvest.surveys.desi.shown import ARMS
from skyharvest.surveys.desi.spectra import (
    LSF_UNIT,
    combined_grid,
    has_data,
    is_same_grid,
    is_sky,
    lsf_sigma,
    stack_what_fits,
    with_resolution,
)
from skyharvest.surveys.desi.wanted import FORMAT, Positions, Wanted
from skyharvest.targets import targetids

log = logging.getLogger(__name__)


BATCH_ROWS = 128  # spectra held at once: 57 MB with their resolution


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
                    selections.append(select(archive, coadd, wanted, bad.get(coadd.path), opened))
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
                    time.sleep(selection.SECOND_READING_S)


class _Misfit(Exception):
    """A coadd whose headers were fine, but not its spectra, or that does not go with the pixel's others."""

    def __init__(self, path: str, error: MalformedFile) -> None:
        super().__init__(path)
        self.path = path
        self.error = error


def _write(file: h5py.File, selections: Sequence[Selection], wanted: Wanted, archive: Archive) -> None:
    file.attrs["format"] = FORMAT
    file.attrs["request"] = wanted.digest([chosen.file for chosen in selections])
    file.attrs["skyharvest_version"] = __version__
    lengths = [len(chosen.fiber) for chosen in selections]
    number = np.repeat(np.arange(len(selections)), lengths)
    hdf5.write_column(file, "file", number.astype(np.int32))
    hdf5.write_column(file, "coadd_row", np.concatenate([chosen.fiber for chosen in selections]))
    if wanted.targets is not None:
        _write_rows(file, selections, wanted.targets)
        file.attrs["radius_arcsec"] = wanted.radius_arcsec
        file.attrs["report_radius_arcsec"] = wanted.report_radius_arcsec
    read = [chosen for chosen in selections if chosen.coadd is not None]
    # What nothing is wanted of sets no grid and no column; without any match, the first one's are the file's.
    read = [chosen for chosen in read if len(chosen.fiber)] or read
    n_of_read = [len(chosen.fiber) for chosen in read]
    fibermap = _stack(read, [chosen.fibermap for chosen in read], n_of_read)
    if fibermap:
        _write_spectra(file, read, fibermap, wanted, archive)
    _write_files(file, selections)
    hdf5.write_column(file, "kept", np.concatenate([chosen.kept for chosen in selections]))
    if wanted.targets is not None:
        _write_targets(file, selections, wanted.targets)


def _write_spectra(
    file: h5py.File, read: Sequence[Selection], fibermap: dict[str, Array], wanted: Wanted, archive: Archive
) -> None:
    n_of_read = [len(chosen.fiber) for chosen in read]
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
    _write_arms(file, read, wanted, archive)


def _stack(read: Sequence[Selection], tables: Sequence[dict[str, Array]], lengths: Sequence[int]) -> dict[str, Array]:
    """Stack the coadds' tables; a column that does not go with those of the coadds before it is left out."""
    stacked, misfits = stack_what_fits(tables, lengths)
    for k, column in misfits:
        why = f"{read[k].path}: column {column} has another shape or type than in the pixel's other coadds"
        go_without(read[k], f"column {column}", why)
    return stacked


def _write_files(file: h5py.File, selections: Sequence[Selection]) -> None:
    kinds = [_kind(chosen) for chosen in selections]
    files = Files(
        path=[chosen.path for chosen in selections],
        kind=[(survey, program) for survey, program, _ in kinds],
        status=[chosen.status for chosen in selections],
        reason=[chosen.reason for chosen in selections],
        beside=[chosen.beside for chosen in selections],
        n_searched=[chosen.n_fibers for chosen in selections],
        without=["; ".join(chosen.without) for chosen in selections],
    )
    arms = [" ".join(chosen.wavelength) for chosen in selections]
    pix64 = np.array([pix64 for _, _, pix64 in kinds], np.int64)
    write_files(file, files, {"pix64": pix64, "arms": np.array(arms, object)})


def _kind(chosen: Selection) -> tuple[str, str, int]:
    """Return survey, program and pixel of a coadd; where nobody else knows them, its header may."""
    file = chosen.file
    if file.survey:
        return file.survey, file.program, file.pix64
    header = chosen.coadd.fits.hdus[0].header if chosen.coadd is not None else {}
    pixel = header.get("HPXPIXEL")
    pixel = pixel if isinstance(pixel, int) and 0 <= pixel < 2**63 else -1
    return str(header.get("SURVEY") or ""), str(header.get("PROGRAM") or ""), pixel


def _write_rows(file: h5py.File, selections: Sequence[Selection], targets: Positions) -> None:
    target = np.concatenate([chosen.target for chosen in selections])
    hdf5.write_column(file, "row", targets.row[target])
    separation = np.concatenate([chosen.separation_arcsec for chosen in selections])
    hdf5.write_column(file, "separation_arcsec", separation, unit="arcsec")


def _write_targets(file: h5py.File, selections: Sequence[Selection], targets: Positions) -> None:
    """Write what was found of each target; which spectra are kept is known once all have been read."""
    kept, empty = (
        np.concatenate([chosen.target[chosen.kept == whether] for chosen in selections]) for whether in (True, False)
    )
    near = np.concatenate([chosen.near_target for chosen in selections])
    nearest = np.full(len(targets.row), np.inf)
    np.minimum.at(nearest, near, np.concatenate([chosen.near_arcsec for chosen in selections]))
    columns = {
        "row": targets.row,
        "n_spectra": np.bincount(kept, minlength=len(targets.row)),
        "n_empty": np.bincount(empty, minlength=len(targets.row)),
        "nearest_arcsec": np.where(np.isfinite(nearest), nearest, np.nan),
        "n_within_report_radius": np.bincount(near, minlength=len(targets.row)),
    }
    if targets.targetid is not None:
        likely = [chosen.likely_targetid for chosen in selections if chosen.likely_targetid is not None]
        columns["likely_targetid"] = np.max([np.full(len(targets.row), targetids.NONE), *likely], axis=0)
    hdf5.write_table(file.create_group("targets"), columns, {"nearest_arcsec": "arcsec"})


def _write_arms(file: h5py.File, read: Sequence[Selection], wanted: Wanted, archive: Archive) -> None:
    """Copy the spectra, a batch of rows at a time, into datasets of their final length; find out which are kept."""
    n = sum(len(chosen.fiber) for chosen in read)
    datasets = {arm: _arm_datasets(file.create_group(arm), arm, read, n, resolution=wanted.resolution) for arm in ARMS}
    wavelength = {arm: file[arm]["wavelength"][:] for arm in ARMS}
    widths = _lsf_dataset(file, n, wavelength) if wanted.lsf else None
    without_sky = wanted.targets is not None and not wanted.sky_fibers
    begin = 0
    for chosen in read:
        assert chosen.coadd is not None
        for start in range(0, len(chosen.fiber), BATCH_ROWS):
            rows = chosen.fiber[start : start + BATCH_ROWS]
            try:
                with archive.metered(chosen.cost):
                    arms = chosen.coadd.read_arms(rows, wavelength)
            except MalformedFile as error:
                raise _Misfit(chosen.path, error) from error
            chosen.kept[start : start + len(rows)] = has_data(arms)
            place = slice(begin, begin + len(rows))
            for arm, images in arms.items():
                for kind, dataset in datasets[arm].items():
                    values = getattr(images, kind)
                    if values is None:
                        dataset[place] = np.nan
                    elif kind == "resolution":
                        pad = (dataset.shape[1] - values.shape[1]) // 2
                        dataset[place, pad : pad + values.shape[1]] = values
                    else:
                        write_rows(dataset, place, values)
            if widths is not None:
                found = lsf_sigma({arm: with_resolution(arms[arm]) for arm in ARMS}, list(chosen.wavelength))
                write_rows(widths, place, found)
            begin += len(rows)
        if without_sky:
            chosen.kept &= ~is_sky(chosen.fibermap.get("OBJTYPE"), len(chosen.fiber))
    assert begin == n


def _lsf_dataset(file: h5py.File, n: int, wavelength: Mapping[str, Floats]) -> h5py.Dataset:
    shape = combined_grid(wavelength).shape
    return spectra_dataset(file, "lsf_sigma", n, shape, np.float32, compressed=True, unit=LSF_UNIT)


def _arm_datasets(
    group: h5py.Group, arm: str, read: Sequence[Selection], n: int, *, resolution: bool
) -> dict[str, h5py.Dataset]:
    having = [chosen for chosen in read if arm in chosen.wavelength]
    wave = having[0].wavelength[arm] if having else arm_grid(arm)
    for chosen in having:
        if not is_same_grid(chosen.wavelength[arm], wave):
            error = MalformedFile(f"{chosen.path}: its {arm} wavelengths differ from those of {having[0].path}")
            raise _Misfit(chosen.path, error)
    hdf5.write_column(group, "wavelength", wave, unit="Angstrom")
    coadds = [chosen.coadd for chosen in having or read if chosen.coadd is not None]
    units = {"flux": "10**-17 erg/(s cm2 Angstrom)", "ivar": "10**+34 (s2 cm4 Angstrom2) / erg2"}
    datasets = {}
    for kind in ("flux", "ivar", "mask", *(["resolution"] if resolution else [])):
        dtype = np.result_type(*(coadd.dtype(arm, kind) for coadd in coadds))
        shape: tuple[int, ...] = (len(wave),)
        if kind == "resolution":
            # Other numbers of diagonals are padded with zeros on both sides: the same matrix.
            shape = (max(coadd.n_diagonals.get(arm, 0) for coadd in coadds) or N_DIAGONALS, len(wave))
        datasets[kind] = spectra_dataset(group, kind, n, shape, dtype, compressed=kind == "mask")
        if kind in units:
            datasets[kind].attrs["unit"] = units[kind]
    return datasets
