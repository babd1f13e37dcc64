"""A catalogue of redshifts with the columns of DR1's zall-pix, as long as one likes.

Source: desidatamodel.readthedocs.io, zall-pix-SPECPROD and zpix-SURVEY-PROGRAM (DESI DR1).
"""

from pathlib import Path

import fitsio
import numpy as np

from skyharvest.database.redshift import PHOTOMETRY, ZPIX

TYPES = {"smallint": "i2", "integer": "i4", "bigint": "i8", "real": "f4", "double": "f8", "boolean": "?"}
CHUNK = 100_000
FIRST = 39_627_000_000_000_000
"""TARGETIDs of the main survey look like this."""
NOT_THERE = (
    *("ra", "dec", "ls_id", "ra_ivar", "dec_ivar", "gaia_duplicated_source", "parallax_ivar", "pmra_ivar"),
    *("pmdec_ivar", "shape_r_ivar", "shape_e1_ivar", "shape_e2_ivar", "sersic_ivar"),
)
"""Columns that only the photometry catalogue has, beside those of `_of_photometry_only`."""


def dtype() -> np.dtype:
    """Return the type of a row."""
    fields = [("TARGETID", "i8"), ("SURVEY", "S7"), ("PROGRAM", "S6"), ("HEALPIX", "i4"), ("SPGRPVAL", "i4")]
    fields += [("COEFF", "f8", (10,)), ("TARGET_RA", "f8"), ("TARGET_DEC", "f8"), ("PHOTSYS", "S1")]
    fields += [(name, "i8") for name in ("DESI_TARGET", "BGS_TARGET", "MWS_TARGET", "SCND_TARGET")]
    known = {field[0] for field in fields}
    for definition in (ZPIX, PHOTOMETRY):
        for name, kind in definition.columns.items():
            if name.upper() in known or kind == "id" or name.startswith("coeff_") or name == "spgrp":
                continue
            if definition is PHOTOMETRY and (name in NOT_THERE or _of_photometry_only(name)):
                continue
            known.add(name.upper())
            fields.append((name.upper(), f"S{kind[5:-1]}" if kind.startswith("text") else TYPES[kind]))
    return np.dtype(fields)


def _of_photometry_only(name: str) -> bool:
    parts = ("dchisq", "frac", "nobs", "depth", "allmask", "wisemask", "mw_transmission", "_w3", "_w4", "gaia_astro")
    return any(part in name for part in parts) or name.endswith(("over_error", "excess_factor"))


def write(path: Path, n_rows: int, seed: int = 1) -> None:
    """Write a catalogue: each target once or, every tenth, in two programs."""
    generator = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with fitsio.FITS(str(path), "rw", clobber=True) as file:
        for start in range(0, n_rows, CHUNK):
            rows = _rows(np.arange(start, min(start + CHUNK, n_rows)), generator)
            if start:
                file[-1].append(rows)
            else:
                file.write(rows, extname="ZCATALOG")


def _rows(number: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    rows = np.zeros(len(number), dtype())
    for name in rows.dtype.names:
        if rows[name].dtype.kind == "f":
            rows[name] = generator.normal(1, 1, rows[name].shape)
        elif rows[name].dtype.kind == "i":
            rows[name] = generator.integers(0, 100, rows[name].shape)
    again = number % 10 == 9
    rows["TARGETID"] = FIRST + np.where(again, number - 1, number) * 1_000
    rows["SURVEY"] = "main"
    rows["PROGRAM"] = np.where(again, "bright", "dark")
    rows["HEALPIX"] = rows["SPGRPVAL"] = number // 600
    rows["Z"] = generator.gamma(2, 0.5, len(rows))
    rows["ZWARN"] = np.where(generator.random(len(rows)) < 0.1, 4, 0)
    rows["SPECTYPE"] = generator.choice(["GALAXY", "QSO", "STAR"], len(rows), p=[0.7, 0.2, 0.1])
    rows["ZCAT_PRIMARY"] = rows["MAIN_PRIMARY"] = ~again
    rows["SV_PRIMARY"], rows["SV_NSPEC"] = False, 0
    rows["TARGET_RA"], rows["TARGET_DEC"] = number * 1e-6 % 360, generator.uniform(-20, 60, len(rows))
    rows["BRICKNAME"], rows["MORPHTYPE"], rows["PHOTSYS"] = "1234p567", "REX", "S"
    return rows
