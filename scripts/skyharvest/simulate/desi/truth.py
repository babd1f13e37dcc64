"""The expected result of every CSV row, found by brute force: all pairs, great circles."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import healpy
import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.simulate.desi.coadd import SimulatedCoadd
from skyharvest.simulate.desi.sky import ABSENT, COADDS, OTHER_SURVEY, CsvRow, degrees, pixel, unit
from skyharvest.simulate.desi.spectrograph import ARMS
from skyharvest.simulate.fits_write import columns

MATCH_ARCSEC = 1.0
REPORT_ARCSEC = 3.0


def true_spectra(coadd: SimulatedCoadd) -> dict[str, Array]:
    """Return a coadd's share of the group ``spectra`` of ``truth.hdf5``."""
    n = len(coadd.fibermap)
    fit = coadd.redshifts[np.argsort(np.argsort(coadd.sources.targetid))]  # back to FIBERMAP's order
    assert (fit["TARGETID"] == coadd.sources.targetid).all()
    return {
        "targetid": coadd.sources.targetid,
        "survey": np.full(n, coadd.survey, dtype="S7"),
        "program": np.full(n, coadd.program, dtype="S6"),
        "pix64": np.full(n, coadd.pix64),
        "ra": coadd.sources.ra,
        "dec": coadd.sources.dec,
        "z": coadd.sources.z,
        "spectype": coadd.sources.spectype,
        "subtype": coadd.sources.subtype,
        "zwarn": fit["ZWARN"],
        "tsnr2_lrg": coadd.scores["TSNR2_LRG"],
        "flux": coadd.combined_noise_free().astype(np.float32),
        **{f"lsf_sigma_{arm}": coadd.sigma[arm].astype(np.float32) for arm in ARMS},
    }


def _separation(a: Floats, b: Floats) -> Floats:
    """Return great-circle distances in arcsec, accurate at every scale (atan2 of cross and dot product)."""
    cross = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.asarray(np.degrees(np.arctan2(cross, (a * b).sum(axis=-1))) * 3600)


def _touched(at: Floats) -> set[int]:
    """Return the NSIDE=64 pixels that the match circle touches, by sampling it densely."""
    east = np.cross([0.0, 0.0, 1.0], at) if abs(at[2]) < 1 else np.array([1.0, 0.0, 0.0])
    east /= np.linalg.norm(east)
    north = np.cross(at, east)
    phi = np.linspace(0, 2 * np.pi, 720, endpoint=False)[:, None]
    directions = np.cos(phi) * east + np.sin(phi) * north
    touched = []
    for arcsec in (0.98 * MATCH_ARCSEC, 1.02 * MATCH_ARCSEC):
        circle = at + directions * np.radians(arcsec / 3600)
        touched.append({pixel(at), *healpy.vec2pix(64, *circle.T, nest=True).tolist()})
    assert touched[0] == touched[1], f"the match circle of the row at {degrees(at)} almost touches a pixel"
    return touched[0]


def _expected(csv_rows: Sequence[CsvRow], spectra: Mapping[str, Array]) -> tuple[Array, Array]:
    """Find the expected result of every CSV row by brute force.

    Returns
    -------
    rows, matches
        Structured arrays, the datasets of ``truth.hdf5``.
    """
    fibers = unit(spectra["ra"], spectra["dec"])
    of_row = "row:i8 status:S12 n_spectra:i8 nearest_arcsec:f8 n_within_report_radius:i8 pix64:i8 missing_coadds:i8"
    rows = np.zeros(len(csv_rows), columns(of_row))
    matches: list[tuple[int, int, float]] = []
    for i, row in enumerate(csv_rows):
        if row.status == "rejected":
            rows[i] = (i, b"rejected", 0, np.nan, 0, -1, 0)
            continue
        at = unit(float(row.ra), float(row.dec))
        touched = _touched(at)
        distance = np.where(np.isin(spectra["pix64"], list(touched)), _separation(at, fibers), np.inf)
        for limit in (MATCH_ARCSEC, REPORT_ARCSEC):
            assert (np.abs(distance - limit) > 1e-3).all(), f"CSV row {row.name}: a fiber at just {limit} arcsec"
        matched = np.flatnonzero(distance <= MATCH_ARCSEC)
        reported = distance <= REPORT_ARCSEC
        missing = sum(pix64 in touched for *_, pix64 in ABSENT)
        if len(matched):
            status = "matched"
        elif touched & COADDS.keys():
            status = "no_fiber"
        else:
            elsewhere = touched & {pix64 for *_, pix64 in OTHER_SURVEY}
            status = "coadd_absent" if missing else "not_selected" if elsewhere else "not_covered"
        assert status == row.status, f"CSV row {row.name}: laid out to be {row.status}, is {status}"
        nearest = distance.min() if reported.any() else np.nan
        rows[i] = (i, status.encode(), len(matched), nearest, reported.sum(), pixel(at), missing)
        matches += [(i, int(spectrum), float(distance[spectrum])) for spectrum in matched]
    return rows, np.array(matches, columns("row:i8 spectrum:i8 separation_arcsec:f8"))


def write_truth(path: Path, csv_rows: Sequence[CsvRow], observed: Sequence[Mapping[str, Array]]) -> None:
    """Write ``truth.hdf5``: see `release.simulate`. ``observed``: the `true_spectra` of every coadd."""
    spectra = {name: np.concatenate([part[name] for part in observed]) for name in observed[0]}
    rows, matches = _expected(csv_rows, spectra)
    with h5py.File(path, "w") as file:
        for group, table in (("rows", rows), ("matches", matches)):
            for name in table.dtype.names or ():
                file[f"{group}/{name}"] = table[name]
        for name, values in spectra.items():
            if values.ndim == 1:
                file[f"spectra/{name}"] = values
            else:
                chunks = (min(16, len(values)), values.shape[1])
                file.create_dataset(
                    f"spectra/{name}", data=values, chunks=chunks, shuffle=True, compression="gzip", compression_opts=1
                )
        file["rows"].attrs.update(match_radius_arcsec=MATCH_ARCSEC, report_radius_arcsec=REPORT_ARCSEC)
