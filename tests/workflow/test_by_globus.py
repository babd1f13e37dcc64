"""The demo, with `archive: globus`: coadds are copied first, and the results are those of the local run."""

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest

from globus_service import CLIENT, SECRET, serve
from hdf5_contents import contents

SOURCE, DEST = "22222222-2222-4222-8222-222222222222", "11111111-1111-4111-8111-111111111111"
RESULTS = "results/by_globus"
ALONE = ["hetdex={enabled: false}", "legacysurvey={enabled: false}"]


def settings(**globus: str) -> list[str]:
    """Return the command line; the collections' / are resources/ and mirrors/ of the working directory."""
    given = {"endpoint": DEST, "path": "/demo", "local": "mirrors/demo", "source_endpoint": SOURCE}
    given |= {"source_path": "/demo"} | globus
    copied = ", ".join(f"{key}: {value}" for key, value in given.items())
    return ["--config", f"desi={{archive: globus, globus: {{{copied}}}}}", *ALONE, f"results={RESULTS}"]


@pytest.fixture
def service(demo: Path, monkeypatch: pytest.MonkeyPatch):
    """Globus, and the credentials of a confidential client, as in an unattended run."""
    with serve({SOURCE: demo / "resources", DEST: demo / "mirrors"}) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("GLOBUS_CLIENT_ID", CLIENT)
        monkeypatch.setenv("GLOBUS_CLIENT_SECRET", SECRET)
        yield running


def test_a_copy_by_globus_gives_what_the_local_run_gave(demo: Path, run, service):
    (demo / "mirrors").mkdir()
    service.skip = lambda path: "PERMISSION_DENIED" if "redrock-main-dark-27246" in path else None
    done = run(demo, *settings())
    assert done.status != 0
    assert "redrock-main-dark-27246.fits: PERMISSION_DENIED" in done.output
    assert not (demo / RESULTS / "desi/globus_transfer.csv").exists()
    assert not list((demo / RESULTS).glob("desi/extracted/*/*.hdf5"))

    service.skip = lambda path: None
    done = run(demo, *settings())
    assert done.status == 0, done.output
    assert sum(len(document["DATA"]) for document in service.submitted[1:]) == 1

    expected, made = demo / "results/demo", demo / RESULTS
    for kind in ("desi/plan.csv", "desi/ledger.csv", "desi/summary.json"):
        assert (made / kind).read_bytes() == (expected / kind).read_bytes(), kind
    extracted = [path.relative_to(expected) for path in expected.glob("desi/extracted/*/*.hdf5")]
    assert len(extracted) > 10
    for path in extracted:
        assert (made / path).read_bytes() == (expected / path).read_bytes(), path
    for path in expected.glob("desi_crossmatches/*/*.hdf5"):
        ours, theirs = contents(made / path.relative_to(expected)), contents(path)
        assert ours.keys() == theirs.keys()
        for name in theirs:
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=f"{path}: {name}")

    with (made / "desi/globus_transfer.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    root = demo / "resources/demo"
    assert {line["file"]: line["status"] for line in lines} == {
        line["file"]: "transferred" if (root / line["file"]).is_file() else "absent" for line in lines
    }
    absent = {(line["survey"], line["program"], line["pix64"]) for line in lines if line["status"] == "absent"}
    missing = set()
    for path in extracted:
        with h5py.File(made / path) as file:
            states = zip(file["files/path"].asstr()[:], file["files/status"].asstr()[:], strict=True)
            missing |= {tuple(Path(name).stem.split("-")[1:]) for name, state in states if state == "absent"}
    assert absent == missing
    assert len(absent) == 3

    # Nothing to do, and the client's secret is nowhere.
    assert "Nothing to be done" in run(demo, "-n", *settings()).output
    written = [path for place in (made, demo / ".snakemake") for path in place.rglob("*") if path.is_file()]
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []
    assert SECRET not in done.output + run(demo, "-n", "-p", "-F", *settings()).output


def test_a_directory_that_is_not_the_copy_ends_the_run(demo: Path, run, service, tmp_path: Path):
    """Nothing is extracted from it: every coadd would pass for an absent one."""
    done = run(demo, *settings(path="/elsewhere", local=str(tmp_path)), f"results={RESULTS}_not")
    assert done.status != 0
    assert f"transferred files are not in {tmp_path}" in done.output
    assert not list((demo / f"{RESULTS}_not").glob("desi/extracted/*/*.hdf5"))
