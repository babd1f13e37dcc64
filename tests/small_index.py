"""Small tables of HETDEX cubes for tests, with the columns and types of Public Data Release 1."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

FLAGS = ("badamp", "badfib", "meteor", "satellite", "shot", "throughput")
PDR1 = np.dtype(
    [
        ("shotid", "i8"),
        ("ifuslot", "S3"),
        ("ra_cen", "f4"),
        ("dec_cen", "f4"),
        ("flag", "f4"),
        *((f"flag_{name}", "f4") for name in FLAGS),
        ("field", "S12"),
        ("objid", "S18"),
        ("date", "i4"),
        ("pa", "f8"),
        ("n_ifu", "i4"),
        ("fwhm_virus", "f4"),
        ("response_4540", "f4"),
        ("exptime", "f4"),
        ("mjd", "f4"),
        ("fluxlimit_4600", "f4"),
    ]
)


def listed(shotid: Any, ifuslot: Any, ra: Any, dec: Any, **columns: Any) -> np.ndarray:
    """Return a table's rows; columns that are not given have values of their own in every row."""
    rows = np.empty(len(shotid), PDR1)
    number = np.arange(len(rows))
    for k, name in enumerate(PDR1.names):
        kind = PDR1[name].kind
        rows[name] = b"dex-spring" if kind == "S" else 1 if name.startswith("flag") else 1 + k + number / 7
    rows["shotid"], rows["ifuslot"], rows["ra_cen"], rows["dec_cen"] = shotid, ifuslot, ra, dec
    for name, values in columns.items():
        rows[name] = values
    return rows


def write_index(path: Path, rows: np.ndarray) -> Path:
    """Write ``ifu-index.fits`` by means of astropy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(rows)]).writeto(path, overwrite=True)
    return path
