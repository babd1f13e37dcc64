"""Headless Chromium, where there is one."""

import pytest

import headless

SIZES = {"laptop": (1366, 768), "phone": (390, 844)}


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """Return a Selenium driver. It is shared: open your own page first."""
    if reason := headless.missing():
        pytest.skip(reason)
    with headless.chromium(tmp_path_factory.mktemp("chromium")) as driver:
        driver.set_script_timeout(60)
        yield driver
