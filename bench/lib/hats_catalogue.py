"""Make a HATS catalogue of coadds with nested spectra, with hats-import, in a process of its own.

``python hats_catalogue.py stage COADD ... PARTS`` writes a Parquet file for each coadd; ``python hats_catalogue.py
import PARTS OUT ROWS``, in the environment of hats-import, makes the catalogue of them, with so many rows at most in a
partition. A row has TARGETID, TARGET_RA, TARGET_DEC, Z and ZERR, and the nested columns ``b_arm``, ``r_arm`` and
``z_arm`` of wavelength, flux, ivar and mask: what LSDB's own team keeps of DESI DR1.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

KINDS = ("flux", "ivar", "mask")
ARMS = "brz"


def stage(coadds: Sequence[Path], parts: Path) -> None:
    """Write the coadds' rows as Parquet files."""
    import fitsio
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    def native(values: Any) -> Any:
        return values.astype(values.dtype.newbyteorder("="))

    def lists(values: Any) -> pa.Array:
        n, width = values.shape
        return pa.ListArray.from_arrays(pa.array(np.arange(n + 1, dtype=np.int32) * width), pa.array(values.ravel()))

    for number, coadd in enumerate(coadds):
        redrock = coadd.with_name(coadd.name.replace("coadd-", "redrock-"))
        with fitsio.FITS(coadd) as hdus, fitsio.FITS(redrock) as beside:
            fibermap, redshifts = hdus["FIBERMAP"].read(), beside["REDSHIFTS"].read()
            redshifts = redshifts[np.argsort(redshifts["TARGETID"])]
            redshifts = redshifts[np.searchsorted(redshifts["TARGETID"], fibermap["TARGETID"])]
            assert (fibermap["TARGETID"] == redshifts["TARGETID"]).all()
            columns = {name: native(fibermap[name]) for name in ("TARGETID", "TARGET_RA", "TARGET_DEC")}
            columns |= {name: native(redshifts[name]) for name in ("Z", "ZERR")}
            for arm in ARMS:
                fields = {kind: native(hdus[f"{arm}_{kind}".upper()].read()) for kind in KINDS}
                wavelength = native(hdus[f"{arm}_wavelength".upper()].read())
                fields = {"wavelength": np.broadcast_to(wavelength, fields["flux"].shape), **fields}
                columns[f"{arm}_arm"] = pa.StructArray.from_arrays(
                    [lists(values) for values in fields.values()], names=list(fields)
                )
        pq.write_table(pa.table(columns), parts / f"{number:05}.parquet", compression="zstd")


def make(parts: Path, out: Path, rows: int) -> None:
    """Import the Parquet files."""
    from dask.distributed import Client
    from hats_import.catalog.arguments import ImportArguments
    from hats_import.catalog.file_readers import ParquetPyarrowReader
    from hats_import.pipeline import pipeline_with_client

    scratch = out.with_name(f"{out.name}.scratch")
    scratch.mkdir()
    arguments = ImportArguments(
        output_path=out.parent,
        output_artifact_name=out.name,
        tmp_dir=scratch,
        input_file_list=sorted(parts.glob("*.parquet")),
        file_reader=ParquetPyarrowReader(chunksize=256),
        ra_column="TARGET_RA",
        dec_column="TARGET_DEC",
        sort_columns="TARGETID",
        pixel_threshold=rows,
        highest_healpix_order=8,
        progress_bar=False,
    )
    with Client(
        processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None, local_directory=str(scratch)
    ) as client:
        pipeline_with_client(arguments, client)


if __name__ == "__main__":
    if sys.argv[1] == "stage":
        stage([Path(name) for name in sys.argv[2:-1]], Path(sys.argv[-1]))
    else:
        make(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
