"""Real Snakemake runs: the demo, once per session of tests, and short runs around it."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]


@dataclass
class Run:
    """A finished `snakemake`: exit status and all that it printed."""

    status: int
    output: str


def snakemake(directory: Path, *arguments: str, timeout: int = 400) -> Run:
    """Run the workflow in a directory of its own, as a user would."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SNAKEMAKE")}
    done = subprocess.run(
        [*SNAKEMAKE, "--workflow-profile", str(ROOT / "profiles/default"), "--cores", "2", *arguments],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Run(done.returncode, done.stdout)


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
