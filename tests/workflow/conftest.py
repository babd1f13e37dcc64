"""Real Snakemake runs: the demo, once per session of tests, and short runs around it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from running import Run, snakemake


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
