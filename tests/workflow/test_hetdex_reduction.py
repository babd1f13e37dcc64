"""A simulated month of HETDEX's raw frames in which much goes wrong, reduced: against truth, killed and gone on with.

Two nights, three shots, two IFUs, one of which is connected to another spectrograph on the second night.
"""

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml

from running import Run, snakemake
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.simulate.hetdex_month.month import simulate
from skyharvest.simulate.hetdex_month.plan import trouble

pytestmark = pytest.mark.timeout(1200)  # on a busy machine; alone two minutes
SHOT, OTHER, EMPTY = "20190103v017", "20190104v012", "20190104v018"


class Month:
    """A reduction of the month, and the directory that it is made in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.simulated = root / "simulated"
        self.layout = Layout(root / "results" / "reduction" / "hetdex")

    def run(self, *options: str, **own: Any) -> Run:
        """Run the workflow, with settings of one's own."""
        return snakemake(self.root, *options, "--configfile", str(self.configure(**own)), timeout=900)

    def configure(self, **own: Any) -> Path:
        """Write the configuration."""
        settings = {key: str(self.simulated / key) for key in ("raw", "fplane", "ifucen")}
        settings["star_catalogue"] = str(self.simulated / "star_catalogue.fits")
        path = self.root / "config.yaml"
        given = {"hetdex_reduction": {"enabled": True, **settings, **own}, "desi": {"enabled": False}}
        path.write_text(yaml.safe_dump(given))
        return path

    def ledger(self) -> list[dict[str, str]]:
        """Return the lines of the ledger."""
        with (self.layout.directory / "ledger.csv").open(newline="") as stream:
            return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    made = Month(tmp_path_factory.mktemp("month"))
    simulate(made.simulated, trouble())
    return made
