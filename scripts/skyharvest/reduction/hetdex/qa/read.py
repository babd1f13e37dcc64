"""Values of products, by name: ``step.value``. What is no number is not collected; what failed has none."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fitsio
import h5py
import numpy as np

from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.amp_file import DONE, TABLE, AmpFile, text
from skyharvest.reduction.hetdex.layout import name_of_exposure
from skyharvest.reduction.hetdex.spectra import amp_dat, amps_csv

Values = dict[str, float]

EXPOSURE_TABLES = {"astrometry": "Solution/exposures", "stars": "exposures"}
"""Step → the table with a row for each exposure in its HDF5 file."""
AMP_FILE = "amp.dat"
_ABOUT = ("ifu", "amp", "state", "reason", "expnum")


def amp_values(step: str, path: Path) -> dict[str, Values]:
    """Return what a product by amplifier says of each that is done.

    Raises
    ------
    MalformedFile
        If it is no such product.
    """
    with AmpFile(path) as product:
        return {
            amp: dict(_numbers(step, product.values(amp)))
            for amp, (state, _) in product.states.items()
            if state == DONE
        }


def amp_to_amp_values(path: Path) -> dict[str, Values]:
    """Return what the comparison of a month's amplifiers says of each that is done, ``PAIRING_AMP``.

    Raises
    ------
    MalformedFile
        If it is no such product.
    """
    try:
        with fitsio.FITS(str(path)) as file:
            table = file[TABLE].read()
    except OSError as error:
        raise MalformedFile(f"{path}: found no comparison of amplifiers ({error}); remove it and run again") from None
    rows = ({name: _plain(row[name]) for name in table.dtype.names} for row in table)
    return {f"{row['ifu']}_{row['amp']}": dict(_numbers("amp_to_amp", row)) for row in rows if row["state"] == DONE}


def exposed_values(step: str, directory: Path) -> dict[str, Values]:
    """Return what ``amps.csv`` of a pairing's directory says of each amplifier that is done.

    Raises
    ------
    MalformedFile
        If it is no such table.
    """
    states = amps_csv.read(directory)
    return {amp: dict(_numbers(step, state.values)) for amp, state in states.items() if state.done}


def full_sky_values(directory: Path, ifus: Iterable[str]) -> dict[str, Values]:
    """Return what ``amp.dat`` of an exposure says of amplifiers, ``PAIRING_AMP``.

    Parameters
    ----------
    directory
        Of the full-field sky.
    ifus
        Pairings of the exposure: the file names amplifiers without the controller.

    Raises
    ------
    MalformedFile
        If it is no such table, or has another pairing.
    """
    path = directory / AMP_FILE
    pairings = {ifu.rpartition("_")[0]: ifu for ifu in ifus}
    found = {}
    for name, row in amp_dat.read(path).items():
        pairing, _, amp = name.rpartition("_")
        if pairing not in pairings:
            raise MalformedFile(f"{path}: found {name}, a pairing that the exposure has not; remove {directory}")
        found[f"{pairings[pairing]}_{amp}"] = dict(_numbers("full_sky", asdict(row)))
    return found


def shot_values(step: str, path: Path) -> tuple[Values, dict[str, Values]]:
    """Return what the HDF5 file of a shot's step says; nothing of one that failed.

    Returns
    -------
    values
        Of the shot: attributes of the file.
    exposures
        Exposure → its values: the columns of `EXPOSURE_TABLES`.

    Raises
    ------
    MalformedFile
        If it is no HDF5 file.
    """
    try:
        with h5py.File(path) as file:
            attributes = {name: _plain(value) for name, value in file.attrs.items()}
            table = EXPOSURE_TABLES.get(step)
            rows = file[table][()] if table and table in file else np.zeros(0, [("expnum", "i4")])
    except OSError as error:
        raise MalformedFile(f"{path}: found no HDF5 file ({error}); remove it and run again") from None
    if attributes.get("failed"):
        return {}, {}
    exposures = {
        name_of_exposure(int(row["expnum"])): dict(
            _numbers(step, {name: _plain(row[name]) for name in rows.dtype.names or ()})
        )
        for row in rows
    }
    return dict(_numbers(step, attributes)), exposures


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return text(value)
    return value.item() if isinstance(value, np.generic) else value


def _numbers(step: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if name not in _ABOUT and isinstance(value, int | float):
            yield f"{step}.{name}", float(value)
