"""Raw exposures out of an archive: what tables list, whole, and once."""

import csv
import hashlib

import fetch_raw as program
import pytest

from range_server import serve
from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.reduction.desi.exposure_table import path_of, read_table, write_table
from skyharvest.reduction.desi.fetch_raw import listed
from skyharvest.reduction.desi.graph import Selection
from skyharvest.reduction.desi.make_tables import take_tables
from small_production import NIGHT, ROWS


@pytest.fixture
def tables(tmp_path):
    rows = [one | {"EXPFLAG": "bad"} if one["EXPID"] == 2 else one for one in ROWS]
    write_table(path_of(tmp_path / "release", NIGHT), rows)
    return tmp_path / "release" / "exposure_tables"


@pytest.fixture
def archive(tmp_path):
    """Return the root of an archive with all exposures: fibermap of 4 absent, raw file of 5 other than its sum."""
    root = tmp_path / "archive"
    for row in ROWS:
        directory = root / f"{NIGHT}/{row['EXPID']:08d}"
        directory.mkdir(parents=True)
        sums = []
        for name in (f"desi-{row['EXPID']:08d}.fits.fz", f"fibermap-{row['EXPID']:08d}.fits"):
            content = f"{name} as it was written".encode() * 100
            sums.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
            if (row["EXPID"], name[0]) != (4, "f"):
                (directory / name).write_bytes(b"torn" if (row["EXPID"], name[0]) == (5, "d") else content)
        (directory / f"checksum-{row['EXPID']:08d}.sha256sum").write_text("".join(sums))
    return root


def run(url, tables, tmp_path, *more):
    arguments = ["--archive", url, "--tables", str(tables), "--raw", str(tmp_path / "raw")]
    out = tmp_path / "fetched.csv"
    status = cli.run(program.main, program.build_parser(), [*arguments, "--out", str(out), *more])
    assert status == 0
    with out.open(newline="") as stream:
        return {(int(line["EXPID"]), line["FILE"][0]): line["STATE"] for line in csv.DictReader(stream)}


def test_what_the_tables_list_is_fetched_whole_and_once(archive, tables, tmp_path, monkeypatch):
    monkeypatch.setenv("SKYHARVEST_PATIENCE", "tries=2 base_s=0.01")
    with serve(archive) as served:
        states = run(served.url, tables, tmp_path, "--connections", "3")
        assert states == {
            (expid, kind): {(4, "f"): "absent", (5, "d"): "damaged"}.get((expid, kind), "there")
            for expid in (1, 3, 4, 5, 6)
            for kind in "df"
        }
        copied = sorted(path.relative_to(tmp_path / "raw") for path in (tmp_path / "raw").rglob("*") if path.is_file())
        assert len(copied) == 8
        assert all((tmp_path / "raw" / path).read_bytes() == (archive / path).read_bytes() for path in copied)
        served.asked.clear()
        assert run(served.url, tables, tmp_path) == states
        again = {path for path in served.asked if not path.endswith("sha256sum")}
        assert {path.rpartition("/")[2] for path in again} == {"fibermap-00000004.fits", "desi-00000005.fits.fz"}


def test_only_what_is_asked_for(archive, tables, tmp_path):
    states = run(str(archive), tables, tmp_path, "--expids", "6")
    assert {expid for expid, _ in states} == {1, 3, 4, 6}
    with pytest.raises(InputError, match="no table of the nights that are asked for"):
        listed(tables, Selection(nights=[20250116]))


def test_given_tables_begin_a_production_and_edits_stay(tables, tmp_path):
    production = tmp_path / "production"
    take_tables(tables, production)
    own = path_of(production, NIGHT)
    assert read_table(own) == read_table(path_of(tmp_path / "release", NIGHT))
    own.write_text(own.read_text().replace("1,arc", "1,flat"))
    edited = own.read_text()
    take_tables(tables, production)
    assert own.read_text() == edited
