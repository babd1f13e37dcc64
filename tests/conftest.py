"""What tests share."""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no reason to fail.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# A `make` that a test starts is no part of the one that started the tests: it has options of its own.
for name in ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS"):
    os.environ.pop(name, None)

TOGETHER = ("workflow", "faults", "slurm")  # directories whose tests share a worker, for they share a run or a cluster
ALONE = ("test_untrusted_inputs.py",)
# Of "workflow", those that have a worker, and so a run of the demo, for themselves: together it takes half as long.
OTHERS = ("test_hetdex", "test_legacysurvey", "test_data_model", "test_report_page", "test_browse")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tell pytest-xdist which tests go together: its own groups (3.8) do not, with the node ids of pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class ByDirectory(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            parts = nodeid.partition("::")[0].split("/")
            together = set(parts) & set(TOGETHER) if parts[-1] not in ALONE else set()
            scope = together.pop() if together else nodeid
            return f"{scope} of others" if scope == "workflow" and parts[-1].startswith(OTHERS) else scope

    return ByDirectory(config, log)


@pytest.fixture(scope="session")
def demo_release(tmp_path_factory):
    """Return the directory of a simulated release, seed 1. Many tests share it: copy what you want to change."""
    from skyharvest.simulate.desi.release import simulate

    out = tmp_path_factory.mktemp("simulated") / "demo"
    simulate(out, seed=1)
    return out
