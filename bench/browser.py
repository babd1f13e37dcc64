"""The spectrum browser's page of 500 sources, in headless Chromium: to make it, to open it, to go on, to smooth.

"Other" is what Bokeh makes of the same spectra by itself: one document with all of them in it. Needs chromium and
chromedriver (Debian: apt install chromium chromium-driver).
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lib import ROOT, measure, report
from lib.measure import MB
from lib.report import Row

sys.path.insert(0, str(ROOT / "tests"))
import headless
from skyharvest.browser.data import ROWS_PER_FILE
from small_pages import Files, write_files

N = 500
GOAL_OPEN_S, GOAL_NEXT_S = 1.0, 0.2
DRAWN = "const drawn = () => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)));"
# Each returns milliseconds.
OPEN_OURS = "await skyharvest.started; await drawn(); return performance.now();"
OPEN_OTHER = """
    while (!globalThis.Bokeh?.documents?.[0]?.is_idle) await new Promise((r) => setTimeout(r, 2));
    await drawn(); return performance.now();"""
PICKED = """
    const start = performance.now();
    {act}
    while (skyharvest.current()?.source !== skyharvest.sources.selected) await new Promise((r) => setTimeout(r));
    await drawn(); return performance.now() - start;"""
NEXT_OURS = PICKED.format(act="document.dispatchEvent(new KeyboardEvent('keydown', { key: 'n' }));")
JUMP_OURS = PICKED.format(
    act="""document.getElementById("jump_text").value = skyharvest.page.table.targetid[arguments[0]];
    document.getElementById("jump").requestSubmit();"""
)
SMOOTH_OURS = """
    const start = performance.now(), slider = document.getElementById("smoothing");
    slider.value = String(arguments[0] % 20 + 0.5);
    slider.dispatchEvent(new Event("input"));
    await drawn(); return performance.now() - start;"""
NEXT_OTHER = """
    const start = performance.now();
    Bokeh.documents[0].roots()[0].tags = [arguments[0]];
    await drawn(); return performance.now() - start;"""
SHOW = """
    const flux = all.data.flux[plot.tags[0]];
    const error = Array.from(all.data.ivar[plot.tags[0]], (value) => (value > 0 ? 1 / Math.sqrt(value) : 0));
    const [low, high] = [-1, 1].map((sign) => error.map((sigma, i) => flux[i] + sign * sigma));
    one.data = { x: one.data.x, y: flux, low, high };"""


def write_document(files: Files, out: Path) -> None:
    """Write one Bokeh document with all combined spectra of a file."""
    from bokeh.embed import file_html
    from bokeh.models import ColumnDataSource, CustomJS
    from bokeh.plotting import figure
    from bokeh.resources import INLINE

    with h5py.File(files.desi) as file:
        wave, flux, ivar = (file[f"desi/spectrum_{name}"][:] for name in ("lambda", "flux", "ivar"))
    spectra = ColumnDataSource({"flux": list(flux), "ivar": list(ivar)})
    error = np.where(ivar[0] > 0, ivar[0], np.inf) ** -0.5
    one = ColumnDataSource({"x": wave, "y": flux[0], "low": flux[0] - error, "high": flux[0] + error})
    plot = figure(width=1200, height=400, output_backend="canvas")
    plot.varea("x", "low", "high", source=one, fill_alpha=0.2)
    plot.line("x", "y", source=one)
    plot.js_on_change("tags", CustomJS(args={"all": spectra, "one": one, "plot": plot}, code=SHOW))
    out.write_text(file_html(plot, INLINE, "spectra"), encoding="utf-8")


def seconds(driver: Any, code: str, *arguments: Any) -> float:
    """Return the seconds that a script in the page says it took."""
    done = "const done = arguments[arguments.length - 1];"
    wrapped = f"{done} (async (...arguments_) => {{ {DRAWN} {code.replace('arguments[', 'arguments_[')} }})"
    return float(driver.execute_async_script(f"{wrapped}(...arguments).then(done);", *arguments)) / 1000


def shown(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} s (at most {max(values):.2f})"


def main() -> None:
    """Measure and report."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=7, help="times that a page is opened")
    options.add_argument("--sources", type=int, default=N, help="on the page (default: %(default)s)")
    given = options.parse_args()
    if reason := headless.missing():
        sys.exit(f"bench/browser.py: {reason}")
    n = given.sources
    chance = np.random.default_rng(5)
    with tempfile.TemporaryDirectory(prefix="skyharvest-bench-") as folder:
        data = Path(folder)
        files = write_files(data / "in", n, arms=True)
        page, document = data / "healpix=1702.html", data / "document.html"
        program = [sys.executable, ROOT / "scripts/run/browse.py", "--desi", files.desi]
        beside = ["--hetdex", files.hetdex, "--legacysurvey", files.images, "--out", page]
        made = [measure.run([*program, *beside]) for _ in range(3)]
        write_document(files, document)
        opened: dict[str, list[float]] = {"ours": [], "other": []}
        with headless.chromium(data / "profile") as driver:
            driver.set_script_timeout(300)
            driver.set_page_load_timeout(300)
            driver.set_window_size(1366, 768)
            for _ in range(given.runs):
                for name, path, code in (("other", document, OPEN_OTHER), ("ours", page, OPEN_OURS)):
                    driver.get("about:blank")
                    driver.get(path.as_uri())
                    opened[name].append(seconds(driver, code))
            nexts = [seconds(driver, NEXT_OURS) for _ in range(60)]
            jumps = [seconds(driver, JUMP_OURS, int(k)) for k in chance.integers(0, n, 60)]
            smooths = [seconds(driver, SMOOTH_OURS, k) for k in range(30)]
            driver.get(document.as_uri())
            seconds(driver, OPEN_OTHER)
            others = [seconds(driver, NEXT_OTHER, int(k)) for k in chance.integers(0, n, 60)]
        own = [page, *page.with_suffix("").iterdir()]
        size, at_once = sum(path.stat().st_size for path in own) / MB, page.stat().st_size / MB
    middle = statistics.median
    rows = [
        Row(
            "seconds to open",
            shown(opened["ours"]),
            shown(opened["other"]),
            middle(opened["other"]) / middle(opened["ours"]),
            goal_text=f"< {GOAL_OPEN_S:g} s",
            reached=middle(opened["ours"]) < GOAL_OPEN_S,
        ),
        Row(
            "seconds to the next source",
            shown(nexts),
            shown(others),
            middle(others) / middle(nexts),
            goal_text=f"< {GOAL_NEXT_S:g} s",
            reached=middle(nexts) < GOAL_NEXT_S,
        ),
        Row("seconds to any source, by its TARGETID", shown(jumps)),
        Row(
            "seconds to smooth", shown(smooths), goal_text=f"< {GOAL_NEXT_S:g} s", reached=middle(smooths) < GOAL_NEXT_S
        ),
        Row("seconds to make the page", measure.shown_seconds(made)),
        Row("peak memory to make it", f"{measure.median(made, lambda run: run.peak_bytes) / MB:,.0f} MB"),
    ]
    notes = f"""
A page of {n} DESI spectra, combined and by arms, a third of them with a HETDEX spectrum and an image: {size:.0f} MB.
{at_once:.1f} MB of that is the page itself; the rest is read {ROWS_PER_FILE} sources at a time. In headless Chromium,
without a graphics card, 1366 x 768 pixels; until two frames have been drawn. "Other" is one Bokeh document with the
combined spectra alone, as `bokeh.embed.file_html` makes it, and draws a spectrum and its error band: no lines, masks,
table or image.
"""
    report.write_section("browser", "The spectrum browser", report.comparison(rows) + "\n" + notes)


if __name__ == "__main__":
    main()
