"""What a harvest found, as tables: each row of the CSV, what became of it in each survey, and each spectrum or image.

=====================  =================================================================================================
``source``             a row for each row of the CSV: its number, position, why it was rejected if it was, and the CSV's
                       own columns
``ledger``             a row for each of them and each survey: `skyharvest.harvest.ledger`
``desi``, …            a row for each row of a survey's assembled files: all datasets with one value a row, and the S/N
                       of the spectrum
``{survey}_aperture``  of a survey with photometry in apertures: a row for each image, band and radius
``harvest_run``        a row for each survey: release, and digests of the CSV and the settings
=====================  =================================================================================================

NaN is NULL.
"""

import csv
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyharvest.core.arrays import Array, Floats
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.database.connection import Database, replacing
from skyharvest.database.loading import Loading
from skyharvest.database.schema import Definition, columns_of
from skyharvest.harvest.manifest import Manifest, read_manifest
from skyharvest.products.crossmatch import Crossmatch
from skyharvest.products.results import crossmatches
from skyharvest.products.spectra import Spectra
from skyharvest.surveys import SURVEYS

CHUNK_ROWS = 256
"""Spectra held at once."""
LEDGER_ROWS = 10_000
APERTURE = "aperture_"
SYSTEM = ("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid")
"""Columns that every table of PostgreSQL has."""
LONGEST = 55
"""Characters of a name."""

RUN = Definition(
    "harvest_run", columns_of("text: survey release csv_sha256 config_hash\nbigint: n_rows"), key=("survey",)
)
LEDGER = Definition(
    "ledger",
    columns_of("bigint: row\ntext: survey status\nbigint: n_found\ndouble: nearest_arcsec\nbigint: n_near n_missing"),
    key=("row", "survey"),
    indexes=("survey", "status"),
    refers={"row": "source.row"},
    nullable=True,
)


def load_harvest(database: Database, schema: str, results: Path, surveys: Sequence[str]) -> dict[str, int]:
    """Load the results of a finished run into a schema, in place of what is there.

    Parameters
    ----------
    results
        The run's directory.
    surveys
        Those that were harvested.

    Returns
    -------
    dict
        Table → its rows.

    Raises
    ------
    InputError
        If the run has not come to its end; if there is no such database.
    MalformedFile
        If files of the run do not agree with one another.
    """
    manifests = {survey: _manifest(results, survey) for survey in surveys}
    source = source_table(results / "targets/targets.parquet")
    definitions = [RUN, source, LEDGER, *(table for survey in surveys for table in _tables(results, survey))]
    with replacing(database, schema, definitions) as loading:
        _add_source(loading, source, results / "targets")
        for survey, manifest in manifests.items():
            row = {"survey": survey, "release": manifest.release, "csv_sha256": manifest.csv_sha256}
            row |= {"config_hash": manifest.config_hash, "n_rows": manifest.rows}  # type: ignore[dict-item]
            loading.add(RUN.name, _batch(RUN, {name: [value] for name, value in row.items()}))
            _add_ledger(loading, survey, results / survey / "ledger.csv")
            for crossmatch in crossmatches(results, survey):
                n_rows = _add_crossmatch(loading, crossmatch)
                loading.note_file(crossmatch.path, n_rows)
        return {name: loading.n_rows[name] for name in loading.definitions}


def sql_name(name: str) -> str:
    """Return a name as one that needs no quotes, but where it is a word of SQL."""
    plain = re.sub(r"[^a-z0-9_]+", "_", name.lower())[:LONGEST]
    return plain if re.match(r"[a-z_]", plain) else f"_{plain}"


def median_signal_to_noise(spectra: Spectra) -> Floats:
    """Return the median of flux √ivar over a spectrum's pixels with ivar > 0; NaN where there are none.

    As MEDIAN_COADD_SNR of `desispec.specscore`, over the whole spectrum.
    """
    good = (spectra.ivar > 0) & np.isfinite(spectra.flux)
    ratio = np.where(good, spectra.flux * np.sqrt(np.where(good, spectra.ivar, 0)), np.nan)
    some = good.any(axis=1)
    found = np.full(len(ratio), np.nan)
    found[some] = np.nanmedian(ratio[some].astype(np.float64), axis=1)
    return found


def _manifest(results: Path, survey: str) -> Manifest:
    manifest = read_manifest(results, survey)
    if manifest is None:
        raise InputError(f"{results} has no finished run of {survey}: run the workflow to its end first")
    return manifest


def _batch(definition: Definition, columns: Mapping[str, Any]) -> pa.RecordBatch:
    """Return columns as rows of a table, what it has beside them as NULL."""
    schema = definition.arrow
    n = len(next(iter(columns.values())))
    arrays = [
        pa.nulls(n, one.type) if one.name not in columns else _array(columns[one.name], one.type) for one in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, np.ma.MaskedArray):
        return pa.array(values.data, kind, mask=np.ma.getmaskarray(values))
    array = pa.array(values, from_pandas=True)  # NaN is NULL
    return array.cast(kind)


def _kind(dtype: np.dtype[Any] | pa.DataType) -> str:
    """Return the kind of a column."""
    if isinstance(dtype, pa.DataType):
        dtype = np.dtype("U1") if pa.types.is_string(dtype) else np.dtype(dtype.to_pandas_dtype())
    if dtype.kind in "iu":
        return "bigint"
    if dtype.kind == "f":
        return "real" if dtype.itemsize <= 4 else "double"
    return "boolean" if dtype.kind == "b" else "text"


def _widest(kinds: Iterable[str]) -> str:
    """Return the kind that holds all of these."""
    found = set(kinds)
    if len(found) == 1:
        return found.pop()
    return "double" if found <= {"bigint", "real", "double"} else "text"


def source_table(targets: Path) -> Definition:
    """Return the table of a CSV's rows, by ``targets.parquet``: the CSV's columns have names of their own in it."""
    columns = columns_of("bigint: row\ndouble: ra dec\nbigint: pix16 pix64\ntext: rejected")
    own = {*columns, "pix64_group"}
    for field in pq.read_schema(targets.absolute()):
        if field.name not in own:
            name = sql_name(field.name)
            while name in {*columns, *SYSTEM}:  # ``RA``, or two that differ in case alone
                name = f"csv_{name}"
            columns[name] = _kind(field.type)
    return Definition("source", columns, key=("row",), nullable=True)


def _add_source(loading: Loading, source: Definition, directory: Path) -> None:
    with pq.ParquetFile((directory / "targets.parquet").absolute()) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group).drop_columns(["pix64_group"])
            own = [name for name in source.columns if name != "rejected"]
            columns = {name: table.column(k).combine_chunks() for k, name in enumerate(own)}
            loading.add("source", _batch(source, columns))
    limit = csv.field_size_limit(sys.maxsize)  # a row may be there because a cell of it is huge
    try:
        with (directory / "rejected.csv").open(newline="", encoding="utf-8") as stream:
            for lines in _some(csv.DictReader(stream), LEDGER_ROWS):
                rows = {"row": [int(line["row"]) for line in lines], "rejected": [line["reason"] for line in lines]}
                loading.add("source", _batch(source, rows))
    finally:
        csv.field_size_limit(limit)


def _add_ledger(loading: Loading, survey: str, ledger: Path) -> None:
    about = SURVEYS[survey]
    columns = {"row": "row", "n_found": f"n_{about.product}", "n_near": about.near}
    columns["n_missing"] = f"missing_{about.files}"
    with ledger.open(newline="", encoding="utf-8") as stream:
        for lines in _some(csv.DictReader(stream), LEDGER_ROWS):
            values: dict[str, Any] = {name: [int(line[of]) for line in lines] for name, of in columns.items()}
            values["survey"] = [survey] * len(lines)
            values["status"] = [line["status"] for line in lines]
            values["nearest_arcsec"] = [float(line["nearest_arcsec"] or "nan") for line in lines]
            loading.add("ledger", _batch(LEDGER, values))


def _some(lines: Iterable[dict[str, str]], n: int) -> Iterator[list[dict[str, str]]]:
    some: list[dict[str, str]] = []
    for line in lines:
        some.append(line)
        if len(some) == n:
            yield some
            some = []
    if some:
        yield some


def _tables(results: Path, survey: str) -> list[Definition]:
    """Return a survey's table: with the columns that any of its files has; and of apertures, where it has any."""
    kinds: dict[str, list[str]] = {}
    with_apertures = False
    for crossmatch in crossmatches(results, survey):
        for name, dtype in crossmatch.scalars().items():
            kinds.setdefault(sql_name(name), []).append(_kind(dtype))
        with_apertures = with_apertures or f"{APERTURE}radius" in crossmatch.names
    own = columns_of("bigint: row pix16 file_row")
    if SURVEYS[survey].product == "spectra":
        own["snr"] = "double"
    columns = own | {name: _widest(of) for name, of in kinds.items() if name not in own}
    key, refers = ("pix16", "file_row"), {"row": "source.row"}
    table = Definition(survey, columns, key=key, indexes=("row",), refers=refers, nullable=True)
    return [table, *([_aperture(survey)] if with_apertures else [])]


def _aperture(survey: str) -> Definition:
    columns = columns_of(
        "bigint: row pix16 file_row\ntext: band\ndouble: radius_arcsec flux flux_error good magnitude magnitude_error"
    )
    key = ("pix16", "file_row", "band", "radius_arcsec")
    refers = {"row": "source.row"}
    return Definition(f"{survey}_aperture", columns, key=key, indexes=("row",), refers=refers, nullable=True)


def _add_crossmatch(loading: Loading, crossmatch: Crossmatch) -> int:
    definition = loading.definitions[crossmatch.survey]
    apertures = loading.definitions.get(f"{crossmatch.survey}_aperture")
    names, combined = {name: sql_name(name) for name in crossmatch.scalars()}, "spectrum_flux" in crossmatch.names
    for start in range(0, len(crossmatch), CHUNK_ROWS):
        rows = np.arange(start, min(start + CHUNK_ROWS, len(crossmatch)))
        place = {"row": crossmatch.read("row", rows), "pix16": np.full(len(rows), crossmatch.pix16), "file_row": rows}
        read = {column: crossmatch.read(name, rows) for name, column in names.items() if column not in place}
        columns: dict[str, Any] = read | place
        if "snr" in definition.columns and combined:  # a run may ask for native arms alone
            columns["snr"] = median_signal_to_noise(crossmatch.spectra(rows, wide=False))
        loading.add(definition.name, _batch(definition, columns))
        if apertures is not None:
            loading.add(apertures.name, _batch(apertures, _of_apertures(crossmatch, rows, place)))
    return len(crossmatch)


def _of_apertures(crossmatch: Crossmatch, rows: Array, place: Mapping[str, Array]) -> dict[str, Any]:
    """Return a row for each image, band and radius."""
    bands, radii = crossmatch["band"], crossmatch[f"{APERTURE}radius"]
    shape = (len(rows), len(bands), len(radii))
    columns: dict[str, Any] = {
        name: np.broadcast_to(values[:, None, None], shape).ravel() for name, values in place.items()
    }
    columns["band"] = np.broadcast_to(np.asarray(bands)[None, :, None], shape).ravel()
    columns["radius_arcsec"] = np.broadcast_to(radii, shape).ravel()
    for name in ("flux", "flux_error", "good", "magnitude", "magnitude_error"):
        values = crossmatch.read(f"{APERTURE}{name}", rows)
        if values.shape != shape:
            raise MalformedFile(f"{crossmatch.path}: {APERTURE}{name} has shape {values.shape}, expected {shape}")
        columns[name] = values.ravel()
    return columns
