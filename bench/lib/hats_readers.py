"""The spectra at a list of positions, read with LSDB from a HATS catalogue in the ways that its documentation shows.

``python hats_readers.py WAY CATALOGUE CSV OUT`` writes the spectra to a NumPy file: TARGETID (n,), and for each arm
``b_flux`` and so on, (n, pixels of the arm), by rising TARGETID. Catalogues are made by `hats_catalogue`.
"""

import sys
from collections.abc import Callable
from typing import Any

ARMS = [f"{arm}_arm" for arm in "brz"]
RADIUS_ARCSEC = 1.0


def crossmatch(catalogue: str, csv: str) -> Any:
    """Crossmatch with the catalogue, of which only what is wanted is opened."""
    import lsdb
    import pandas as pd

    mine = lsdb.from_dataframe(pd.read_csv(csv), ra_column="RA_DESI", dec_column="DEC_DESI")
    theirs = lsdb.open_catalog(catalogue, columns=["TARGETID", "TARGET_RA", "TARGET_DEC", *ARMS])
    return mine.crossmatch(theirs, radius_arcsec=RADIUS_ARCSEC, n_neighbors=1, suffixes=("_csv", "")).compute()


def crossmatch_workers(catalogue: str, csv: str) -> Any:
    """Do the same with a Dask client of four processes."""
    from dask.distributed import Client

    with Client(n_workers=4, threads_per_worker=1, memory_limit="auto", dashboard_address=None):
        return crossmatch(catalogue, csv)


def two_steps(catalogue: str, csv: str) -> Any:
    """Crossmatch without the spectra; then open only the rows that were found, by their TARGETID."""
    import lsdb
    import pandas as pd

    mine = lsdb.from_dataframe(pd.read_csv(csv), ra_column="RA_DESI", dec_column="DEC_DESI")
    theirs = lsdb.open_catalog(catalogue, columns=["TARGETID", "TARGET_RA", "TARGET_DEC"])
    found = mine.crossmatch(theirs, radius_arcsec=RADIUS_ARCSEC, n_neighbors=1, suffixes=("_csv", "")).compute()
    wanted = [("TARGETID", "in", found["TARGETID"].tolist())]
    return lsdb.open_catalog(catalogue, columns=["TARGETID", *ARMS], filters=wanted).compute()


WAYS: dict[str, Callable[[str, str], Any]] = {way.__name__: way for way in (crossmatch, crossmatch_workers, two_steps)}


def arrays(frame: Any) -> dict[str, Any]:
    """Return the spectra as arrays, by rising TARGETID."""
    import numpy as np

    frame = frame.sort_values("TARGETID")
    found = {"TARGETID": frame["TARGETID"].to_numpy(np.int64)}
    for arm in ARMS:
        for kind in ("wavelength", "flux", "ivar", "mask"):
            flat = np.asarray(frame[f"{arm}.{kind}"])
            found[f"{arm[0]}_{kind}"] = flat.reshape(len(frame), -1)
    return found


if __name__ == "__main__":
    import numpy as np

    way, catalogue, csv, out = sys.argv[1:]
    np.savez(out, **arrays(WAYS[way](catalogue, csv)))
