"""A page of spectra in Chromium, driven as a person drives it."""

import time

import numpy as np

from browser.conftest import SIZES


def visit(driver, uri):
    """Open a page, and wait until it is there: the driver may take the page before for it."""
    driver.get("about:blank")  # the same page with another hash would not be loaded anew
    driver.get_log("browser")
    driver.get(uri)
    deadline = time.monotonic() + 30
    while not driver.execute_script(
        "return document.readyState === 'complete' && location.href.startsWith(arguments[0])", uri.partition("#")[0]
    ):
        assert time.monotonic() < deadline, f"{uri} is not loaded"
        time.sleep(0.02)


class Page:
    """A page in Chromium."""

    def __init__(self, driver, path, size="laptop", hash_=""):
        from selenium.webdriver.common.by import By
        from selenium.webdriver.common.keys import Keys

        self.driver, self.keys, self.by_id = driver, Keys, By.ID
        width, height = SIZES[size]
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        visit(driver, path.as_uri() + hash_)
        self.js("return skyharvest.started", wait=True)

    def js(self, code, *arguments, wait=False):
        if wait:
            code = f"const done = arguments[arguments.length - 1]; (async () => {{ {code} }})().then(done)"
            return self.driver.execute_async_script(code, *arguments)
        return self.driver.execute_script(code, *arguments)

    def get(self, name):
        return self.driver.find_element(self.by_id, name)

    def press(self, key):
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(key).perform()

    def settle(self):
        """Wait until what was picked is drawn, and return it: its index."""
        wait = "const calm = () => new Promise((r) => requestAnimationFrame(() => setTimeout(r)));"
        wait += "while (skyharvest.current()?.source !== skyharvest.sources.selected) await calm(); await calm();"
        return self.js(f"{wait} await calm(); return skyharvest.sources.selected", wait=True)

    def drawn(self, name, *columns):
        """Return what a renderer's data source holds; NaN as NaN."""
        found = self.js(
            "const data = Bokeh.documents[0].get_model_by_name(arguments[0]).data_source.data;"
            "return arguments[1].map((column) => Array.from(data[column], (v) => Number.isNaN(v) ? null : v))",
            name,
            list(columns),
        )
        found = [np.array([np.nan if value is None else value for value in column]) for column in found]
        return found[0] if len(columns) == 1 else found

    def write(self, name, text):
        box = self.get(name)
        box.send_keys(self.keys.CONTROL, "a")
        box.send_keys(text)

    def errors(self):
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
