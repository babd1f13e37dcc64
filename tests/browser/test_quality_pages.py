"""The pages of quality, in a headless browser as a reader opens them: from disk."""

import pytest

from headless import check_page, choose, show, wait
from small_quality import FAULTY, Quality, quality

SIZES = [(1280, 800), (390, 844)]
PAGES = ["index.html", f"{FAULTY}/index.html", f"{FAULTY}/00270103/index.html", f"{FAULTY}/00270103/z1.html"]
N_SCIENCE = 12  # of two nights


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Quality:
    found = quality(tmp_path_factory.mktemp("quality"))
    found.write()
    return found


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_page_opens_from_disk_without_errors_and_fits(chromium, made, page, width, height):
    show(chromium, made.site / page, width, height)
    has_figures = "00270103/index" not in page
    drawn = "scrollTo(0, 1e6); return document.querySelectorAll('figure.chart svg').length"
    if has_figures:
        assert wait(chromium, drawn)
    check_page(chromium, width)


COUNT = """
    const figure = document.querySelector("figure[data-series='']");
    const label = figure.querySelector("svg .label");
    if (!label || !label.textContent.startsWith("%s")) return null;
    const marks = (path) => (path.getAttribute("d").match(/M/g) ?? []).length;
    const sum = (css) => [...figure.querySelectorAll(css)].map(marks).reduce((a, b) => a + b, 0);
    return {points: sum(".points:not(.of-bad)") + sum(".beyond:not(.of-bad)"), bad: sum(".of-bad"),
            limits: figure.querySelectorAll(".limit").length,
            ticks: new Set([...figure.querySelectorAll(".tick[text-anchor=middle]")].map(one => one.textContent)).size};
"""


def test_a_reader_chooses_any_metric_as_a_series(chromium, made):
    show(chromium, made.site / "index.html")
    chromium.execute_script("document.querySelector('#series').scrollIntoView()")
    loaded = "return [...document.scripts].filter(one => one.src.includes('/series/')).length"
    assert wait(chromium, COUNT % "EXTRACT-NDEAD")["bad"] == 3 * 4  # what is BAD most often is shown first
    before = chromium.execute_script(loaded)
    choose(chromium, series="SKYSUB-CHI2", axis="exptime")
    found = wait(chromium, COUNT % "SKYSUB-CHI2")
    assert chromium.execute_script(loaded) == before + 1  # nothing is read before it is asked for
    assert (found["points"], found["bad"]) == (6 * N_SCIENCE, 1)
    assert found["limits"] >= 1
    assert found["ticks"] >= 3
    choose(chromium, column="z1", filter="dark", axis="mjd")
    dark = [one for some in made.production.nights.values() for one in some if one.program == "dark"]
    of_dark = (COUNT % "SKYSUB-CHI2").replace("return {", "const found = {") + "return found.points < 20 ? found : null"
    found = wait(chromium, of_dark)
    assert found["points"] == len(dark)
    assert found["ticks"] >= 3
    assert chromium.execute_script("return document.querySelectorAll('figure[data-series=\"\"] svg').length") == 1


def test_a_point_says_what_it_is_and_leads_to_its_page(chromium, made):
    show(chromium, made.site / "index.html")
    chromium.execute_script("document.querySelector('#series').scrollIntoView()")
    choose(chromium, series="TRACESHIFT-DX", column="z0")
    wait(chromium, COUNT % "TRACESHIFT-DX")
    link = chromium.execute_script("""
        const figure = document.querySelector("figure[data-series='']");
        const [, x, y] = figure.querySelector(".points.of-bad").getAttribute("d").match(/M([\\d.]+) ([\\d.]+)/);
        const svg = figure.querySelector("svg"), box = svg.getBoundingClientRect();
        svg.dispatchEvent(new MouseEvent("click", {clientX: box.left + Number(x), clientY: box.top + Number(y)}));
        return figure.querySelector(".tip a").getAttribute("href");
    """)
    assert link.startswith(f"{FAULTY}/")
    assert link.endswith("/z0.html")
    assert (made.site / link).is_file()


def test_a_press_on_a_heading_sorts_the_nights(chromium, made):
    show(chromium, made.site / "index.html")
    order = """
        const table = document.querySelector("#nights table");
        const column = [...table.querySelectorAll("th")].findIndex(one => one.textContent === "BAD");
        table.querySelectorAll("th button")[column].click();
        return [...table.tBodies[0].rows].map(row => Number(row.cells[column].dataset.value));
    """
    falling, rising = chromium.execute_script(order), chromium.execute_script(order)
    assert falling == sorted(falling, reverse=True)
    assert rising == falling[::-1]
    assert falling[0] > 0


def test_what_is_bad_is_seen_without_scrolling(chromium, made):
    for width, height in SIZES:
        show(chromium, made.site / "index.html", width, height)
        top = chromium.execute_script("return document.querySelector('.faults li b').getBoundingClientRect().bottom")
        assert top < height


def test_text_of_others_is_shown_as_it_is(chromium, made):
    show(chromium, made.site / f"{made.failed.owner}/r0.html")
    shown = chromium.execute_script("return document.querySelector('pre.log').textContent")
    assert "<script>alert(1)</script>" in shown
    assert chromium.get_log("browser") == []
