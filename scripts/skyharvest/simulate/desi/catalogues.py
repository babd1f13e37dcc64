"""Catalogues of a release as a whole, with random content: redshifts by pixel and by tile, tiles, exposures.

Columns and types are those of DR1's files, by DESI's data model (desidatamodel.readthedocs.io: zpix-SURVEY-PROGRAM and
zall-pix-SPECPROD, ztile-SURVEY-PROGRAM-GROUPTYPE, tiles-SPECPROD, exposures-SPECPROD).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import numpy.typing as npt

from skyharvest.core.atomic import atomic_path

Rows = npt.NDArray[Any]

CHUNK_ROWS = 100_000
FIRST_TARGETID = 39_627_000_000_000_000
MJD_0 = 60_690.0
"""Of the first exposure."""


def _row_type(text: str) -> list[Any]:
    """Return fields from lines ``type: name name …``; ``f8 10`` is ten numbers."""
    fields: list[Any] = []
    for line in text.strip().splitlines():
        kind, _, names = line.partition(":")
        base, *shape = kind.split()
        fields += [(name, base, int(shape[0])) if shape else (name, base) for name in names.split()]
    return fields


_FIT = """
f8: CHI2
f8 10: COEFF
f8: Z ZERR
i8: ZWARN NPIXELS
S6: SPECTYPE
S20: SUBTYPE
i8: NCOEFF
f8: DELTACHI2
i4: COADD_FIBERSTATUS
f8: TARGET_RA TARGET_DEC
f4: PMRA PMDEC REF_EPOCH
i8: FA_TARGET
u1: FA_TYPE
S3: OBJTYPE
f8: SUBPRIORITY
i4: OBSCONDITIONS
i2: RELEASE
S8: BRICKNAME
i4: BRICKID BRICK_OBJID
S4: MORPHTYPE
f4: EBV FLUX_G FLUX_R FLUX_Z FLUX_W1 FLUX_W2 FLUX_IVAR_G FLUX_IVAR_R FLUX_IVAR_Z FLUX_IVAR_W1 FLUX_IVAR_W2
f4: FIBERFLUX_G FIBERFLUX_R FIBERFLUX_Z FIBERTOTFLUX_G FIBERTOTFLUX_R FIBERTOTFLUX_Z
i2: MASKBITS
f4: SERSIC SHAPE_R SHAPE_E1 SHAPE_E2
i8: REF_ID
S2: REF_CAT
f4: GAIA_PHOT_G_MEAN_MAG GAIA_PHOT_BP_MEAN_MAG GAIA_PHOT_RP_MEAN_MAG PARALLAX
S1: PHOTSYS
i8: PRIORITY_INIT NUMOBS_INIT DESI_TARGET BGS_TARGET MWS_TARGET SCND_TARGET
i8: SV1_DESI_TARGET SV1_BGS_TARGET SV1_MWS_TARGET
f8: PLATE_RA PLATE_DEC
i2: COADD_NUMEXP
f4: COADD_EXPTIME
i2: COADD_NUMNIGHT COADD_NUMTILE
f4: MEAN_DELTA_X RMS_DELTA_X MEAN_DELTA_Y RMS_DELTA_Y
f8: MEAN_FIBER_RA
f4: STD_FIBER_RA
f8: MEAN_FIBER_DEC
f4: STD_FIBER_DEC MEAN_PSF_TO_FIBER_SPECFLUX
"""
_COUNTS = """
i2: SV_NSPEC
?: SV_PRIMARY
i2: MAIN_NSPEC
?: MAIN_PRIMARY
i2: ZCAT_NSPEC
?: ZCAT_PRIMARY
"""
_KINDS = ("GPBDARK", "ELG", "GPBBRIGHT", "LYA", "BGS", "GPBBACKUP", "QSO", "LRG")
_TSNR2 = "f4: " + " ".join(f"TSNR2_{kind}{arm}" for arm in ("_B", "_R", "_Z", "") for kind in _KINDS)
_NAMES = "i8: TARGETID\nS7: SURVEY\nS6: PROGRAM\n"
ZPIX = np.dtype(_row_type(_NAMES + "i4: HEALPIX SPGRPVAL") + _row_type(_FIT) + _row_type(_TSNR2 + _COUNTS))
ZTILE = np.dtype(_row_type(_NAMES + "i4: TILEID SPGRPVAL LASTNIGHT") + _row_type(_FIT) + _row_type(_TSNR2 + _COUNTS))
TILE = np.dtype(
    _row_type("""
i4: TILEID
S20: SURVEY
S6: PROGRAM
S20: FAPRGRM FAFLAVOR
i8: NEXP
f8: EXPTIME TILERA TILEDEC EFFTIME_ETC EFFTIME_SPEC EFFTIME_GFA GOALTIME
S20: OBSSTATUS
f8: LRG_EFFTIME_DARK ELG_EFFTIME_DARK BGS_EFFTIME_BRIGHT LYA_EFFTIME_DARK
S20: GOALTYPE
f8: MINTFRAC
i4: LASTNIGHT
""")
)
EXPOSURE = np.dtype(
    _row_type("""
i4: NIGHT EXPID TILEID
f8: TILERA TILEDEC MJD
S7: SURVEY
S6: PROGRAM FAPRGRM
S19: FAFLAVOR
f8: EXPTIME EFFTIME_SPEC GOALTIME
S6: GOALTYPE
f8: MINTFRAC
f4: AIRMASS EBV
f8: SEEING_ETC EFFTIME_ETC TSNR2_LYA SKY_MAG_R_SPEC
f4: TSNR2_ELG TSNR2_QSO TSNR2_LRG TSNR2_BGS
""")
)
FRAME = np.dtype(
    _row_type("""
i4: NIGHT EXPID TILEID
f8: TILERA TILEDEC MJD
f4: EXPTIME AIRMASS EBV
S2: CAMERA
f4: TSNR2_ELG TSNR2_LRG
""")
)


def write_zall_pix(path: Path, n_rows: int, seed: int = 1) -> None:
    """Write a catalogue by pixel: each target once or, every tenth, in two programs of the main survey."""
    rng = np.random.default_rng(seed)
    with atomic_path(path) as temporary, fitsio.FITS(str(temporary), "rw", clobber=True) as file:
        file.create_table_hdu(dtype=ZPIX, extname="ZCATALOG")
        for start in range(0, n_rows, CHUNK_ROWS):
            number = np.arange(start, min(start + CHUNK_ROWS, n_rows))
            again = number % 10 == 9
            rows = random_rows(ZPIX, len(number), rng)
            rows["TARGETID"] = FIRST_TARGETID + 1000 * np.where(again, number - 1, number)
            rows["SURVEY"], rows["PROGRAM"] = "main", np.where(again, "bright", "dark")
            rows["HEALPIX"] = rows["SPGRPVAL"] = number // 600
            rows["ZCAT_PRIMARY"] = rows["MAIN_PRIMARY"] = ~again
            file[-1].append(rows)


def random_rows(row_type: np.dtype[Any], n: int, rng: np.random.Generator) -> Rows:
    """Return rows in which numbers are random and texts empty, but for what a redshift is like."""
    rows = np.zeros(n, row_type)
    for name in row_type.names or ():
        if rows[name].dtype.kind == "f":
            rows[name] = rng.normal(1, 1, rows[name].shape)
        elif rows[name].dtype.kind in "iu":
            rows[name] = rng.integers(0, 100, rows[name].shape)
    if "Z" in (row_type.names or ()):
        rows["Z"], rows["ZERR"] = rng.gamma(2, 0.5, n), 1e-4
        rows["ZWARN"] = np.where(rng.random(n) < 0.1, 4, 0)
        rows["SPECTYPE"] = rng.choice(["GALAXY", "QSO", "STAR"], n, p=[0.7, 0.2, 0.1])
        rows["TARGET_RA"], rows["TARGET_DEC"] = rng.uniform(0, 360, n), rng.uniform(-20, 60, n)
        rows["BRICKNAME"], rows["MORPHTYPE"], rows["PHOTSYS"], rows["OBJTYPE"] = "1234p567", "REX", "S", "TGT"
    return rows


def write_tables(path: Path, tables: Iterable[tuple[str, Rows]]) -> None:
    """Write a file with an HDU of a name for each table."""
    with atomic_path(path) as temporary, fitsio.FITS(str(temporary), "rw", clobber=True) as file:
        for name, rows in tables:
            file.write(rows, extname=name)
