"""The pages of a reduction's detections as a person uses them, in Chromium, from disk."""

import numpy as np
import pytest

from browser.conftest import SIZES
from browser.opened_page import Page, visit
from skyharvest.browser.detections import Inputs, write_shot_page
from skyharvest.browser.shots import write_shots_page
from skyharvest.surveys.hetdex.cube import air_to_vacuum
from small_reports import FAILED, GRID, LEFT_OUT, LOST, SHOT, write_shot


@pytest.fixture(scope="module")
def shot(tmp_path_factory):
    return write_shot(tmp_path_factory.mktemp("hetdex"))


@pytest.fixture(scope="module")
def path(shot, tmp_path_factory):
    out = tmp_path_factory.mktemp("pages") / f"{SHOT}.html"
    files = [*(directory / "detections.h5" for directory in shot.directories), shot.continuum]
    write_shot_page(Inputs(SHOT, files, shot.layout.reports(SHOT)), out)
    write_shots_page({SHOT: shot.layout.reports(SHOT)}, out.with_name("index.html"))
    return out


@pytest.fixture
def page(chromium, path):
    made = Page(chromium, path)
    yield made
    assert made.errors() == []


def report_width(page):
    """Wait until the report of the detection that is drawn is there, and return its width: 300 and its number."""
    return page.js(
        "const [report, name] = ['report', 'targetid'].map((id) => document.getElementById(id));"
        "const arrived = () => report.alt.endsWith(name.textContent) && report.complete;"
        "while (!arrived()) await new Promise((r) => setTimeout(r, 20)); return report.naturalWidth",
        wait=True,
    )


def check(page, shot, k):
    """What is drawn is the detection's spectrum, per Å in vacuum, and beside it is its report."""
    wave, flux = page.drawn("flux_combined", "x", "y")
    np.testing.assert_allclose(wave, air_to_vacuum(GRID), rtol=1e-12)
    assert np.array_equal(flux.astype("f4"), shot.spectra["spec1d"][k] / np.float32(2), equal_nan=True)
    assert page.get("targetid").text == str(shot.ids[k])
    assert report_width(page) == 300 + k


@pytest.mark.parametrize("size", SIZES)
def test_a_page_opens_from_disk(chromium, path, shot, size):
    page = Page(chromium, path, size)
    assert page.settle() == 0
    check(page, shot, 0)
    loaded = page.js("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert {name.partition(":")[0] for name in loaded} <= {"file", "data"}
    width, height = SIZES[size]
    assert page.js("return document.documentElement.scrollWidth") <= width
    if size == "laptop":
        assert page.js("return document.documentElement.scrollHeight") <= height  # all on one screen
    box = page.js("return document.querySelector('#plot').getBoundingClientRect().toJSON()")
    assert box["width"] > 0.4 * width and box["height"] >= 200
    assert page.errors() == []


def test_detections_are_picked_sorted_and_filtered(page, shot):
    page.settle()
    page.press("n")
    assert page.settle() == 1
    check(page, shot, 1)
    page.write("jump_text", str(shot.ids[17]) + page.keys.ENTER)
    assert page.settle() == 17
    check(page, shot, 17)
    assert page.js("return location.hash") == f"#{shot.ids[17]}"
    page.write("filter", "line chi2<1.2 sn>6")
    rows = shot.rows
    kept = (rows["chi2"] < 1.2) & (rows["sn"] > 6)  # NaN of continuum sources is neither
    assert 2 < kept.sum() < 15
    assert page.js("return skyharvest.sources.shown") == np.flatnonzero(kept).tolist()
    assert page.get("count").text == f"{kept.sum()} of {len(rows)} detections"
    page.js("return document.querySelector('th[data-key=wave] button')").click()
    order = [k for k in np.argsort(rows["wave"], kind="stable").tolist() if kept[k]]
    assert page.js("return skyharvest.sources.shown") == order
    page.write("filter", "continuum")
    assert page.get("count").text == f"8 of {len(rows)} detections"


def test_a_permalink_shows_its_detection(chromium, path, shot):
    page = Page(chromium, path, hash_=f"#{shot.ids[23]}")
    assert page.settle() == 23
    check(page, shot, 23)
    assert Page(chromium, path, hash_="#1").settle() == 0
    assert "first" in page.get("message").text


def test_a_detection_without_a_report_says_why(page, shot):
    page.settle()
    for k, why in ((LEFT_OUT, "below reports.least_sn"), (FAILED, "it <b>cannot</b> be drawn"), (LOST, "no report")):
        page.write("jump_text", str(shot.ids[k]) + page.keys.ENTER)
        assert page.settle() == k
        assert why in page.get("no_report").text
        assert not page.get("report").is_displayed()
    page.press("p")
    check(page, shot, page.settle())
    assert not page.get("no_report").is_displayed()


def test_the_whole_report_opens_and_closes(page, shot):
    page.settle()
    check(page, shot, 0)
    assert not page.get("whole_report").is_displayed()
    page.get("whole").click()
    assert page.js("return document.getElementById('whole_report').getBoundingClientRect().width") == 300
    page.press(page.keys.ESCAPE)
    assert not page.get("whole_report").is_displayed()
    page.get("whole").click()
    page.get("whole_report").click()
    assert not page.get("whole_report").is_displayed()


def test_lines_move_with_what_the_line_is(page, shot):
    page.settle()
    wave = float(air_to_vacuum(shot.rows["wave"][:1])[0])
    assert page.drawn("detected", "x") == pytest.approx([wave], abs=1e-3)

    def check_guess(label, rest):
        z = wave / rest - 1
        chosen = page.js("const guess = document.getElementById('guess'); return guess.selectedOptions[0].text")
        assert chosen == f"{label} z {z:.4f}"
        assert float(page.get("redshift").get_attribute("value")) == pytest.approx(z, abs=1e-5)
        assert np.abs(page.drawn("markers_emission", "x") - wave).min() < 2e-3

    check_guess("Lyα", 1215.67)
    assert not page.get("reset_redshift").is_enabled()
    options = page.js("return Array.from(document.getElementById('guess').options, (option) => option.text)")
    assert "Hα" not in " ".join(options)  # it would be blueshifted
    page.js(
        "const guess = document.getElementById('guess');"
        "guess.value = Array.from(guess.options).find((option) => option.text.startsWith('[O II]')).value;"
        "guess.dispatchEvent(new Event('change'))"
    )
    check_guess("[O II]", 3728.48)
    page.write("redshift", "0.5")
    assert page.js("return document.getElementById('guess').value") == ""
    page.get("reset_redshift").click()
    check_guess("Lyα", 1215.67)
    continuum = int(np.flatnonzero(np.isnan(shot.rows["wave"]))[0])
    page.write("jump_text", str(shot.ids[continuum]) + page.keys.ENTER)
    assert page.settle() == continuum
    assert not page.get("guess").is_enabled()
    assert len(page.drawn("detected", "x")) == 0


def test_a_line_is_seen_alone(page, shot):
    page.settle()
    page.get("near").click()
    wave = float(air_to_vacuum(shot.rows["wave"][:1])[0])
    assert page.js("return [skyharvest.plot.x.start, skyharvest.plot.x.end]") == pytest.approx([wave - 100, wave + 100])
    page.press("n")
    page.settle()
    wave = float(air_to_vacuum(shot.rows["wave"][1:2])[0])
    start, end, low, high = page.js("const { x, y } = skyharvest.plot; return [x.start, x.end, y.start, y.end]")
    assert [start, end] == pytest.approx([wave - 100, wave + 100], abs=0.01)
    near = np.abs(air_to_vacuum(GRID) - wave) < 100
    seen = shot.spectra["spec1d"][1][near] / 2
    assert low < np.nanmin(seen) and np.nanmax(seen) < high < 2 * np.nanmax(seen)
    page.get("near").click()
    assert page.js("return skyharvest.plot.x.end - skyharvest.plot.x.start") > 2000


def test_the_first_page_leads_to_the_shots(chromium, path, shot):
    from selenium.webdriver.common.by import By

    visit(chromium, path.with_name("index.html").as_uri())
    n = len(shot.ids)
    cells = [cell.text for cell in chromium.find_elements(By.CSS_SELECTOR, "tr[data-source] td")]
    assert cells[:6] == [SHOT, "21", "8", str(n - 1), str(n - 3), "1"]
    assert "cannot" in cells[6]
    assert "warning" in chromium.find_elements(By.CSS_SELECTOR, "td.found")[0].get_attribute("class")
    chromium.find_element(By.LINK_TEXT, SHOT).click()
    assert chromium.current_url.startswith(path.as_uri())
    assert [entry for entry in chromium.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


def test_a_shot_without_detections_says_so(chromium, tmp_path):
    made = write_shot(tmp_path / "hetdex")
    made.layout.reports(SHOT).write_text("detectid,state,reason\n")
    out = tmp_path / f"{SHOT}.html"
    write_shot_page(Inputs(SHOT, [], made.layout.reports(SHOT)), out)
    page = Page(chromium, out)
    assert "no detections" in page.get("message").text
    assert page.errors() == []
