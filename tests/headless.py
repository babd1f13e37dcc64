"""Headless Chromium, by Selenium, for the tests and the benchmark of pages (Debian: chromium and chromium-driver)."""

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def missing() -> str:
    """Return what this machine lacks, and how to get it; "" if it is all there."""
    if importlib.util.find_spec("selenium") is None:
        return "selenium is not installed"
    if not any(map(shutil.which, BROWSERS)) or not shutil.which("chromedriver"):
        return "there is no chromium and chromedriver (Debian: apt install chromium chromium-driver)"
    return ""


@contextmanager
def chromium(profile: Path, *logs: str) -> Iterator[Any]:
    """Give a driver, with a profile in an empty directory; ``logs`` beside the browser's: ``performance``."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, BROWSERS)))
    options.set_capability("goog:loggingPrefs", dict.fromkeys(("browser", *logs), "ALL"))
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--user-data-dir={profile}"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def show(browser: Any, page: Path, width: int = 1280, height: int = 800) -> None:
    """Open a page from disk in a window of this size; what was logged before is forgotten."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get_log("browser")
    browser.get(page.as_uri())


def wait(browser: Any, code: str) -> Any:
    """Return what a script gives, as soon as that is something."""
    return browser.execute_async_script(f"""
        const done = arguments[0], begun = Date.now();
        const look = () => {{
            const found = (() => {{ {code} }})();
            found || Date.now() - begun > 2e4 ? done(found) : setTimeout(look, 50);
        }};
        look();
    """)


def check_page(browser: Any, width: int) -> None:
    """Check that the page that is open has logged nothing, fits, and has loaded nothing from elsewhere."""
    assert browser.get_log("browser") == []
    inner, inside, whole = browser.execute_script(
        "const page = document.documentElement; return [innerWidth, page.clientWidth, page.scrollWidth]"
    )
    assert inner == width
    assert whole <= inside, "the page scrolls sideways"
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
    assert all(name.startswith(("file://", "data:")) for name in loaded)


def choose(browser: Any, section: str = "", **choice: str) -> None:
    """Choose in the form of a section, or in the first one."""
    browser.execute_script(
        """
        for (const [name, value] of Object.entries(arguments[1])) {
            const select = document.querySelector(`${arguments[0]} .choose [name=${name}]`);
            select.value = value;
            select.dispatchEvent(new Event("change", {bubbles: true}));
        }
        """,
        section,
        choice,
    )
