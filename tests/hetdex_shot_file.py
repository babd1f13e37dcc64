"""A shot's files as cubes are made of: calibrated fibers with known sources, in the layout of the steps before."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from skyharvest.formats.pytables import TableWriter, new_group, open_new, write_table
from skyharvest.reduction.hetdex.layout import Layout, shotid_of
from skyharvest.reduction.hetdex.shots.shot_file import FAILED_AMPS
from skyharvest.reduction.hetdex.shots.shot_tables import FIBER_INDEX, FIBERS, empty_shot
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers
from skyharvest.reduction.hetdex.stars.tangent import Pointing

OBJID = b"DEXsp_0123"


def with_quality(fibers: IfuFibers) -> IfuFibers:
    """Return fibers with what tells how good they are: all are good."""
    fine = np.ones((len(fibers), 1032), np.float32)
    return replace(fibers, more={"chi2": fine, "fiber_to_fiber": fine.copy()})


def pointed(fibers: IfuFibers, pointing: Pointing) -> IfuFibers:
    """Return fibers at the same places of the plane, which points elsewhere."""
    ra, dec = pointing.to_sky(fibers.x, fibers.y)
    return replace(fibers, pointing=pointing, ra=ra, dec=dec)


def shot_row(fibers: IfuFibers) -> np.ndarray:
    """Return the row of ``/Shot``, (1,)."""
    row = empty_shot()
    row["shotid"], row["date"], row["obsid"] = shotid_of(fibers.shot), int(fibers.shot[:8]), int(fibers.shot[9:])
    row["datevobs"], row["objid"], row["field"], row["time"] = fibers.shot.encode(), OBJID, b"dex-spring", b"0908076"
    row["ra"], row["dec"], row["pa"] = fibers.pointing.ra, fibers.pointing.dec, fibers.pointing.pa
    row["fwhm_virus"], row["response_4540"], row["n_ifu"], row["ambtemp"] = 1.8, 0.15, 1, 9.25
    for k, expnum in enumerate(fibers.exposures):
        row["expnum"][0, k], row["exptime"][0, k], row["mjd"][0, k] = expnum, 360 + 6 * k, 58486.25 + k / 128
        row["relflux_virus"][0, k] = 1.0
    return row


def write_shot(layout: Layout, fibers: IfuFibers) -> list[Path]:
    """Write shots/SHOT.h5, astrometry/SHOT.h5 and stars/SHOT.h5, with as much as is read of them."""
    paths = [layout.of_shot(step, fibers.shot) for step in ("shots", "astrometry", "stars")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.zeros(len(fibers), FIBERS)
    for name in ("multiframe", "fiber_id", "amp", "expnum", "fibidx", "fibnum", "ifux", "ifuy", "ra", "dec"):
        values = getattr(fibers, name)
        rows[name] = np.char.encode(values) if values.dtype.kind == "U" else values
    for name in ("specid", "ifuslot", "ifuid", "contid"):
        rows[name] = getattr(fibers.ifu, name).encode()
    rows["calfib"], rows["calfibe"] = fibers.flux, fibers.error
    for name, values in fibers.more.items():
        rows[name] = values
    failed = np.zeros(len(fibers.failed_amps), FAILED_AMPS)
    for row, ((expnum, amp), reason) in zip(failed, fibers.failed_amps.items(), strict=True):
        row["expnum"], row["amp"], row["reason"] = expnum, amp.encode(), reason.encode()
        for name in ("specid", "ifuslot", "ifuid", "contid"):
            row[name] = getattr(fibers.ifu, name).encode()
    with open_new(paths[0], fibers.shot) as file:
        file.attrs.update(shot=fibers.shot, failed="")
        write_table(file, "Shot", shot_row(fibers))
        data = new_group(file, "Data")
        with TableWriter(data, "Fibers", FIBERS, len(rows), chunk=28) as table:
            table.append(rows)
        write_table(data, "FiberIndex", np.array(rows[list(FIBER_INDEX.names)].tolist(), FIBER_INDEX))
        write_table(data, "FailedAmps", failed)
    _write_astrometry(paths[1], fibers)
    with h5py.File(paths[2], "w") as file:
        file.attrs.update(shot=fibers.shot, failed="")
        kinds = [("expnum", "i4"), ("fwhm", "f8"), ("norm", "f8")]
        file["exposures"] = np.array([(one.expnum, one.fwhm, one.norm) for one in fibers.exposures.values()], kinds)
    return paths


def _write_astrometry(path: Path, fibers: IfuFibers) -> None:
    at = fibers.pointing
    exposures = [(one.expnum, at.ra, at.dec, at.pa, one.timestamp.encode()) for one in fibers.exposures.values()]
    kinds = [("expnum", "i4"), ("ra", "f8"), ("dec", "f8"), ("pa", "f8"), ("timestamp", "S20")]
    with h5py.File(path, "w") as file:
        file.attrs.update(shot=fibers.shot, failed="")
        file["Solution/exposures"] = np.array(exposures, kinds)
        for expnum in fibers.exposures:
            of = np.flatnonzero(fibers.expnum == expnum)[::-1]  # in another order
            places = np.zeros(len(of), [("multiframe", "S20"), ("fibidx", "i4"), ("ra", "f8"), ("dec", "f8")])
            places["multiframe"] = np.char.encode(fibers.multiframe[of])
            for name in ("fibidx", "ra", "dec"):
                places[name] = getattr(fibers, name)[of]
            file[f"Solution/fibers/exp{expnum:02d}"] = places
