"""The pages of HETDEX's quality, in a headless browser as a reader opens them: from disk."""

import pytest

from headless import check_page, choose, show, wait
from small_hetdex_quality import Small, pairings, shots

MONTH = 201902
SHOT = f"{MONTH}01v010"
PAIRINGS = pairings(78)[:4] + pairings(78)[-2:]
SIZES = [(1280, 800), (390, 844)]
PAGES = ["index.html", f"{MONTH}/index.html", f"{MONTH}/{SHOT}.html"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Small:
    small = Small(tmp_path_factory.mktemp("hetdex"), shots(201901, 2) + shots(MONTH, 2), PAIRINGS)
    small.planted = {("bias", "rms", f"{MONTH}/{PAIRINGS[1]}_RL"): 14.0}
    small.failed = {("science", f"{SHOT}/exp02/{PAIRINGS[0]}_LL"): "cut short: <b>2,880</b> of 2,229,120 bytes"}
    small.write()
    return small


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_page_opens_from_disk_without_errors_and_fits(chromium, made, page, width, height):
    show(chromium, made.site / page, width, height)
    assert wait(chromium, "scrollTo(0, 1e6); return document.querySelectorAll('figure.chart svg').length")
    check_page(chromium, width)


MAP = """
    const figure = document.querySelector("[data-map='%s']");
    figure.scrollIntoView();
    const svg = figure.querySelector("svg");
    if (!svg) return null;
    const box = (one) => ({x: Number(one.getAttribute("x")), y: Number(one.getAttribute("y"))});
    return {
        cells: [...svg.querySelectorAll("rect[fill^=rgb]")].map(box),
        bad: [...svg.querySelectorAll(".edge.BAD")].map(box),
        missing: [...svg.querySelectorAll("rect[fill='url(#failed)']")].map(box),
    };
"""


def test_amplifiers_stand_where_they_are_on_the_focal_plane(chromium, made):
    show(chromium, made.site / f"{MONTH}/index.html")
    found = wait(chromium, MAP % "bias.rms")
    assert len(found["cells"]) == 4 * len(PAIRINGS)
    (bad,) = found["bad"]  # IFUSLOT 013: column 01, row 3; RL is the second from above
    column = sorted(one["y"] for one in found["cells"] if one["x"] == bad["x"])
    assert column.index(bad["y"]) == 4 * 1 + 1  # under slot 012
    right = max(one["x"] for one in found["cells"])
    assert right > 8 * bad["x"], "the last slots are in column 10"


def test_a_reader_chooses_the_exposure_of_the_maps_and_asks_an_amplifier(chromium, made):
    show(chromium, made.site / f"{MONTH}/{SHOT}.html")
    assert wait(chromium, MAP % "science.pull")["missing"] == []
    choose(chromium, "#maps", set="exp02")
    find = (MAP % "science.pull").replace("return {", "const found = {") + "return found.missing.length ? found : null"
    (missing,) = wait(chromium, find)["missing"]
    said = chromium.execute_script(
        """
        const svg = document.querySelector("[data-map='science.pull'] svg"), box = svg.getBoundingClientRect();
        const at = {clientX: box.left + arguments[0] + 3, clientY: box.top + arguments[1] + 2};
        svg.dispatchEvent(new MouseEvent("click", at));
        return document.querySelector("[data-map='science.pull'] .tip").innerText;
        """,
        missing["x"],
        missing["y"],
    )
    why = made.failed["science", f"{SHOT}/exp02/{PAIRINGS[0]}_LL"]
    assert said == f"300_012_020 LL, controller 0101\nscience failed: {why}"


def test_a_reader_chooses_any_value_over_time_by_shot_and_by_month(chromium, made):
    points = """
        const label = document.querySelector("%s figure[data-series=''] svg .label");
        if (!label || !label.textContent.startsWith("%s")) return null;
        const marks = (path) => (path.getAttribute("d").match(/M/g) ?? []).length;
        const of = (css) => [...document.querySelectorAll(`%s figure[data-series=''] ${css}`)].map(marks);
        const sum = (css) => of(css).reduce((a, b) => a + b, 0);
        return {all: sum(".points:not(.of-bad)") + sum(".beyond:not(.of-bad)"), bad: sum(".of-bad")};
    """
    show(chromium, made.site / "index.html")
    chromium.execute_script("document.querySelector('#by-shot').scrollIntoView()")
    choose(chromium, "#by-shot", series="astrometry.rms_x", column="exp02")
    assert wait(chromium, points % ("#by-shot", "astrometry.rms_x", "#by-shot")) == {"all": 4, "bad": 0}
    chromium.execute_script("document.querySelector('#by-month').scrollIntoView()")
    choose(chromium, "#by-month", series="amps.bias.rms", column="RL")
    of_month = points % ("#by-month", "amps.bias.rms", "#by-month")
    assert wait(chromium, of_month) == {"all": 2 * len(PAIRINGS), "bad": 1}


def test_what_is_bad_is_seen_without_scrolling(chromium, made):
    for width, height in SIZES:
        show(chromium, made.site / "index.html", width, height)
        top = chromium.execute_script("return document.querySelector('.faults li b').getBoundingClientRect().bottom")
        assert top < height
