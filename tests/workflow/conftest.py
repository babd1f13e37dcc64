"""Real Snakemake runs: the demo, once per session of tests, and short runs around it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hetdex_trouble_month import Month
from running import Run, snakemake
from skyharvest.simulate.hetdex_month.month import simulate
from skyharvest.simulate.hetdex_month.plan import trouble


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run these tests on one worker: they share one run of the demo."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("workflow"))


@pytest.fixture(scope="session")
def run() -> Callable[..., Run]:
    return snakemake


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of one whole run of the embedded default."""
    directory = tmp_path_factory.mktemp("demo")
    done = snakemake(directory)
    assert done.status == 0, done.output
    (directory / "output.txt").write_text(done.output)
    return directory


@pytest.fixture(scope="session")
def trouble_month(tmp_path_factory: pytest.TempPathFactory) -> Month:
    """A simulated month of HETDEX's raw frames in which much goes wrong."""
    made = Month(tmp_path_factory.mktemp("month"))
    simulate(made.simulated, trouble())
    return made


@pytest.fixture(scope="session")
def killed_exposures(trouble_month: Month) -> dict[Path, int]:
    """Files of exposures of its first run, which was killed while these were extracted, and their times.

    The second run was killed, too: while reports of detections were written.
    """
    directory = trouble_month.layout.directory
    finished = "science/*/*/[0-9]*/amps.csv"
    trouble_month.run_until(lambda: bool(list(directory.glob(finished))), "reduce_hetdex")
    times = {path: path.stat().st_mtime_ns for path in directory.glob(finished)}
    trouble_month.run_until(lambda: bool(list(directory.glob("reports/elixer_reports_*.db"))), "reduce_hetdex")
    return times


@pytest.fixture(scope="session")
def reduced_month(trouble_month: Month, killed_exposures: dict[Path, int]) -> Run:
    """The run that goes on, to its end."""
    return trouble_month.run("reduce_hetdex", "reduce_hetdex_report")
