"""Assemble the toy survey's spectra of one NSIDE=16 pixel: ``/toy/*`` beside ``/<name>/*``, the CSV's columns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.formats import arrow, hdf5
from skyharvest.harvest import assembled
from skyharvest.surveys.toy.about import SURVEY
from skyharvest.surveys.toy.table import WAVELENGTH
from skyharvest.targets.csv_columns import write_csv_columns

UNITS = {"ra": "deg", "dec": "deg", "separation_arcsec": "arcsec", "spectrum_flux": "10**-17 erg/(s cm2 Angstrom)"}


def assemble_toy(
    pix16: int, extracted: Path, out: Path, *, targets: Path, name: str, attributes: Mapping[str, Any]
) -> int:
    """Assemble one NSIDE=16 pixel and return its number of spectra.

    Parameters
    ----------
    pix16
        The pixel (NESTED).
    extracted
        The extracted file of its table.
    out
        The file to write.
    targets
        ``targets.parquet``.
    name
        The HDF5 group that holds the CSV's own columns.
    attributes
        Root attributes beside the pixel and the provenance.
    """
    table = arrow.rows_where(targets, "pix16", pix16)
    with hdf5.reading(extracted, check=True) as file:
        columns = hdf5.read_table(file)
    row = columns.pop("row")
    del columns["file"]
    with hdf5.create(out) as file:
        assembled.describe(file, SURVEY.name, name, pix16, targets=table, attributes=attributes)
        group = file.create_group(SURVEY.name)
        hdf5.write_table(group, columns, UNITS)
        hdf5.write_column(group, "wavelength", WAVELENGTH, unit="Angstrom", medium="vacuum")
        rows = arrow.to_numpy(table.column("row"))[0]
        write_csv_columns(file.create_group(name), table, np.searchsorted(rows, row))
    return len(row)
