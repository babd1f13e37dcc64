"""The public file of an amplifier's exposure, ``multi_{specid}_{ifuslot}_{ifuid}_{amp}.fits``.

17 HDUs in a fixed order (`LAYOUT`), as HETDEX's own reduction writes them and public tools read them, all float32 and
with their names as EXTNAME, but for one of a single pixel without a name. What is missing is NaN. The first header is
that of the raw frame, and has:

======= ==================================================================
NAME0   the raw frame's name
NCUT    pixels of spectra that were cut: for cosmic rays, bad pixels or χ²
NERR    pixels of the image without an error: masked
NBTRACE fibers without light
NBACK   fibers that told the local sky
NBACKB  fibers with light that did not: with a source, or low
======= ==================================================================
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
from numpy.typing import NDArray

from skyharvest.core.arrays import Float32s
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.layout import AMPS, Pairing
from skyharvest.reduction.hetdex.virus import N_FIBERS, SIZE

_IMAGE, _SPECTRA = (SIZE, SIZE), (N_FIBERS, SIZE)
LAYOUT: dict[str, tuple[int, int]] = {
    "processed": _IMAGE,
    "error": _IMAGE,
    "clean_image": _IMAGE,
    "model2d": _IMAGE,
    "flat": _IMAGE,
    "flat_orig": _IMAGE,
    "ifupos": (N_FIBERS, 2),
    "chi2": _SPECTRA,
    "rms": _SPECTRA,
    "": (1, 1),
    "spectrum": _SPECTRA,
    "wavelength": _SPECTRA,
    "trace": _SPECTRA,
    "fiber_to_fiber": _SPECTRA,
    "error1d": _SPECTRA,
    "sky_subtracted": _SPECTRA,
    "sky_spectrum": _SPECTRA,
}
"""Name and shape of each HDU, in order. "" has no name, and a pixel that means nothing."""
NAME = re.compile(rf"multi_(?P<specid>\d{{3}})_(?P<ifuslot>\d{{3}})_(?P<ifuid>\d{{3}})_(?P<amp>{'|'.join(AMPS)})\.fits")
"""What a file is called."""
COUNTS = ("NCUT", "NERR", "NBTRACE", "NBACK", "NBACKB")
_OF_THE_FILE = ("SIMPLE", "BITPIX", "EXTEND", "BSCALE", "BZERO", "CHECKSUM", "DATASUM", "EXTNAME", "END", "")


def multiframe(specid: str, ifuslot: str, ifuid: str, amp: str) -> str:
    """Return HETDEX's name of a pairing's amplifier, of which files and rows have it: ``multi_317_015_038_LL``."""
    return f"multi_{specid}_{ifuslot}_{ifuid}_{amp}"


def name_of(ifu: str, amp: str) -> str:
    """Return the name of the file of a pairing's amplifier."""
    specid, ifuslot, ifuid, _ = Pairing.named(ifu)
    return f"{multiframe(specid, ifuslot, ifuid, amp)}.fits"


def write(path: Path, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a file; the caller sees to it that it appears whole.

    Parameters
    ----------
    path
        A file that does not exist.
    header
        Cards of the raw frame, ``NAME0`` and all of `COUNTS`.
    arrays
        By the names of `LAYOUT`.
    """
    assert set(arrays) == set(LAYOUT) - {""}, f"found {sorted(arrays)}; expected {sorted(LAYOUT)}"
    assert {"NAME0", *COUNTS} <= set(header)
    cards = [
        {"name": name, "value": value}
        for name, value in header.items()
        if name not in _OF_THE_FILE and not name.startswith("NAXIS")
    ]
    with fitsio.FITS(str(path), "rw", clobber=True) as out:
        for number, (name, shape) in enumerate(LAYOUT.items()):
            array = np.ascontiguousarray(arrays[name] if name else np.full(shape, np.nan), np.float32)
            assert array.shape == shape, f"found {name} of shape {array.shape}; expected {shape}"
            out.write(array, extname=name or None, header=None if number else cards)


def read(path: Path, *names: str) -> list[Float32s]:
    """Return arrays, float32, in the order of their names.

    Raises
    ------
    MalformedFile
        If the file is no multifits, or has no such arrays.
    """
    try:
        with fitsio.FITS(str(path)) as file:
            return [_array(file[name].read(), name, path) for name in names]
    except OSError as error:
        raise MalformedFile(
            f"{path}: found no multifits with {', '.join(names)} ({error}); remove its directory and run again"
        ) from None


def read_part(file: fitsio.FITS, path: Path, name: str, rows: slice, columns: slice) -> Float32s:
    """Return a part of an array of a file that is open, (rows, columns) f4; nothing else is read.

    Parameters
    ----------
    file, path
        The file, and its name for errors.
    name
        Of the array.
    rows, columns
        Of the part.

    Raises
    ------
    MalformedFile
        If the file has no such array.
    """
    try:
        shape = tuple(file[name].get_dims())
        part = file[name][rows, columns] if shape == LAYOUT[name] else None
    except OSError as error:
        raise MalformedFile(f"{path}: found no {name} ({error}); remove its directory and run again") from None
    if part is None:
        raise MalformedFile(f"{path}: found {name} of shape {shape}; expected {LAYOUT[name]}")
    return np.ascontiguousarray(part, np.float32)


def read_header(path: Path) -> dict[str, Any]:
    """Return the first header's cards.

    Raises
    ------
    MalformedFile
        If the file is no FITS.
    """
    try:
        header = fitsio.read_header(str(path))
    except OSError as error:
        raise MalformedFile(f"{path}: found no multifits ({error}); remove its directory and run again") from None
    return {name: header[name] for name in header if name}


def _array(array: NDArray[Any], name: str, path: Path) -> Float32s:
    if array.shape != LAYOUT[name]:
        raise MalformedFile(f"{path}: found {name} of shape {array.shape}; expected {LAYOUT[name]}")
    return np.ascontiguousarray(array, np.float32)
