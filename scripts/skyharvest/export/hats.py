"""Write all assembled spectra as a HATS catalogue, which LSDB opens and crossmatches, also on a Dask cluster.

The directory is a HATS collection: the catalogue and its margin cache, the rows near the edges of partitions, which a
crossmatch needs. There is a row per pair of CSV row and spectrum, as in the assembled files:

=============================  ====================================================================================
``ra, dec``                    of the fiber, degrees, for partitions and crossmatches
all of ``/desi``               with the same names
``<name>_row``, ``<name>_*``   the CSV row, and every CSV column; null where a cell is blank. A CSV column that would
                               have a name twice, such as ``row``, is ``<name>_csv_row``
``spectrum``                   nested: ``wave`` (float64 Å, vacuum), ``flux``, ``ivar`` (float32, 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹
                               and its inverse square), ``mask`` (int32, 0 = good), ``lsf_sigma`` (float32, pixels of
                               0.8 Å)
=============================  ====================================================================================

Native arms are in the FITS export only.

To bound memory, each pixel becomes a Parquet file, a few rows at a time, and hats-import makes the partitions from
these, one after another. Sources: hats.readthedocs.io, HATS and its collections; hats-import.readthedocs.io.
"""

import importlib
import logging
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from skyharvest import __version__
from skyharvest.core.errors import InputError
from skyharvest.core.words import distinct_names
from skyharvest.formats import hdf5
from skyharvest.harvest import assembled
from skyharvest.harvest.manifest import MEANING, check_alike
from skyharvest.harvest.origin import PROPERTY
from skyharvest.surveys.desi.shown import SPECTRA
from skyharvest.targets.csv_columns import csv_group
from skyharvest.targets.settings import Targets

log = logging.getLogger(__name__)

Array = npt.NDArray[Any]

BATCH_ROWS = 64  # spectra held at once while staging: 12 MB
PARTITION_ROWS = 1000  # some 190 MB in memory, and a few times that while the partition is made
FINEST_ORDER = 8  # HEALPix order of partitions: 0.05 square degrees
FIELDS = {
    "wave": pa.float64(),
    "flux": pa.float32(),
    "ivar": pa.float32(),
    "mask": pa.int32(),
    "lsf_sigma": pa.float32(),
}
WRITING = {"compression": "ZSTD", "compression_level": 3}  # hats-import's own 15 takes five times as long


def export_hats(
    crossmatches: Sequence[Path],
    out: Path,
    *,
    name: str = Targets.name,
    release: str = "dr1",
    margin_arcsec: float = 10.0,
    partition_rows: int = PARTITION_ROWS,
) -> int:
    """Write the catalogue and return its number of rows.

    Parameters
    ----------
    crossmatches
        Every ``crossmatch_desi.hdf5``.
    out
        Directory to write; it replaces an older one when it is complete.
    name
        Group of the CSV's columns.
    release
        DESI's release, for the catalogue's name.
    margin_arcsec
        Width of the margin: crossmatches with larger radii may miss pairs at the edges of partitions.
    partition_rows
        Largest number of rows in a partition, 100 or more.

    Raises
    ------
    InputError
        If no file has spectra, or their spectra are not combined, or the files are of more than one run.
    """
    _check_importer()
    catalogue = re.sub(r"[^A-Za-z0-9._-]", "_", f"desi_{release}_{name}")
    work = out.parent / f".{out.name}.tmp"
    shutil.rmtree(work, ignore_errors=True)  # of a killed process
    (work / "parts").mkdir(parents=True)
    try:
        staged, meaning = [], _meaning(crossmatches)
        for i, path in enumerate(crossmatches):
            part = work / "parts" / f"{i:05d}.parquet"
            n = stage(path, part, name=name)
            log.info("%d of %d pixels staged: %d rows", i + 1, len(crossmatches), n)
            if n:
                staged.append(part)
        if not staged:
            raise InputError(
                f"none of {len(crossmatches)} assembled files has a spectrum: there is nothing to make a catalogue of"
            )
        n = _import(
            staged,
            work,
            catalogue,
            meaning=meaning,
            margin_arcsec=margin_arcsec,
            partition_rows=partition_rows,
        )
        if out.exists():
            out.rename(work / "replaced")
        (work / catalogue).rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return n


def _meaning(crossmatches: Sequence[Path]) -> dict[str, str]:
    """Return what the files say of the CSV and the settings, which must be the same in all."""
    first: dict[str, str] | None = None
    for path in crossmatches:
        with hdf5.reading(path) as file:
            meaning = {key: str(file.attrs[key]) for key in MEANING if key in file.attrs}
        first = meaning if first is None else first
        check_alike(meaning, first, path, crossmatches[0])
    return first or {}


def _check_importer() -> None:
    try:
        importlib.import_module("hats_import")  # takes seconds
    except ImportError as error:
        raise InputError(
            f"{sys.executable} cannot import hats-import ({error}). It wants other versions than Snakemake, and has an "
            "environment of its own: make that (make hats), or let Snakemake (--software-deployment-method conda)"
        ) from None


def stage(crossmatch: Path, part: Path, *, name: str = Targets.name) -> int:
    """Write an assembled file as a Parquet file with nested spectra; return its number of rows.

    Parameters
    ----------
    crossmatch
        ``crossmatch_desi.hdf5``.
    part
        Parquet file to write, with row groups of `BATCH_ROWS`.
    name
        Group of the CSV's columns.

    Raises
    ------
    InputError
        If the file has no combined spectra.
    """
    with hdf5.reading(crossmatch) as file:
        csv = csv_group(file, name)
        if "spectrum_flux" not in file["desi"]:
            raise InputError(f"{crossmatch} has no combined spectra: set desi.spectra.combine to true and run again")
        n = len(file["desi/targetid"])
        if n == 0:
            return 0
        columns = {link: item for link, item in file["desi"].items() if link not in SPECTRA}
        arrays = {link: _column(item) for link, item in columns.items()}
        arrays[f"{name}_row"] = _column(csv["row"])
        of_csv = assembled.csv_columns(csv)
        taken = {link.removeprefix(f"{name}_") for link in arrays if link.startswith(f"{name}_")}
        arrays |= {
            f"{name}_{column}": _column(item)
            for column, item in zip(distinct_names([*of_csv], taken), of_csv.values(), strict=True)
        }
        table = pa.table({key: arrays[key] for key in dict.fromkeys(["ra", "dec", *arrays])})
        writer = None
        try:
            for start, spectra in _spectra(file["desi"], n):
                batch = table.slice(start, len(spectra)).append_column("spectrum", spectra)
                writer = writer or pq.ParquetWriter(part, batch.schema, compression="zstd")
                writer.write_table(batch)
        finally:
            if writer:
                writer.close()
    return n


def _column(dataset: h5py.Dataset) -> pa.Array:
    values, null = dataset[:], dataset.attrs.get("null_value")
    if values.dtype.kind in "SO":
        return pa.array(hdf5.text(values), pa.string())
    if values.ndim > 1:
        return _lists(values.reshape(len(values), -1), pa.from_numpy_dtype(values.dtype))
    if null is None:
        return pa.array(values)
    empty = values == null
    return pa.array(values == 1 if values.dtype == np.int8 else values, mask=empty)  # int8: yes, no, empty


def _lists(rows: Array, kind: pa.DataType) -> pa.Array:
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows.ravel(), kind))


def _spectra(desi: h5py.Group, n: int) -> Iterator[tuple[int, pa.Array]]:
    """Yield (first row, nested spectra) in batches of rows."""
    wave = desi["spectrum_lambda"][:]
    for start in range(0, n, BATCH_ROWS):
        rows = slice(start, min(start + BATCH_ROWS, n))
        values = {"wave": np.broadcast_to(wave, (rows.stop - start, len(wave)))}
        for field in FIELDS:
            if f"spectrum_{field}" in desi:
                values[field] = desi[f"spectrum_{field}"][rows]
        yield (
            start,
            pa.StructArray.from_arrays([_lists(values[field], FIELDS[field]) for field in values], names=list(values)),
        )


def _import(
    parts: Sequence[Path],
    work: Path,
    catalogue: str,
    *,
    meaning: Mapping[str, str],
    margin_arcsec: float,
    partition_rows: int,
) -> int:
    """Make the collection ``work/catalogue`` from staged files."""
    # Untyped packages of another environment.
    dask = importlib.import_module("dask.distributed")
    readers = importlib.import_module("hats_import.catalog.file_readers")
    arguments = importlib.import_module("hats_import.collection.arguments")
    pipeline = importlib.import_module("hats_import.pipeline")

    n_rows: int = sum(pq.read_metadata(part).num_rows for part in parts)
    schema, scratch, margin = work / "schema.parquet", work / "scratch", f"{catalogue}_margin"
    scratch.mkdir()
    schemas = [pq.read_schema(part) for part in parts]
    pq.write_table(pa.unify_schemas(schemas, promote_options="permissive").empty_table(), schema)
    collection = arguments.CollectionArguments(
        output_path=work,
        output_artifact_name=catalogue,
        tmp_dir=scratch,
        progress_bar=False,
        addl_hats_properties={
            "hats_creator": f"skyharvest {__version__}",
            **{f"{PROPERTY}{key}": value for key, value in meaning.items()},
        },
    )
    collection.catalog(
        output_artifact_name=catalogue,
        input_file_list=list(parts),
        file_reader=readers.ParquetPyarrowReader(chunksize=4 * BATCH_ROWS),
        use_schema_file=schema,
        expected_total_rows=n_rows,
        highest_healpix_order=FINEST_ORDER,
        pixel_threshold=max(partition_rows, _densest(parts)),
        sort_columns="targetid",
        write_table_kwargs=dict(WRITING),
    )
    collection.add_margin(output_artifact_name=margin, margin_threshold=margin_arcsec, is_default=True)
    logging.getLogger("distributed").setLevel(logging.WARNING)
    # One worker in this process: no ports, and one partition in memory.
    with dask.Client(
        processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None, local_directory=str(scratch)
    ) as client:
        pipeline.pipeline_with_client(collection, client)
    _name_primary(work / catalogue / margin, catalogue)
    return n_rows


def _densest(parts: Sequence[Path]) -> int:
    """Return the largest number of rows in a pixel of `FINEST_ORDER`: partitions must allow as many."""
    hp = importlib.import_module("hats.pixel_math.healpix_shim")
    positions = [pq.read_table(part, columns=["ra", "dec"]) for part in parts]
    pixels = [hp.radec2pix(FINEST_ORDER, part["ra"].to_numpy(), part["dec"].to_numpy()) for part in positions]
    return int(np.unique(np.concatenate(pixels), return_counts=True)[1].max())


def _name_primary(margin: Path, catalogue: str) -> None:
    """Name the catalogue in the margin's properties, in place of its temporary path."""
    properties = importlib.import_module("hats.catalog").TableProperties.read_from_dir(margin)
    properties.copy_and_update(primary_catalog=catalogue).to_properties_file(margin)
