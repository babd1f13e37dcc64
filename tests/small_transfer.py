"""A small release on a Globus collection of a service on loopback, and its transfer to another collection."""

import csv
import json
from pathlib import Path

import globus_transfer
from skyharvest.core import cli
from skyharvest.surveys.desi.globus.client import connect
from skyharvest.surveys.desi.globus.collection import Collection
from skyharvest.surveys.desi.globus.state import State
from skyharvest.surveys.desi.globus.transfer import Polling, Transfer
from skyharvest.surveys.desi.release import load_release

SCRIPTS = Path(globus_transfer.__file__).parent
RELEASE = load_release("demo")
SOURCE, DEST = "22222222-2222-4222-8222-222222222222", "11111111-1111-4111-8111-111111111111"
COADDS = [("main", "dark", 27246), ("main", "bright", 27246), ("main", "dark", 27247), ("sv3", "dark", 19456)]
MISSING = ("main", "bright", 27247)  # planned, but the archive has none of its files
QUICK = Polling(poll_s=0.01, pause_s=0.01)


def files_of(coadd):
    """Return the three paths, below what holds spectro/, as the public archive has them."""
    survey, program, pix = coadd
    group = f"spectro/redux/demo/healpix/{survey}/{program}/{pix // 100}/{pix}"
    names = [f"{kind}-{survey}-{program}-{pix}.fits" for kind in ("coadd", "redrock")]
    return [
        f"{group}/{name}" for name in (*names, f"redux_demo_healpix_{survey}_{program}_{pix // 100}_{pix}.sha256sum")
    ]


FILES = [path for coadd in COADDS for path in files_of(coadd)]


def arguments(*more, plan=True):
    """Return a command line that copies the plan's coadds."""
    where = [DEST, "/data/mirror", "--release", "demo", "--source-endpoint", SOURCE, "--source-path", "/public"]
    how = ["--token-file", "tokens.json", "--record", "record.csv", "--poll", "0.01"]
    return [*where, *how, *(["--plan", "plan.csv"] if plan else []), *more]


def run(*more, plan=True):
    """Run the program in this process and return its exit status."""
    return cli.run(globus_transfer.main, globus_transfer.build_parser(), arguments(*more, plan=plan))


def transfer(service, polling=QUICK, **how):
    """Transfer all files of the plan by the library, with little patience."""
    source, destination = Collection(SOURCE, "/public"), Collection(DEST, "/data/mirror")
    state = State.load(Path("record.csv.state.json"), source, destination)
    with connect(Path("tokens.json"), "log in", retries=2, retry_max_s=0.01) as client:
        return Transfer(client, source, destination, state, polling=polling, **how).run([*FILES, *files_of(MISSING)])


def arrived(tmp_path):
    root = tmp_path / "here/data/mirror"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def record():
    with Path("record.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def state():
    return json.loads(Path("record.csv.state.json").read_text())


EVERYTHING = dict.fromkeys(FILES, "transferred") | dict.fromkeys(files_of(MISSING), "absent")
