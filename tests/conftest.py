"""What tests share."""

import pytest


@pytest.fixture(scope="session")
def demo_release(tmp_path_factory):
    """Return the directory of a simulated release, seed 1. Many tests share it: copy what you want to change."""
    from skyharvest.simulate.release import simulate

    out = tmp_path_factory.mktemp("simulated") / "demo"
    simulate(out, seed=1)
    return out
