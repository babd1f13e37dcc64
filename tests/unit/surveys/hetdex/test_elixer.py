"""ELiXer's pictures: where they are, and that what has come stays, whatever happens then."""

import csv
import sqlite3
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pytest

import fetch_elixer
from range_server import serve
from skyharvest.archive.archive import Archive
from skyharvest.archive.http.patience import Patience
from skyharvest.core import cli
from skyharvest.core.errors import ArchiveRefused, ArchiveUnavailable, MalformedFile
from skyharvest.surveys.hetdex.elixer import database_path, fetch_pictures, read_picture, write_addresses
from skyharvest.surveys.hetdex.release import load_release

RELEASE = load_release("pdr1")
QUICK = Patience(tries=2, base_s=0.01, cap_s=0.01, connect_s=2, read_s=5)
IDS = [3_002_665_003, 3_002_665_004, 3_002_699_999, 3_002_700_000, 5_090_068_724]


def jpeg(detectid: int) -> bytes:
    return b"\xff\xd8\xff\xe0" + np.random.default_rng(detectid).bytes(20_000) + b"\xff\xd9"


@pytest.fixture
def root(tmp_path) -> Path:
    """An archive with the pictures of `IDS`."""
    for detectid in IDS:
        path = tmp_path / "pdr1/detect/elixer" / str(detectid)[:5] / f"{detectid}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(detectid))
    return tmp_path / "pdr1"


@pytest.fixture
def server(root):
    with serve(root) as running:
        yield running


def fetch(server, ids, out: Path, connections: int = 1):
    with Archive(server.url, patience=QUICK, connections=connections) as archive:
        return fetch_pictures(archive, RELEASE, ids, out)


def kept(out: Path) -> dict[str, dict[int, bytes]]:
    """Return what the SQLite files hold, by their names."""
    found = {}
    for path in sorted(out.glob("elixer_*.db")):
        with closing(sqlite3.connect(path)) as database:
            found[path.name] = dict(database.execute("SELECT detectid, image FROM report").fetchall())
    return found


def missing(out: Path) -> dict[int, str]:
    with (out / "elixer_missing.csv").open(newline="") as text:
        return {int(line["detectid"]): line["reason"] for line in csv.DictReader(text)}


ALL = {
    "elixer_30026.db": {k: jpeg(k) for k in IDS[:3]},
    "elixer_30027.db": {IDS[3]: jpeg(IDS[3])},
    "elixer_50900.db": {IDS[4]: jpeg(IDS[4])},
}


def test_addresses_are_those_of_the_release(tmp_path):
    assert RELEASE.elixer(3_002_665_003) == "detect/elixer/30026/3002665003.jpg"
    with Archive("http://example.org/pdr1/") as archive:
        path = write_addresses(tmp_path / "out", archive, RELEASE, IDS[::-1])
    lines = path.read_text().splitlines()
    assert lines[0] == "detectid,address"
    assert lines[1] == "5090068724,http://example.org/pdr1/detect/elixer/50900/5090068724.jpg"
    assert len(lines) == 6


@pytest.mark.parametrize("remote", [True, False])
@pytest.mark.parametrize("connections", [1, 3])
def test_pictures_are_kept_in_a_file_for_each_hundred_thousand(root, server, tmp_path, remote, connections):
    out = tmp_path / "out"
    with Archive(server.url if remote else str(root), connections=connections, patience=QUICK) as archive:
        made = fetch_pictures(archive, RELEASE, [*IDS, IDS[0]], out)
    assert (made.n_there, made.n_new, made.missing) == (0, 5, {})
    assert kept(out) == ALL
    assert missing(out) == {}
    assert read_picture(out, IDS[2]) == jpeg(IDS[2])
    assert read_picture(out, IDS[0] - 1) is None
    assert read_picture(out, 4_000_000_000) is None
    assert server.most_open <= connections
    if remote:
        assert len(server.requests) == 5, "a request each"


def test_many_pictures_come_over_so_many_connections_and_no_more(root, server, tmp_path):
    ids = [3_002_665_000 + k for k in range(40)]
    for detectid in ids:
        (root / RELEASE.elixer(detectid)).write_bytes(jpeg(detectid))
    assert fetch(server, ids, tmp_path / "out", connections=4).n_new == 40
    assert kept(tmp_path / "out")["elixer_30026.db"] == {k: jpeg(k) for k in ids}
    assert 1 < server.most_open <= 4


def test_what_is_there_is_not_asked_for_again(server, tmp_path):
    fetch(server, IDS[:2], tmp_path)
    server.forget()
    made = fetch(server, IDS, tmp_path)
    assert (made.n_there, made.n_new) == (2, 3)
    assert sorted(path for path, _ in server.requests) == sorted(f"/{RELEASE.elixer(k)}" for k in IDS[2:])
    assert kept(tmp_path) == {**ALL, **kept(tmp_path)}


def test_missing_pictures_are_listed_and_fetched_by_the_next_run_whatever_it_is_asked_for(root, server, tmp_path):
    gone = root / RELEASE.elixer(IDS[1])
    picture = gone.read_bytes()
    gone.unlink()
    made = fetch(server, IDS[:3], tmp_path)
    assert server.count(f"/{RELEASE.elixer(IDS[1])}") == 2, "a 404 is asked for twice"
    assert made.n_new == 2
    assert list(made.missing) == list(missing(tmp_path)) == [IDS[1]]
    assert "does not exist (HTTP 404, asked twice)" in missing(tmp_path)[IDS[1]]
    fetch(server, [IDS[4]], tmp_path)
    assert list(missing(tmp_path)) == [IDS[1]], "still missing"
    gone.write_bytes(picture)
    made = fetch(server, [IDS[4]], tmp_path)
    assert (made.n_new, made.missing, missing(tmp_path)) == (1, {}, {})
    assert read_picture(tmp_path, IDS[1]) == picture


NO_JPEGS = {
    "cut": lambda data: data[:-1],
    "empty": lambda data: b"",
    "another format": lambda data: b"\x89PNG" + data,
    "text": lambda data: b"not found",
}


@pytest.mark.parametrize("case", NO_JPEGS)
def test_what_is_no_jpeg_is_read_twice_and_not_kept(root, server, tmp_path, case):
    path = root / RELEASE.elixer(IDS[0])
    path.write_bytes(NO_JPEGS[case](path.read_bytes()))
    made = fetch(server, IDS[:2], tmp_path)
    assert (made.n_new, list(made.missing)) == (1, [IDS[0]])
    assert "expected a JPEG" in missing(tmp_path)[IDS[0]]
    assert server.count(f"/{RELEASE.elixer(IDS[0])}") == 2
    assert list(kept(tmp_path)["elixer_30026.db"]) == [IDS[1]]


def test_a_picture_that_was_damaged_on_its_way_once_is_kept(server, tmp_path):
    server.misbehave = lambda handler, n: n == 1 and handler.answer(200, b"\xff\xd8 half of it") is None
    assert fetch(server, IDS[:2], tmp_path).n_new == 2
    assert kept(tmp_path)["elixer_30026.db"] == {k: jpeg(k) for k in IDS[:2]}


@pytest.mark.parametrize("connections", [1, 4])
def test_an_archive_that_fails_meanwhile_leaves_what_has_come(server, tmp_path, connections):
    bad = f"/{RELEASE.elixer(IDS[2])}"
    server.misbehave = lambda handler, _: handler.path == bad and handler.answer(503, b"") is None
    with pytest.raises(ArchiveUnavailable, match=bad):
        fetch(server, IDS, tmp_path, connections)
    assert kept(tmp_path) == {"elixer_30026.db": {k: jpeg(k) for k in IDS[:2]}}
    assert missing(tmp_path) == {}, "unavailable is not missing"
    server.misbehave = None
    made = fetch(server, IDS, tmp_path)
    assert (made.n_there, made.n_new) == (2, 3)
    assert kept(tmp_path) == ALL


def test_after_a_failure_no_more_are_asked_for(server, tmp_path):
    server.misbehave = lambda handler, _: handler.answer(503, b"") is None
    with pytest.raises(ArchiveUnavailable):
        fetch(server, range(3_002_665_000, 3_002_665_040), tmp_path, connections=2)
    assert len({path for path, _ in server.requests}) <= 4


def test_a_failure_keeps_the_list_of_missing_ones(root, server, tmp_path):
    (root / RELEASE.elixer(IDS[0])).unlink()
    (root / RELEASE.elixer(IDS[4])).unlink()
    fetch(server, [IDS[0], IDS[4]], tmp_path)
    server.misbehave = lambda handler, _: handler.answer(403, b"") is None
    with pytest.raises(ArchiveRefused):
        fetch(server, IDS, tmp_path)
    assert list(missing(tmp_path)) == [IDS[0], IDS[4]]


def test_a_file_that_is_no_database_is_named(server, tmp_path):
    database_path(tmp_path, IDS[0]).write_bytes(b"something else" * 100)
    with pytest.raises(MalformedFile, match=r"elixer_30026\.db: .*remove it"):
        fetch(server, IDS, tmp_path)


# --- The program -----------------------------------------------------------------------------------------------------


def test_the_program_lists_and_fetches_on_request(root, server, tmp_path, capsys, monkeypatch):
    with h5py.File(tmp_path / "catalogue.hdf5", "w") as file:
        file["detectid"] = np.array([*IDS, IDS[0]])
    out = tmp_path / "elixer"
    command = ["--archive", server.url, "--detectids", str(tmp_path / "catalogue.hdf5"), "--out-dir", str(out)]
    assert cli.run(fetch_elixer.main, fetch_elixer.build_parser(), command) == 0
    assert [path.name for path in out.iterdir()] == ["elixer_addresses.csv"]
    assert server.requests == []
    monkeypatch.setenv("SKYHARVEST_PATIENCE", "tries=1 base_s=0.01")
    server.misbehave = lambda handler, _: IDS[3] == int(handler.path[-14:-4]) and handler.answer(503, b"") is None
    assert cli.run(fetch_elixer.main, fetch_elixer.build_parser(), [*command, "--pictures"]) == cli.EXIT_TRY_AGAIN
    assert set(kept(out)["elixer_30026.db"]) == set(IDS[:3])
    server.misbehave = None
    assert cli.run(fetch_elixer.main, fetch_elixer.build_parser(), [*command, "--pictures"]) == 0
    assert kept(out) == ALL
    assert f"{RELEASE.elixer(IDS[3])}: HTTP 503" in capsys.readouterr().err
