"""Headless Chromium, where there is one (Debian: chromium and chromium-driver)."""

import shutil

import pytest

SIZES = {"laptop": (1366, 768), "phone": (390, 844)}


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """Return a Selenium driver. It is shared: open your own page first."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    missing = [name for name, path in programs.items() if path is None]
    if missing:
        pytest.skip(f"no {' and no '.join(missing)} on this machine (Debian: apt install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = programs["chromium"]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    profile = tmp_path_factory.mktemp("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--user-data-dir={profile}"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(programs["chromedriver"]))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()
