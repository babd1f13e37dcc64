"""A simulated month of HETDEX's raw frames in which much goes wrong, and its reduction, as tests run it.

Two nights, three shots, two IFUs, one of which is connected to another spectrograph on the second night.
"""

import csv
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fitsio
import yaml

from running import Run, snakemake, start
from skyharvest.reduction.hetdex.layout import Layout

SHOT, OTHER, EMPTY = "20190103v017", "20190104v012", "20190104v018"


class Month:
    """A reduction of the month, and the directory that it is made in. Its stars are harvested from its own release."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.simulated = root / "simulated"
        self.layout = Layout(root / "results" / "reduction" / "hetdex")

    def run(self, *options: str, **own: Any) -> Run:
        """Run the workflow, with settings of one's own."""
        return snakemake(self.root, *options, "--configfile", str(self.configure(**own)), timeout=900)

    def run_until(self, reached: Callable[[], bool], *targets: str) -> None:
        """Run the workflow, and kill all of its processes as soon as something is so."""
        process = start(self.root, "--cores", "2", *targets, "--configfile", str(self.configure()))
        assert process.stdout is not None
        said: list[str] = []
        reader = threading.Thread(target=said.extend, args=(process.stdout,))  # else it would wait until it is heard
        reader.start()
        deadline = time.monotonic() + 1500  # on a busy machine
        try:
            while not reached():
                assert process.poll() is None, "".join(said)
                assert time.monotonic() < deadline, "".join(said[-100:])
                time.sleep(0.2)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            reader.join()
        assert snakemake(self.root, "--unlock", "--configfile", str(self.configure())).status == 0

    def configure(self, **own: Any) -> Path:
        """Write the configuration."""
        settings = {key: str(self.simulated / key) for key in ("raw", "fplane", "ifucen")}
        settings["star_catalogue"] = str(self.simulated / "star_catalogue.fits")
        settings["bad"] = {"fibers": str(self.simulated / "bad_fibers.csv")}
        stars = self.root / "stars.csv"
        if not stars.exists():
            table = fitsio.read(settings["star_catalogue"])
            rows = zip(*(table[name].tolist() for name in ("id", "ra", "dec")), strict=True)
            stars.write_text("\n".join(["id,ra,dec", *(",".join(map(str, row)) for row in rows)]) + "\n")
        path = self.root / "config.yaml"
        given = {
            "targets": {"csv": str(stars), "ra": "ra", "dec": "dec", "name": "id"},
            "hetdex_reduction": {"enabled": True} | settings | own,
            "hetdex": {"enabled": True, "release": "own", "archive": "results/reduction/hetdex/release"},
            "desi": {"enabled": False},
        }
        path.write_text(yaml.safe_dump(given))
        return path

    def ledger(self) -> list[dict[str, str]]:
        """Return the lines of the ledger."""
        with (self.layout.directory / "ledger.csv").open(newline="") as stream:
            return list(csv.DictReader(stream))


def jobs_of(run: Run) -> dict[str, int]:
    """Return how many jobs of each rule a dry run shows."""
    found = re.findall(r"^(?:local)?(?:rule|checkpoint) (hetdex_\w+):", run.output, re.MULTILINE)
    return {name: found.count(name) for name in found}
