"""Runs of the real workflow under faults, against one without."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from reliability import Outcome

from running import snakemake
from workflow import prepared, settings

HERE = Path(__file__).parent
IMPATIENT = "tries=3 base_s=0.05 cap_s=0.1 retry_after_cap_s=0.3 connect_s=2 read_s=1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put last what compares the document with what the other tests have found."""
    last = [item for item in items if item.path == HERE / "test_document.py"]
    items[:] = [item for item in items if item not in last] + last


@pytest.fixture(scope="module", autouse=True)
def impatient() -> Iterator[None]:
    """Let jobs give up soon, by the setting that users have for that; those of other tests of this worker need not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKYHARVEST_PATIENCE", IMPATIENT)
        patch.setenv("SLURM_CONF", "/dev/null")  # one that is installed, but down, is waited for
        yield


@pytest.fixture(scope="session")
def outcomes() -> list[Outcome]:
    """What the tests found; see test_document.py."""
    return []


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory, demo_release: Path) -> Path:
    """The results of a whole run of the demo without faults."""
    directory = prepared(tmp_path_factory.mktemp("sound"), demo_release)
    done = snakemake(directory, *settings(demo_release))
    assert done.status == 0, done.output
    return directory / "results"


@pytest.fixture
def directory(tmp_path: Path, demo_release: Path) -> Path:
    """A directory to run in, with the demo's positions."""
    return prepared(tmp_path, demo_release)
