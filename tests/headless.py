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
