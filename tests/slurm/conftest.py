"""A real SLURM of two nodes on this machine, for one session of tests."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from running import ROOT, snakemake

CLUSTER = ROOT.parent / "shared" / "slurm" / "cluster"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run these tests on one worker: there is one cluster."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slurm)
            item.add_marker(pytest.mark.xdist_group("slurm"))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start the cluster, and stop it by the pids that it has recorded."""
    if not CLUSTER.exists():
        pytest.skip(f"no {CLUSTER}")
    if os.geteuid() != 0:
        pytest.skip("SLURM's daemons need root here")
    if shutil.which("slurmctld") is None:
        pytest.skip(f"SLURM is not installed: `{CLUSTER} install`")
    environment = {**os.environ, "S": str(tmp_path_factory.mktemp("slurm"))}
    up = subprocess.run([CLUSTER, "up"], env=environment, capture_output=True, text=True, timeout=120, check=False)
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        yield
    finally:
        subprocess.run([CLUSTER, "down"], env=environment, capture_output=True, timeout=120, check=False)


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run of the demo on this machine, without SLURM."""
    directory = tmp_path_factory.mktemp("local")
    done = snakemake(directory)
    assert done.status == 0, done.output
    return directory
