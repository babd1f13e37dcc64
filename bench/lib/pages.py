"""How fast pages open: from disk, in headless Chromium."""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import headless

GOAL_LOAD_S = 1.0
SIZES = {"laptop": (1280, 800), "phone": (390, 844)}
SHOWN = "const one = performance.getEntriesByType('navigation')[0]; return one.loadEventEnd / 1000"


def load_times(pages: Mapping[str, Path], n: int) -> dict[tuple[str, str], list[float]]:
    """Return the seconds until each page is loaded, by kind and screen."""
    loaded: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as profile, headless.chromium(Path(profile) / "chromium") as driver:
        for screen, (width, height) in SIZES.items():
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            for kind, page in pages.items():
                for _ in range(n):
                    driver.get("about:blank")
                    driver.get(page.as_uri())
                    time.sleep(0.2)
                    loaded.setdefault((kind, screen), []).append(driver.execute_script(SHOWN))
    return loaded
