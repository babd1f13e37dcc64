"""HDF5 files of detections, made of extracted spectra: their three tables, as PyTables reads them.

What the columns of `detection_tables` hold here, beside what their names say:

==================  ===============================================================================================
``/Spectra``
``spec1d``          flux of all of the source's light, 1e-17 erg/s/cm² in 2 Å (hetdex_api halves it); with its error
``spec1d_nc``       the same before the correction for light beside fibers: ``spec1d · apcor``; with its error
``spec1d_ffsky``    as ``spec1d``, with the sky of the whole field taken off
``apcor``           share of the source's light that fibers got, all exposures together
``counts1d``        electrons in 2 Å of a mean fiber, for all of the source's light, weighted as ``spec1d``
``apsum_counts``    the same, as the plain sum of the fibers
``flag_pix``        1 where there is a flux, else 0
``wave1d``          Å in air
``/Fibers``
``weight``          in the spectrum: their sum is 1
``flag``            1: the fiber was used
``ADC``             arcsec by which images are moved along x at 3500, 4000, 4500, 5000 and 5500 Å
``wavein``          Å at which the fiber is at ``x_raw``, ``y_raw``
``/Detections``
``fiber_id`` …      of the fiber of the highest weight: ``expnum``, ``x_ifu``, ``x_raw``, ``weight``, ``chi2fib``, …
``apcor``           at ``wavein``
==================  ===============================================================================================

Attributes of the file: shot, failed (why there is nothing in it, or no text), missing (``NaN``), units, and what a step
adds.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.pytables import open_new, write_table
from skyharvest.reduction.hetdex.layout import shotid_of
from skyharvest.reduction.hetdex.shots.shot_tables import empty_rows
from skyharvest.reduction.hetdex.sources.cutouts import places, raw_pixels
from skyharvest.reduction.hetdex.sources.detection_tables import CHUNKS, DETECTIONS, FIBERS, SPECTRA, TABLES, UNITS
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers
from skyharvest.reduction.hetdex.sources.point_spectrum import PointSpectrum
from skyharvest.reduction.hetdex.stars import refraction
from skyharvest.reduction.hetdex.virus import GRID

MORE = ("calfib_counts", "calfibe_counts", "calfib_ffsky", "chi2", "trace", "wavelength")
"""Columns of ``/Data/Fibers`` that rows are made of: `ShotFibers.read` is asked for them."""


@dataclass(frozen=True)
class SourceRows:
    """Rows of sources.

    Attributes
    ----------
    detections, spectra, fibers
        Of the types `DETECTIONS` and `SPECTRA`, (n,) each, and `FIBERS`, any number for each.
    """

    detections: Array
    spectra: Array
    fibers: Array

    @classmethod
    def joined(cls, parts: Sequence["SourceRows"]) -> "SourceRows":
        """Return the rows of all parts, by detectid."""
        tables = []
        for name, kind in (("detections", DETECTIONS), ("spectra", SPECTRA), ("fibers", FIBERS)):
            rows = np.concatenate([np.zeros(0, kind), *(getattr(part, name) for part in parts)])
            tables.append(rows[np.argsort(rows["detectid"], kind="stable")])
        return cls(*tables)

    def __len__(self) -> int:
        return len(self.detections)


def rows_of_source(
    detectid: int, fibers: IfuFibers, spectrum: PointSpectrum, at_wave: float, values: dict[str, Any]
) -> SourceRows:
    """Return the rows of a source.

    Parameters
    ----------
    detectid
        Its number.
    fibers
        Of its IFU, with the columns `MORE`.
    spectrum
        What was extracted, with at least one fiber.
    at_wave
        Å, of ``x_raw`` and ``y_raw``.
    values
        Other columns of its row of ``/Detections``, such as wave, flux and sn. What is not given is not known.
    """
    used = spectrum.used
    ra, dec = fibers.pointing.to_sky(np.array([spectrum.x]), np.array([spectrum.y]))
    column, row = places(fibers.more["wavelength"][used], fibers.more["trace"][used], at_wave)
    of_fibers = empty_rows(FIBERS, len(used))
    of_fibers["detectid"] = detectid
    _name_fibers(of_fibers, fibers, used)
    of_fibers["ra"], of_fibers["dec"] = fibers.ra[used], fibers.dec[used]
    of_fibers["distance"], of_fibers["weight"] = spectrum.distance, spectrum.weight
    of_fibers["timestamp"] = [fibers.exposures[number].timestamp.encode() for number in fibers.expnum[used].tolist()]
    of_fibers["wavein"], of_fibers["flag"], of_fibers["ADC"] = at_wave, 1, refraction.SHIFTS
    of_fibers["x_raw"], of_fibers["y_raw"] = raw_pixels(column), raw_pixels(row)

    detection = empty_rows(DETECTIONS, 1)
    best = int(np.argmax(spectrum.weight))
    shared = [name for name in FIBERS.names or () if name in (DETECTIONS.names or ())]
    for name in shared:
        detection[name] = of_fibers[name][best]
    detection["shotid"], detection["ra"], detection["dec"] = shotid_of(fibers.shot), ra, dec
    detection["apcor"] = np.interp(at_wave, GRID, spectrum.apcor)
    pixel = int(of_fibers["x_raw"][best]) - 1
    if pixel >= 0:
        detection["chi2fib"] = fibers.more["chi2"][used[best], pixel]
    for name, value in values.items():
        detection[name] = value
    return SourceRows(detection, _spectrum_row(detectid, fibers, spectrum), of_fibers)


def _name_fibers(rows: Array, fibers: IfuFibers, used: Array) -> None:
    for name in ("multiframe", "fiber_id", "amp"):
        rows[name] = np.char.encode(getattr(fibers, name)[used], "ascii")
    rows["x_ifu"], rows["y_ifu"] = fibers.ifux[used], fibers.ifuy[used]
    rows["expnum"], rows["fibnum"] = fibers.expnum[used], fibers.fibnum[used]
    for name in ("ifuid", "ifuslot", "specid"):
        rows[name] = getattr(fibers.ifu, name).encode()
    shotid = shotid_of(fibers.shot)
    rows["date"], rows["obsid"] = shotid // 1000, shotid % 1000


def _spectrum_row(detectid: int, fibers: IfuFibers, spectrum: PointSpectrum) -> Array:
    made = empty_rows(SPECTRA, 1)
    more = fibers.more
    made["detectid"], made["wave1d"], made["apcor"] = detectid, GRID, spectrum.apcor
    made["spec1d"], made["spec1d_err"] = spectrum.flux, spectrum.error
    made["spec1d_nc"], made["spec1d_nc_err"] = spectrum.flux * spectrum.apcor, spectrum.error * spectrum.apcor
    made["spec1d_ffsky"] = spectrum.total(more["calfib_ffsky"])
    made["counts1d"] = spectrum.total(more["calfib_counts"])
    made["counts1d_err"] = spectrum.total_error(more["calfibe_counts"])
    made["apsum_counts"] = spectrum.summed(more["calfib_counts"])
    made["apsum_counts_err"] = spectrum.summed_error(more["calfibe_counts"])
    made["flag_pix"] = np.isfinite(spectrum.flux)
    return made


@contextmanager
def new_detection_file(path: Path, title: str, shot: str, failed: str = "", **attributes: Any) -> Iterator[h5py.File]:
    """Give a new file of detections, which appears when all of it is written.

    Parameters
    ----------
    path
        Where.
    title
        What it is.
    shot, failed, attributes
        Attributes of the file.
    """
    with atomic_path(path) as temporary, open_new(temporary, title) as file:
        file.attrs.update(shot=shot, failed=failed, missing="NaN", units=UNITS, **attributes)
        yield file


def write_rows(file: h5py.File, rows: SourceRows) -> None:
    """Write the three tables."""
    for name, kind in TABLES.items():
        values = getattr(rows, name.lower())
        assert values.dtype == kind and (np.diff(values["detectid"]) >= 0).all(), (
            f"{name}: rows of another type or order"
        )
        write_table(file, name, values, chunk=CHUNKS[name])


def read_rows(path: Path) -> tuple[SourceRows, dict[str, Any]]:
    """Read a file of detections.

    Returns
    -------
    rows
        None of a file that failed.
    attributes
        Of the file.

    Raises
    ------
    MalformedFile
        If it is none.
    """
    try:
        with h5py.File(path, "r") as file:
            attributes = dict(file.attrs)
            tables = [file[name][:] if name in file else np.zeros(0, kind) for name, kind in TABLES.items()]
    except OSError as error:
        raise MalformedFile(f"{path}: found no HDF5 file ({error}); remove it and run again") from None
    if "failed" not in attributes or any(
        rows.dtype != kind for rows, kind in zip(tables, TABLES.values(), strict=True)
    ):
        raise MalformedFile(f"{path}: found no tables of detections; remove it and run again")
    return SourceRows(*tables), attributes
