"""Tables of the HDF5 file of a shot, as HETDEX's own files have them: their columns in the order of PyTables."""

from typing import Any

import numpy as np

N_EXPOSURES = 3
"""Exposures of a shot's arrays."""

Type = np.dtype[Any]


def columns_of(text: str) -> Type:
    """Return a packed type: ``name type`` separated by commas, ``type*n`` for arrays."""
    fields: list[tuple[Any, ...]] = []
    for column in text.replace("\n", " ").split(","):
        name, kind = column.split()
        kind, _, many = kind.partition("*")
        base = np.dtype(kind if kind.startswith("S") else f"<{kind}")
        shape = tuple(int(n) for n in many.split("x")) if many else None
        fields.append((name, base, shape) if shape else (name, base))
    return np.dtype(fields)


SHOT = columns_of(
    """shotid i8, field S12, objid S18, date i4, obsid i4, ra f8, dec f8, pa f8, n_ifu i4, fwhm_virus f4,
    fwhm_virus_err f4, response_4540 f4, relflux_virus f4*3, ambtemp f4, darktime f4*3, datevobs S12, dewpoint f4,
    expnum i4*3, exptime f4*3, humidity f4, mjd f4*3, nstars_fit i4*3, nstars_fit_fwhm i4, obsind i4, pressure f4,
    structaz f4, time S7, trajcdec f4, trajcpa f4, trajcra f4, xditherpos f4*3, xoffset f4*3, xrms f4*3, yditherpos
    f4*3, yoffset f4*3, yrms f4*3"""
)
FIBERS = columns_of(
    """multiframe S20, ra f4, dec f4, fiber_id S38, amp S2, calfib f4*1036, calfib_counts f4*1036, calfib_ffsky f4*1036,
    calfibe f4*1036, calfibe_counts f4*1036, chi2 f4*1032, contid S8, error1D f4*1032, expnum i4, fiber_to_fiber
    f4*1032, fibidx i4, fibnum i4, fpx f4, fpy f4, ifuid S3, ifuslot S3, ifux f4, ifuy f4, obsind i4, rms f4*1032,
    sky_spectrum f4*1032, sky_subtracted f4*1032, specid S3, spectrum f4*1032, trace f4*1032, wavelength f4*1032"""
)
FIBER_INDEX = columns_of(
    """multiframe S20, ra f4, dec f4, fiber_id S38, expnum i4, fibidx i4, fibnum i4, fpx f4, fpy f4, ifux f4, ifuy f4"""
)
IMAGES = columns_of(
    """multiframe S20, amp S2, clean_image f4*1032x1032, contid S8, error f4*1032x1032, expnum i4, ifuid S3, ifuslot S3,
    image f4*1032x1032, obsind i4, specid S3"""
)

_FIELDS = (
    ("parallel", ("par",)),
    ("cosmos", ("COS", "cos", "DEXcos", "DEXcs")),
    ("egs", ("EGS",)),
    ("goods-n", ("GN",)),
    ("dex-fall", ("DEX0", "DEXfl", "HF")),
    ("dex-spring", ("HS", "DEXsp")),
    ("nep", ("NEP",)),
    ("ssa22", ("SSA22",)),
)


def field_of(objid: str) -> str:
    """Return the field of a shot by the name of its object, as HETDEX calls it: ``dex-spring``; ``other`` if none."""
    return next((field for field, beginnings in _FIELDS if objid.startswith(beginnings)), "other")


def empty_rows(kind: Type, n: int) -> np.ndarray[Any, Any]:
    """Return n rows of a table that say nothing: NaN, -1 for whole numbers, no text."""
    rows = np.zeros(n, kind)
    for name in kind.names or ():
        base = kind[name].base.kind
        if base in "fi":
            rows[name] = np.nan if base == "f" else -1
    return rows


def empty_shot() -> np.ndarray[Any, Any]:
    """Return a row of ``/Shot`` that says nothing."""
    return empty_rows(SHOT, 1)
