"""The nine tables, and how files become rows of them: as desispec's own loader has it."""

import math
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fitsio
import numpy as np
import pytest
from numpy.lib.recfunctions import append_fields, drop_fields
from sqlalchemy.dialects import postgresql

from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.database import redshift
from skyharvest.database.catalogues import load_catalogues
from skyharvest.database.connection import Database, reading
from skyharvest.database.files import catalogue_files
from skyharvest.database.schema import FILES, metadata_of
from skyharvest.simulate.desi.catalogues import ZTILE, random_rows, write_tables
from small_catalogues import SKY, TILES, write_release

COEFF = {"COEFF": tuple(f"coeff_{k}" for k in range(10))}


@pytest.fixture(scope="module")
def theirs():
    """desispec's module; what its loader inserts is kept instead."""
    module = pytest.importorskip("desispec.database.redshift")
    from desiutil.log import get_logger

    module.log = get_logger()
    return module


def described(table: Any) -> dict[str, Any]:
    """Return what a table is like, in PostgreSQL's words."""
    names = {column.name: column for column in table.columns}
    return {
        "columns": {
            name: (str(column.type.compile(dialect=postgresql.dialect())), column.nullable)
            for name, column in names.items()
        },
        "key": [column.name for column in table.primary_key],
        "indexes": {
            index.name: ([column.name for column in index.columns], bool(index.unique)) for index in table.indexes
        },
        "refers": {
            (reference.parent.name, reference.target_fullname)
            for constraint in table.foreign_key_constraints
            for reference in constraint.elements
        },
    }


def test_the_tables_are_desispecs_column_by_column(theirs):
    ours = metadata_of(redshift.TABLES)
    assert set(ours.tables) == {*theirs.Base.metadata.tables, FILES}
    assert len(theirs.Base.metadata.tables) == 9
    for name, table in theirs.Base.metadata.tables.items():
        assert list(ours.tables[name].columns.keys()) == list(table.columns.keys())
        assert described(ours.tables[name]) == described(table)


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    """A small release with a fiberassign file and a catalogue of targets."""
    directory = tmp_path_factory.mktemp("release") / "iron"
    write_release(directory, [(2**53 + 17 * k, "main", ("dark", "bright")[k % 2]) for k in range(40)])
    rng = np.random.default_rng(3)
    fields = [("TARGETID", "i8"), ("LOCATION", "i4"), ("FIBER", "i4")]
    more = [("PETAL_LOC", "i2"), ("DEVICE_LOC", "i4"), ("FIBERSTATUS", "i4"), ("TARGET_RA", "f8"), ("TARGET_DEC", "f8")]
    more += [("LAMBDA_REF", "f4"), ("FA_TARGET", "i8"), ("FA_TYPE", "u1"), ("FIBERASSIGN_X", "f4")]
    more += [("FIBERASSIGN_Y", "f4"), ("PRIORITY", "i4")]
    assigned, reached = random_rows(np.dtype(fields + more), 6, rng), random_rows(np.dtype(fields), 9, rng)
    for rows in (assigned, reached):
        rows["TARGETID"] = [*(2**53 + 17 * np.arange(len(rows) - 2)), SKY | 1, -3]
        rows["LOCATION"] = np.arange(len(rows))
    path = directory / f"fiberassign-{TILES[0]:06d}.fits"
    with fitsio.FITS(str(path), "rw") as file:
        file.write(assigned, extname="FIBERASSIGN", header={"TILEID": TILES[0]})
        file.write(reached, extname="POTENTIAL_ASSIGNMENTS", header={"TILEID": TILES[0]})
    return directory


@pytest.fixture(scope="module")
def loaded(release, tmp_path_factory) -> Database:
    database = Database(path=tmp_path_factory.mktemp("database"))
    load_catalogues(database, "iron", catalogue_files(release))
    return database


def inserted(theirs, monkeypatch, path: Path, table: str, hdu: str, **how: Any) -> list[dict[str, Any]]:
    """Return the rows that desispec's loader would insert."""
    rows: list[dict[str, Any]] = []
    monkeypatch.setattr(theirs, "engine", SimpleNamespace(execute=lambda _, some: rows.extend(some)))
    theirs.load_file(str(path), getattr(theirs, table), hdu=hdu, **how)
    return rows


def wide_id(pair: Any) -> int:
    return int(pair[0]) << 64 | int(pair[1])


def on_sky(rows: Any) -> Any:
    return (rows["TARGETID"] > 0) & ((rows["TARGETID"] & SKY) == 0)


def test_rows_are_those_of_desispecs_loader(theirs, monkeypatch, release, loaded):
    zpix, ztile, tiles, exposures = (
        next(path for path in catalogue_files(release) if path.name.startswith(name))
        for name in ("zall-pix", "zall-tile", "tiles", "exposures")
    )
    assign = release / f"fiberassign-{TILES[0]:06d}.fits"
    of_target = {"convert": {"id": wide_id}, "rowfilter": on_sky}
    fits = {"preload": theirs._survey_program, "expand": COEFF, "rowfilter": on_sky}
    both = {"convert": {"id": wide_id, "targetphotid": wide_id}}
    to_date = {"convert": {"date_obs": lambda mjd: mjd}, "insert": {"mjd": ("date_obs",)}}
    cases = [
        ("Zpix", zpix, "ZCATALOG", fits | {"convert": {"id": wide_id}}),
        ("Ztile", ztile, "ZCATALOG", fits | both),
        ("Tile", tiles, "TILE_COMPLETENESS", {}),
        ("Exposure", exposures, "EXPOSURES", to_date),
        ("Frame", exposures, "FRAMES", {"preload": theirs._frameid}),
        ("Fiberassign", assign, "FIBERASSIGN", of_target | {"preload": theirs._tileid}),
        ("Potential", assign, "POTENTIAL_ASSIGNMENTS", of_target | {"preload": theirs._tileid}),
    ]
    for name, path, hdu, how in cases:
        expected = inserted(theirs, monkeypatch, path, name, hdu, **how)
        (key,) = (column.name for column in getattr(theirs, name).__table__.primary_key)
        with reading(loaded) as connection:
            cursor = connection.execute(f"SELECT * FROM iron.{name.lower()}")
            columns = [column[0] for column in cursor.description]
            ours = {str(row[columns.index(key)]): dict(zip(columns, row, strict=True)) for row in cursor}
        assert len(ours) == len(expected) > 0
        for row in expected:
            mine = ours[str(row[key])]
            for column in set(columns) & set(row):
                assert same(mine[column], row[column]), (name, column, mine[column], row[column])


def same(mine: Any, other: Any) -> bool:
    if isinstance(other, bytes | str):
        return mine == (other.decode() if isinstance(other, bytes) else other).strip()
    if isinstance(mine, str) and "-" in mine:  # a time, and its MJD
        return abs((datetime.fromisoformat(mine) - datetime(1858, 11, 17)).total_seconds() / 86400 - other) < 1e-9
    if isinstance(mine, str):  # a key of 128 bits
        return int(mine) == other
    return mine == other or math.isclose(mine, other, rel_tol=1e-7)


def test_photometry_and_targets_are_of_the_files_that_have_them_first(release, loaded, tmp_path):
    with reading(loaded) as connection:
        known = dict(connection.execute("SELECT targetid, flux_w3 FROM iron.photometry"))
        refers = connection.execute("SELECT count(*) FROM iron.ztile z JOIN iron.target t ON t.id = z.targetphotid")
        assert refers.fetchone() == connection.execute("SELECT count(*) FROM iron.ztile").fetchone()
        release_and_brick = connection.execute("SELECT ls_id, release, brickid, brick_objid FROM iron.photometry")
        assert all(ls_id == (r << 40) | (b << 16) | n for ls_id, r, b, n in release_and_brick)
        bits = "SELECT DISTINCT sv3_desi_target, cmx_target FROM iron.target"
        assert connection.execute(bits).fetchall() == [(0, 0)]
    assert set(known.values()) == {-9999}
    phot = drop_fields(random_rows(ZTILE, 3, np.random.default_rng(5)), "ZCAT_PRIMARY")
    phot["TARGETID"], phot["SURVEY"], phot["PROGRAM"] = list(known)[:3], "main", "dark"
    phot["TILEID"], phot["FLUX_R"], phot["DESI_TARGET"] = TILES[0], 77, 5
    write_tables(tmp_path / "targetphot-x.fits", [("TARGETPHOT", phot)])
    tractor = np.zeros(1, [("TARGETID", "i8"), ("LS_ID", "i8"), ("OBJID", "i4"), ("TYPE", "S3"), ("DCHISQ", "f4", 5)])
    tractor = append_fields(tractor, ["RA", "DEC", "FLUX_W3"], [[1.5], [2.5], [3.5]], usemask=False)
    tractor["TARGETID"], tractor["LS_ID"], tractor["OBJID"], tractor["TYPE"] = max(known), 2**50, 9, "DEV"
    tractor["DCHISQ"] = np.arange(5)
    write_tables(tmp_path / "tractorphot-x.fits", [("TRACTORPHOT", tractor)])
    tiles, exposures, *others = catalogue_files(release)
    database, first = Database(path=tmp_path), [tmp_path / f"{name}-x.fits" for name in ("tractorphot", "targetphot")]
    load_catalogues(database, "iron", [tiles, exposures, *first, *others])
    with reading(database) as connection:
        first = connection.execute(
            "SELECT targetid FROM iron.photometry WHERE flux_r = 77 ORDER BY targetid"
        ).fetchall()
        assert [targetid for (targetid,) in first] == sorted(list(known)[:3])
        assert connection.execute("SELECT count(*) FROM iron.photometry").fetchone() == (len(known),)
        of_tractor = "SELECT targetid, ls_id, brick_objid, morphtype, ra, dec, dchisq_exp FROM iron.photometry"
        answer = connection.execute(f"{of_tractor} WHERE flux_w3 <> -9999").fetchall()
        assert answer == [(max(known), 2**50, 9, "DEV", 1.5, 2.5, 3)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"SURVEY": "main2"}, r"column SURVEY: 'main2', expected one of cmx, special"),
        ({"SPECTYPE": "GALAXYX"}, r"column SPECTYPE: a text of 7 characters, expected text\(6\)"),
        ({"COADD_NUMEXP": 40_000}, r"column COADD_NUMEXP: .*40000.*expected smallint"),
        ({"TARGETID": None}, r"\[ZCATALOG\] has no column TARGETID"),
        ({"HEALPIX": None}, r"has neither a column HEALPIX nor TILEID"),
        ({"TARGET_RA": None}, r"has no column TARGET_RA"),
    ],
)
def test_what_does_not_fit_is_named_and_loads_nothing(release, loaded, tmp_path, change, said):
    path = next(path for path in catalogue_files(release) if path.name.startswith("zall-pix"))
    rows = fitsio.read(str(path), ext="ZCATALOG")
    kinds = {"SPECTYPE": "S7", "COADD_NUMEXP": "i4"}
    types = [
        (name, kinds.get(name, rows.dtype[name].base.str), rows.dtype[name].shape)
        for name in rows.dtype.names
        if change.get(name, "") is not None
    ]
    spoiled = np.zeros(len(rows), types)
    for name in spoiled.dtype.names:
        spoiled[name] = rows[name]
        if name in change:
            spoiled[name][20] = change[name]
    write_tables(tmp_path / "zall-pix-x.fits", [("ZCATALOG", spoiled)])
    database = Database(path=tmp_path / "db")
    with pytest.raises(MalformedFile, match=said):
        load_catalogues(database, "x", [tmp_path / "zall-pix-x.fits"])
    assert not list((tmp_path / "db").glob("*"))


def test_files_that_are_none_are_refused(tmp_path, release):
    database = Database(path=tmp_path / "db")
    (tmp_path / "torn.fits").write_text("no FITS")
    with pytest.raises(MalformedFile, match=r"torn\.fits cannot be read as FITS"):
        load_catalogues(database, "x", [tmp_path / "torn.fits"])
    write_tables(tmp_path / "other.fits", [("OTHER", np.zeros(1, [("X", "i4")]))])
    with pytest.raises(InputError, match=r"other\.fits has no HDU ZCATALOG"):
        load_catalogues(database, "x", [tmp_path / "other.fits"])
    with pytest.raises(InputError, match="has no catalogue of redshifts"):
        catalogue_files(tmp_path)
    for name in ("Iron", "pg_x", "main", "a-b"):
        with pytest.raises(InputError, match="a schema cannot be called"):
            load_catalogues(database, name, catalogue_files(release))
    database.path.mkdir(exist_ok=True)
    (database.path / "x.db").write_text("another program's")
    with pytest.raises(InputError, match="not a file that was loaded by Skyharvest"):
        load_catalogues(database, "x", catalogue_files(release))
    assert (database.path / "x.db").read_text() == "another program's"
