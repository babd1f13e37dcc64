"""The database on SQLite and on a real PostgreSQL server: the questions of the docs, and what a load leaves behind."""

import csv
import io
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import fitsio
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

import query_database
from postgresql_server import MISSING, SUPERUSER, Server, running
from running import ROOT
from skyharvest.core import cli
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.database.catalogues import load_catalogues
from skyharvest.database.connection import Database, reading
from skyharvest.database.files import catalogue_files
from skyharvest.database.harvest import load_harvest, source_table
from small_catalogues import SKY, write_release

SURVEYS = ("desi", "hetdex", "legacysurvey")
ENGINES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.skipif(MISSING is not None, reason=str(MISSING))))
DOC = (ROOT / "docs/database.md").read_text()
QUESTIONS = dict(re.findall(r"^\*\*(\d+)\. .*?^```sql\n(.*?)^```", DOC, re.M | re.S))


@pytest.fixture(scope="module")
def results(demo: Path, tmp_path_factory) -> Path:
    """The demo's results, in which some sources that HETDEX has are at high redshift."""
    root = tmp_path_factory.mktemp("database") / "results"
    for part in ("targets", *(f"{survey}_crossmatches" for survey in SURVEYS)):
        shutil.copytree(demo / "results/demo" / part, root / part)
    for survey in SURVEYS:
        (root / survey).mkdir()
        for name in ("ledger.csv", "manifest.json"):
            shutil.copy(demo / "results/demo" / survey / name, root / survey)
    near = set(assembled(root, "hetdex")["row"])
    for path in root.glob("desi_crossmatches/*/*.hdf5"):
        with h5py.File(path, "r+") as file:
            z = file["desi/z"][:]
            z[np.isin(file["chandra/row"][:], list(near))] += 2
            file["desi/z"][:] = z
    return root


@pytest.fixture(scope="module")
def iron(results: Path, tmp_path_factory) -> Path:
    """A release that has what the harvest found, and more."""
    directory = tmp_path_factory.mktemp("release") / "iron"
    desi = assembled(results, "desi")
    spectra = sorted(set(zip(desi["targetid"], desi["survey"], desi["program"], strict=True)))
    write_release(directory, spectra)
    return directory


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    with running() as made, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSFILE", str(made.passfile))
        yield made


@pytest.fixture(scope="module")
def fresh(request, tmp_path_factory) -> Callable[[str, str], Database]:
    """Return what makes an empty database of an engine."""

    def make(engine: str, name: str) -> Database:
        if engine == "sqlite":
            return Database(path=tmp_path_factory.mktemp(name))
        server = request.getfixturevalue("server")
        server.do(f"CREATE DATABASE {name}")
        return Database(**server.where(name))

    return make


@pytest.fixture(scope="module", params=ENGINES)
def loaded(request, fresh, results, iron) -> Database:
    """A database with the harvest and the release."""
    database = fresh(request.param, "questions")
    load_harvest(database, "harvest", results, SURVEYS)
    load_catalogues(database, "iron", catalogue_files(iron))
    return database


def ask(database: Database, question: str) -> list[tuple[Any, ...]]:
    """Return the answer, numbers as Python's own."""
    with reading(database) as connection:
        return [tuple(map(_plain, row)) for row in connection.execute(question).fetchall()]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    return int(value) if float(value).is_integer() else float(value)


# What the files say, by pandas.


def assembled(root: Path, survey: str) -> pd.DataFrame:
    """Return the columns of all assembled files of a survey, and the S/N of each spectrum."""
    parts = []
    for path in sorted(root.glob(f"{survey}_crossmatches/*/*.hdf5")):
        with h5py.File(path) as file:
            group = file[survey]
            columns = {
                name: item[:] for name, item in group.items() if isinstance(item, h5py.Dataset) and item.ndim == 1
            }
            n = len(file["chandra/row"])
            columns = {name: values for name, values in columns.items() if len(values) == n and name != "band"}
            part = pd.DataFrame({name: _texts(values) for name, values in columns.items()})
            part["row"] = file["chandra/row"][:]
            part["snr"] = [_snr(group, k) for k in range(n)]
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _texts(values: np.ndarray) -> Any:
    return values.astype(str) if values.dtype.kind == "S" else values


def _snr(group: h5py.Group, k: int) -> float:
    if "spectrum_flux" not in group:
        return np.nan
    flux = group["spectrum_flux"][k].astype(float)
    with np.errstate(all="ignore"):
        error = 1 / np.sqrt(group["spectrum_ivar"][k]) if "spectrum_ivar" in group else group["spectrum_error"][k]
        ratio = flux / error
    return float(np.median(ratio[np.isfinite(ratio) & np.isfinite(error) & (error > 0)]))


@cache
def table_of(path: Path, hdu: str) -> pd.DataFrame:
    table = Table.read(path, hdu=hdu)
    table.remove_columns([name for name in table.colnames if table[name].ndim > 1])
    frame = table.to_pandas()
    texts = [name for name in table.colnames if table[name].dtype.kind == "S"]
    return frame.assign(**{name: table[name].astype(str) for name in texts})


def zcatalog(iron: Path, kind: str) -> pd.DataFrame:
    frame = table_of(iron / f"zcatalog/v1/zall-{kind}-iron.fits", "ZCATALOG")
    return frame[(frame.TARGETID > 0) & (frame.TARGETID & SKY == 0)]


def ledgers(results: Path) -> pd.DataFrame:
    return pd.concat([pd.read_csv(results / survey / "ledger.csv").assign(survey=survey) for survey in SURVEYS])


def sources(results: Path) -> pd.DataFrame:
    return pd.read_parquet(results / "targets/targets.parquet")[["row", "name"]]


def question_1(results, iron):
    desi, hetdex = assembled(results, "desi"), assembled(results, "hetdex")
    both = sources(results).merge(desi[(desi.z > 2) & (desi.zwarn == 0)], on="row")
    both = both.merge(hetdex[hetdex.snr > 5], on="row", suffixes=("", "_h"))
    return both.sort_values(["row", "shotid", "z"])[["row", "name", "z", "shotid", "snr_h"]].drop_duplicates()


def question_2(results, iron):
    return ledgers(results).groupby(["survey", "status"]).size().reset_index()


def question_3(results, iron):
    ledger = ledgers(results)
    found = set(ledger[ledger.status == "matched"].row)
    left = sources(results).merge(ledger, on="row")
    left = left[~left.row.isin(found)]
    return left.sort_values(["row", "survey"])[["row", "name", "survey", "status", "nearest_arcsec"]]


def question_4(results, iron):
    desi = assembled(results, "desi")
    best = desi[desi.primary & (desi.zwarn == 0) & (desi.deltachi2 > 25)].merge(sources(results), on="row")
    return best.sort_values("row")[["row", "name", "z", "zerr", "spectype", "separation_arcsec", "snr"]]


def question_5(results, iron):
    rows = []
    snr = assembled(results, "desi").groupby("row").snr.max()
    for path in results.glob("legacysurvey_crossmatches/*/*.hdf5"):
        with h5py.File(path) as file:
            group = file["legacysurvey"]
            band, radius = [one.decode() for one in group["band"][:]], group["aperture_radius"][:]
            magnitude = group["aperture_magnitude"][:, :, list(radius).index(1.5)]
            colour = magnitude[:, band.index("g")] - magnitude[:, band.index("r")]
            rows += [
                (row, g_r, snr[row])
                for row, g_r in zip(file["chandra/row"][:], colour, strict=True)
                if np.isfinite(g_r) and row in snr.index
            ]
    return pd.DataFrame(rows).sort_values(0)


def question_6(results, iron):
    zpix = zcatalog(iron, "pix")
    good = zpix[(zpix.ZWARN == 0) & zpix.ZCAT_PRIMARY].groupby(["SURVEY", "PROGRAM", "SPECTYPE"])
    return good.Z.agg(["size", "mean"]).reset_index()


def question_7(results, iron):
    desi, zpix = assembled(results, "desi"), zcatalog(iron, "pix")
    of = desi[["row", "targetid"]].drop_duplicates().merge(zpix, left_on="targetid", right_on="TARGETID")
    have = set(zip(desi.row, desi.targetid, desi.survey, desi.program, strict=True))
    more = [place not in have for place in zip(of.row, of.TARGETID, of.SURVEY, of.PROGRAM, strict=True)]
    return of[more].sort_values(["row", "SURVEY", "PROGRAM"])[["row", "SURVEY", "PROGRAM", "Z", "ZWARN"]]


def question_8(results, iron):
    good = zcatalog(iron, "pix").query("ZWARN == 0")[["TARGETID", "SURVEY", "PROGRAM", "Z"]]
    pairs = good.merge(good, on="TARGETID", suffixes=("", "_2"))
    names = [zip(pairs[f"SURVEY{end}"], pairs[f"PROGRAM{end}"], strict=True) for end in ("_2", "")]
    pairs = pairs[[second > first for second, first in zip(*names, strict=True)]]
    pairs = pairs[(pairs.Z - pairs.Z_2).abs() > 1000 / 299792.458 * (1 + pairs.Z)]
    return pairs.sort_values(["TARGETID", "SURVEY", "PROGRAM", "SURVEY_2", "PROGRAM_2"])


def question_9(results, iron):
    tiles = zcatalog(iron, "tilecumulative")
    chosen = tiles[(tiles.DESI_TARGET & 4 != 0) & (tiles.FLUX_R > 1.5849)].copy()
    chosen["good"] = (chosen.SPECTYPE == "QSO") & (chosen.ZWARN == 0)
    return chosen.groupby("TILEID").good.agg(["size", "sum"]).reset_index()


def question_10(results, iron):
    exposures, frames = (table_of(iron / "exposures-iron.fits", name) for name in ("EXPOSURES", "FRAMES"))
    exposures = exposures.assign(n=exposures.EXPID.map(frames.groupby("EXPID").size()))
    groups = exposures.groupby(["NIGHT", "PROGRAM"])
    return groups.agg(size=("EXPID", "size"), seconds=("EXPTIME", "sum"), fewest=("n", "min")).reset_index()


def test_there_are_ten_questions():
    assert list(QUESTIONS) == [str(k) for k in range(1, 11)]
    assert all(text.count(";") == 0 for text in QUESTIONS.values())


@pytest.mark.parametrize("number", QUESTIONS)
def test_answers_are_what_pandas_finds_in_the_files(loaded, results, iron, number):
    answer = ask(loaded, QUESTIONS[number])
    expected = globals()[f"question_{number}"](results, iron)
    assert len(expected) > 0
    assert len(answer) == len(expected)
    for row, wanted in zip(answer, expected.itertuples(index=False), strict=True):
        for value, one in zip(row, wanted, strict=True):
            if isinstance(one, float) and np.isnan(one):
                assert value is None
            else:
                assert value == (one if isinstance(one, str) else pytest.approx(one, rel=1e-6))


def everything(database: Database, schema: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of all tables of a schema, in order."""
    if database.path is not None:
        names = f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    else:
        names = f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'"
    with reading(database) as connection:
        tables = sorted(name for (name,) in connection.execute(names).fetchall())
        return {
            name: sorted(connection.execute(f"SELECT * FROM {schema}.{name}").fetchall(), key=repr) for name in tables
        }


@pytest.fixture
def other(results: Path, iron: Path, tmp_path: Path) -> dict[str, Path]:
    """The harvest with other redshifts, and another release of the same name."""
    copy = tmp_path / "results"
    shutil.copytree(results, copy)
    for path in copy.glob("desi_crossmatches/*/*.hdf5"):
        with h5py.File(path, "r+") as file:
            file["desi/z"][:] = file["desi/z"][:] + 0.5
    write_release(tmp_path / "iron", [(1, "main", "dark"), (2, "main", "bright")], seed=2)
    return {"harvest": copy, "iron": tmp_path / "iron"}


def test_a_load_replaces_and_again_makes_the_same(loaded, results, iron, other, fresh):
    before = {schema: everything(loaded, schema) for schema in ("harvest", "iron")}
    assert len(before["iron"]) == 10
    engine = "sqlite" if loaded.path else "postgresql"
    alone = fresh(engine, "alone")
    for database in (loaded, alone):
        load_catalogues(database, "iron", catalogue_files(other["iron"]))
        load_harvest(database, "harvest", other["harvest"], SURVEYS)
    for schema, rows in before.items():
        now = everything(loaded, schema)
        assert now == everything(alone, schema)
        assert now != rows
    load_harvest(loaded, "harvest", results, SURVEYS)
    load_catalogues(loaded, "iron", catalogue_files(iron))
    assert {schema: everything(loaded, schema) for schema in before} == before


KILLED = """
import os, signal, sys
sys.path.insert(0, {scripts!r})
from pathlib import Path
from skyharvest.database import connection, loading
from skyharvest.database.catalogues import load_catalogues
from skyharvest.database.files import catalogue_files
from skyharvest.database.harvest import load_harvest

add, left = loading.Loading.add, [{calls}]
def counted(self, *given, **how):
    add(self, *given, **how)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
loading.Loading.add = counted
database = connection.Database({where})
{load}
"""
LOADS = {
    "harvest": "load_harvest(database, 'harvest', Path({path!r}), {surveys!r})",
    "iron": "load_catalogues(database, 'iron', catalogue_files(Path({path!r})))",
}


@pytest.mark.parametrize(("schema", "calls"), [("harvest", 8), ("iron", 6)])
def test_a_load_that_is_killed_leaves_what_was_there(loaded, other, schema, calls):
    before = everything(loaded, schema)
    load = LOADS[schema].format(path=str(other[schema]), surveys=SURVEYS)
    where = f"path=Path({str(loaded.path)!r})" if loaded.path else f"**{loaded.server!r}"
    code = KILLED.format(scripts=str(ROOT / "scripts"), calls=calls, where=where, load=load)
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert everything(loaded, schema) == before
    # What it leaves holds nobody up.
    load_harvest(loaded, "scratch", other["harvest"], ["desi"])


def test_rows_that_contradict_load_nothing(loaded, iron, tmp_path):
    before = everything(loaded, "iron")
    twice = [*catalogue_files(iron), iron / "tiles-iron.fits"]
    with pytest.raises(MalformedFile, match=r"contradict .* nothing was loaded"):
        load_catalogues(loaded, "iron", twice)
    no_tiles = [path for path in catalogue_files(iron) if not path.name.startswith("tiles")]
    with pytest.raises(InputError, match="refers to tiles, and no file has them"):
        load_catalogues(loaded, "iron", no_tiles)
    write_release(tmp_path / "iron", [(1, "main", "dark")])
    with fitsio.FITS(str(tmp_path / "iron/tiles-iron.fits"), "rw") as file:
        file[1].delete_rows([0])
    with pytest.raises(MalformedFile, match=r"nothing was loaded|not there: load the file that has it"):
        load_catalogues(loaded, "iron", catalogue_files(tmp_path / "iron"))
    assert everything(loaded, "iron") == before


def test_who_reads_cannot_write_and_sees_answers_as_csv(loaded, capsys, tmp_path):
    statements = ("DELETE FROM iron.zpix", "DROP TABLE iron.zpix", "CREATE TABLE iron.mine (x integer)")
    for statement in statements:
        with reading(loaded) as connection, pytest.raises(Exception, match=r"read-?only"):
            connection.execute(statement)
    options = ["--sqlite", str(loaded.path)] if loaded.path else ["--postgresql"]
    options += [f"--{key}={value}" for key, value in loaded.server.items() if value is not None]
    question = "SELECT survey, count(*) AS n FROM harvest.ledger GROUP BY survey ORDER BY survey"
    assert cli.run(query_database.main, query_database.build_parser(), [*options, question], job=False) == 0
    assert next(csv.DictReader(io.StringIO(capsys.readouterr().out)))["survey"] == "desi"
    before = everything(loaded, "iron")
    refused = {
        "SELECT nothing": "the database says",
        "COMMIT; BEGIN READ WRITE; DELETE FROM iron.zpix; COMMIT": "expected a question",
        "SELECT 1; COMMIT; BEGIN READ WRITE; DELETE FROM iron.zpix; COMMIT": "the database says",
        f"ATTACH '{tmp_path}/new.db' AS new": "expected a question",
        "-- nothing": "expected a question",
    }
    for question, said in refused.items():
        assert cli.run(query_database.main, query_database.build_parser(), [*options, question], job=False) == 2
        assert said in capsys.readouterr().err
    assert everything(loaded, "iron") == before


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_who_reads_without_end_is_named_and_keeps_nobody_else_waiting(server, fresh, results, monkeypatch):
    import psycopg

    from skyharvest.database import postgresql

    database = fresh("postgresql", "idle")
    load_harvest(database, "harvest", results, ["desi"])
    monkeypatch.setattr(postgresql, "LOCK_S", 1)
    monkeypatch.setattr(postgresql, "LOCK_TRIES", 2)
    with psycopg.connect(**database.server, application_name="notebook") as reader:
        reader.execute("SELECT count(*) FROM harvest.desi")
        with pytest.raises(InputError, match=r"has been read for 2 s .*notebook.* end their transactions"):
            load_harvest(database, "harvest", results, ["desi"])
        assert ask(database, "SELECT count(*) FROM harvest.desi") == [(100,)]
    load_harvest(database, "harvest", results, ["desi"])


def test_a_column_may_be_called_as_one_of_the_servers_own(tmp_path):
    pq.write_table(pa.table({"row": [0], "ctid": ["a"], "xmin": [1.5]}), tmp_path / "targets.parquet")
    assert {"csv_ctid", "csv_xmin"} < set(source_table(tmp_path / "targets.parquet").columns)


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_a_reader_of_a_server_is_granted_to_read_and_no_more(server, fresh, results, tmp_path):
    import psycopg

    database = fresh("postgresql", "granted")
    with pytest.raises(InputError, match=r"no role guest .*CREATE ROLE guest"):
        load_harvest(replace(database, reader="guest"), "harvest", results, ["desi"])
    server.do("CREATE ROLE guest LOGIN PASSWORD 'word'")
    server.passfile.write_text(server.passfile.read_text() + f"127.0.0.1:{server.port}:granted:guest:word\n")
    for _ in range(2):  # the second load makes new tables
        load_harvest(replace(database, reader="guest"), "harvest", results, ["desi"])
        with psycopg.connect(**(database.server | {"user": "guest"}), autocommit=True) as connection:
            assert connection.execute("SELECT count(*) FROM harvest.desi").fetchone() == (100,)
            for statement in ("DELETE FROM harvest.desi", "CREATE TABLE harvest.x ()", "CREATE SCHEMA x"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_what_others_have_made_is_left_alone_and_no_password_is_told(server, fresh, results, monkeypatch, tmp_path):
    database = fresh("postgresql", "others")
    server.do("CREATE SCHEMA theirs CREATE TABLE zpix (z real)", "others")
    with pytest.raises(InputError, match=r"theirs has tables that were not loaded by Skyharvest \(zpix\)"):
        load_harvest(database, "theirs", results, ["desi"])
    load_harvest(database, "harvest", results, ["desi"])
    server.do("CREATE VIEW public.mine AS SELECT z FROM harvest.desi", "others")
    with pytest.raises(InputError, match=r"view mine depends on table harvest.desi.*drop that first"):
        load_harvest(database, "harvest", results, ["desi"])
    server.do("DROP VIEW public.mine", "others")
    wrong = tmp_path / "pgpass"
    wrong.write_text(server.passfile.read_text().replace(f"*:{SUPERUSER}:", f"*:{SUPERUSER}:not-the-"))
    wrong.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(wrong))
    with pytest.raises(InputError, match=r"cannot connect .*~/\.pgpass") as told:
        load_harvest(database, "harvest", results, ["desi"])
    assert "not-the-" not in str(told.value)


def test_the_workflow_loads_what_has_changed(demo, run, iron, tmp_path):
    copy, config = tmp_path / "iron", tmp_path / "config.yaml"
    shutil.copytree(iron, copy)
    text = (ROOT / "config/demo.yaml").read_text()
    config.write_text(f"{text}\ndatabase: {{path: {tmp_path / 'db'}, catalogues: [{copy}]}}\n")
    asked = ("load_database", "--configfile", str(config))
    done = run(demo, *asked)
    assert done.status == 0, done.output
    database = Database(path=tmp_path / "db")
    both = "SELECT count(*) FROM harvest.desi JOIN iron.zpix USING (targetid, survey, program)"
    assert ask(database, both) != [(0,)]
    write_release(copy, [(1, "main", "dark")])
    again = run(demo, *asked)
    assert again.status == 0, again.output
    assert re.search(r"^load_catalogues +1$", again.output, re.M), again.output
    assert not re.search(r"^load_harvest +\d", again.output, re.M)
    assert ask(database, both) == [(0,)]
