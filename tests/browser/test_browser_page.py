"""The spectrum browser as a person uses it, in Chromium, from disk: what is drawn is what the files hold."""

import shutil

import h5py
import numpy as np
import pytest

from browser.conftest import SIZES
from browser.opened_page import Page, visit
from skyharvest.browser.page import write_page
from skyharvest.sky.spectral_lines import KINDS
from small_pages import ARM_WAVE, write_files

N = 40
NAMES = {
    "emission": [line.wave for line in KINDS["emission"]],
    "absorption": [line.wave for line in KINDS["absorption"]],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("in"), N, arms=True)


@pytest.fixture(scope="module")
def path(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "healpix=1702.html"
    write_page(files.all, out)
    return out


@pytest.fixture(scope="module")
def desi(files):
    with h5py.File(files.desi) as file:
        made = {name: file[f"desi/{name}"][:] for name in file["desi"]}
        return {**made, "row": file["chandra/row"][:], "name": file["chandra/name"].asstr()[:]}


@pytest.fixture
def page(chromium, path):
    made = Page(chromium, path)
    yield made
    assert made.errors() == []


def check_plot(page, desi, k):
    """The plotted flux is the file's, number by number, and what is masked is shaded."""
    wave, flux = page.drawn("flux_combined", "x", "y")
    assert np.array_equal(wave, desi["spectrum_lambda"])
    assert np.array_equal(flux.astype("f4"), desi["spectrum_flux"][k])
    left, right = page.drawn("masked", "left", "right")
    shaded = ((wave[:, None] > left) & (wave[:, None] < right)).any(axis=1)
    assert np.array_equal(shaded, (desi["spectrum_mask"][k] != 0) | (desi["spectrum_ivar"][k] == 0))
    assert shaded.sum() == 26
    assert page.get("targetid").text == str(desi["targetid"][k])


@pytest.mark.parametrize("size", SIZES)
def test_a_page_opens_from_disk_with_all_sources(chromium, path, desi, size):
    page = Page(chromium, path, size)
    assert page.settle() == 0
    check_plot(page, desi, 0)
    loaded = page.js("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert {name.partition(":")[0] for name in loaded} <= {"file", "data"}
    collect = """
        const list = document.getElementById("list"), found = new Map();
        for (let top = 0; top <= list.scrollHeight; top += 100) {
          list.scrollTop = top;
          skyharvest.sources.draw();
          for (const row of list.querySelectorAll("tr[data-source]")) {
            found.set(row.dataset.source, Array.from(row.children, (cell) => cell.textContent));
          }
        }
        return [Array.from(list.querySelectorAll("th"), (cell) => cell.textContent), Array.from(found)]"""
    heads, rows = page.js(collect)
    expected = ["TARGETID", "CSV row", "z", "Type", "ZWARN", "Program", "Sep. ″", "RA", "Dec", "HETDEX"]
    assert heads == expected
    assert [int(k) for k, _ in rows] == list(range(N))
    for k, cells in rows:
        shown = dict(zip(heads, cells, strict=True))
        assert shown["TARGETID"] == str(desi["targetid"][int(k)])
        assert shown["CSV row"] == str(desi["row"][int(k)])
        assert shown["z"] == f"{desi['z'][int(k)]:.4f}"
        assert shown["Type"] == desi["spectype"][int(k)].decode()
        assert abs(float(shown["RA"]) - desi["ra"][int(k)]) < 1e-5
    width = SIZES[size][0]
    assert page.js("return document.documentElement.scrollWidth") <= width  # nothing hangs out at the side
    if size == "laptop":
        assert page.js("return document.documentElement.scrollHeight") <= SIZES[size][1]  # all on one screen
    box = page.js("return document.querySelector('#plot').getBoundingClientRect().toJSON()")
    assert box["width"] > 0.65 * width
    assert box["height"] >= 280
    assert page.errors() == []


def test_sources_are_picked_by_click_keys_and_boxes(page, desi):
    page.js("return document.querySelector('tr[data-source=\"4\"]')").click()
    assert page.settle() == 4
    check_plot(page, desi, 4)
    for key, expected in (("n", 5), (page.keys.ARROW_RIGHT, 6), ("p", 5), (page.keys.ARROW_LEFT, 4)):
        page.press(key)
        assert page.settle() == expected
        check_plot(page, desi, expected)
    for text, expected in ((str(desi["targetid"][33]), 33), (str(desi["row"][21]), 21)):
        page.write("jump_text", text + page.keys.ENTER)
        assert page.settle() == expected
        check_plot(page, desi, expected)
        assert page.js("return location.hash") == f"#{desi['targetid'][expected]}"
    page.press("n")  # not written into the box
    assert page.settle() == 22
    page.write("jump_text", "123npn" + page.keys.ENTER)
    assert "123npn" in page.get("message").text
    assert page.settle() == 22
    page.get("next").click()
    assert page.settle() == 23


def test_who_is_quicker_than_the_disk_sees_what_was_asked_for_last(page, desi):
    page.js("for (let k = 0; k < 36; k++) document.dispatchEvent(new KeyboardEvent('keydown', { key: 'n' }))")
    assert page.settle() == 36
    check_plot(page, desi, 36)
    assert page.get("place").text == f"37 of {N}"


def test_a_permalink_shows_its_source(chromium, path, desi):
    """TARGETID of rows 2 and 3 is one: its link is the primary's, and the other one has its own."""
    page = Page(chromium, path, hash_=f"#{desi['targetid'][2]}")
    assert page.settle() == 3
    assert page.js("return document.querySelector('tr[aria-selected]').dataset.source") == "3"
    page.press("p")
    assert page.settle() == 2
    link = page.get("permalink").get_attribute("href")
    assert link.endswith(f"#{desi['targetid'][2]}/main/dark/{desi['row'][2]}")
    again = Page(chromium, path, hash_="#" + link.partition("#")[2])
    assert again.settle() == 2
    again.js(f"location.hash = '#{desi['targetid'][30]}'")
    again.js("await new Promise((r) => setTimeout(r, 50))", wait=True)
    assert again.settle() == 30
    check_plot(again, desi, 30)
    assert Page(chromium, path, hash_="#1").settle() == 0
    assert "first" in page.get("message").text


def test_smoothing_is_a_gaussian_over_good_pixels(page, desi):
    page.write("jump_text", str(desi["row"][8]) + page.keys.ENTER)
    k = page.settle()
    assert len(page.drawn("smooth_combined", "y")) == 0
    slider = page.get("smoothing")
    for presses in (1, 6):
        for _ in range(presses):
            slider.send_keys(page.keys.ARROW_RIGHT)
        sigma = float(slider.get_attribute("value"))
        assert sigma in (0.5, 3.5)
        assert page.settle() == k  # arrows on a slider move the slider
        good = (desi["spectrum_mask"][k] == 0) & (desi["spectrum_ivar"][k] > 0)
        offsets = np.arange(-int(np.ceil(4 * sigma)), int(np.ceil(4 * sigma)) + 1)
        gauss = np.exp(-0.5 * (offsets / sigma) ** 2)
        flux = np.where(good, desi["spectrum_flux"][k].astype(float), 0)
        weights = np.convolve(good.astype(float), gauss, "same")
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = np.where(weights > 0, np.convolve(flux, gauss, "same") / weights, np.nan)
            variance = np.where(good, 1 / desi["spectrum_ivar"][k].astype(float), 0)
            error = np.sqrt(np.convolve(variance, gauss**2, "same")) / weights
        smooth = page.drawn("smooth_combined", "y")
        np.testing.assert_allclose(smooth[weights > 1e-9], expected[weights > 1e-9], rtol=1e-9)
        assert np.nanmax(smooth) < 100  # the masked cosmic ray of 900 is not in it
        check_plot(page, desi, k)
        page.js("skyharvest.plot.x.setv({ start: 6000, end: 6400 })")  # the band is as fine as the screen
        page.settle()
        x, low, high = page.drawn("band_combined", "x", "low", "high")
        assert np.array_equal(x, desi["spectrum_lambda"])
        assert np.allclose((high - low)[good] / 2, error[good], rtol=1e-6)
        assert np.allclose((high + low)[good] / 2, expected[good], rtol=1e-6)
        assert np.nanmax((high - low)[~good]) == 0


def test_the_band_is_the_error(page, desi):
    page.settle()
    good = (desi["spectrum_mask"][0] == 0) & (desi["spectrum_ivar"][0] > 0)
    flux = desi["spectrum_flux"][0].astype(float)
    with np.errstate(divide="ignore"):
        error = np.where(good, desi["spectrum_ivar"][0].astype(float) ** -0.5, 0)
    x, low, high = page.drawn("band_combined", "x", "low", "high")
    assert 500 < len(x) < 3000  # its envelope, for the whole spectrum
    every = round((x[1] - x[0]) / 0.8)
    starts = np.arange(0, len(flux), every)
    np.testing.assert_allclose(low, np.minimum.reduceat(flux - error, starts), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(high, np.maximum.reduceat(flux + error, starts), rtol=1e-6, atol=1e-6)


def test_markers_move_with_the_redshift(page, desi):
    page.write("jump_text", str(desi["row"][7]) + page.keys.ENTER)
    k = page.settle()

    def check(z):
        for kind, waves in NAMES.items():
            np.testing.assert_allclose(page.drawn(f"markers_{kind}", "x"), np.array(waves) * (1 + z), rtol=1e-12)

    check(desi["z"][k])
    assert not page.get("reset_redshift").is_enabled()
    page.write("redshift", "0.75")
    check(0.75)
    page.get("redshift_slider").send_keys(page.keys.ARROW_RIGHT)
    check(float(page.get("redshift").get_attribute("value")))
    assert float(page.get("redshift").get_attribute("value")) == pytest.approx(0.7505, abs=6e-4)
    page.get("reset_redshift").click()
    check(desi["z"][k])
    labels = page.js("return skyharvest.plot.markers.emission.labels.data.label")
    shown = page.drawn("markers_emission", "x")
    assert 3 <= len(labels) <= ((shown > 3400) & (shown < 9900)).sum()
    page.write("redshift", "2")
    page.press(page.keys.ESCAPE)
    page.js("document.activeElement.blur()")
    page.press("n")
    assert page.settle() == k + 1
    check(desi["z"][k + 1])  # the next source has its own


def test_hetdex_is_drawn_over_it(page, files, desi):
    page.settle()
    with h5py.File(files.hetdex) as file:
        hetdex = {name: file[f"hetdex/{name}"][:] for name in ("spectrum_flux", "spectrum_lambda_vacuum", "shotid")}
        rows = file["chandra/row"][:]
    mine = np.flatnonzero(rows == desi["row"][0])
    assert len(mine) == 2  # seen twice
    for k, j in enumerate(mine):
        x, y = page.drawn(f"hetdex_{k}", "x", "y")
        assert np.array_equal(x, hetdex["spectrum_lambda_vacuum"])
        assert np.array_equal(y.astype("f4"), hetdex["spectrum_flux"][j], equal_nan=True)
        assert np.isnan(y[:12]).all()
    legend = page.js("return skyharvest.plot.legend.items.map((item) => item.label.value)")
    assert legend == ["DESI", "HETDEX 20190101001/034", "HETDEX 20190101002/034"]
    page.get("hetdex").click()
    page.js("await new Promise((r) => setTimeout(r, 50))", wait=True)
    page.settle()
    assert len(page.drawn("hetdex_0", "y")) == 0
    page.get("hetdex").click()
    page.press("n")
    assert page.settle() == 1
    assert len(page.drawn("hetdex_0", "y")) == 0  # has none
    check_plot(page, desi, 1)


def test_what_hetdex_alone_has_is_shown_as_well(chromium, tmp_path):
    files = write_files(tmp_path / "in", 5, arms=True, alone=3)
    with h5py.File(files.hetdex) as file:
        rows, flux = file["chandra/row"][:].tolist(), file["hetdex/spectrum_flux"][:]
    for name, desi in (("healpix=1702.html", files.desi), ("healpix=1703.html", None)):
        given = {survey: path for survey, path in files.all.items() if path != files.desi or desi}
        write_page(given, tmp_path / name)
        page = Page(chromium, tmp_path / name)
        page.settle()
        page.write("jump_text", "20" + page.keys.ENTER)  # a CSV row
        k = page.settle()
        assert k == (7 if desi else rows.index(20) - 1)  # the first one was seen twice
        assert page.get("targetid").text == "CSV row 20"
        assert "20" in page.get("columns").text.split("\n")
        assert np.array_equal(page.drawn("hetdex_0", "y").astype("f4"), flux[rows.index(20)], equal_nan=True)
        assert page.js("return skyharvest.plot.legend.items.length") == 1
        low, high = page.js("return [skyharvest.plot.y.start, skyharvest.plot.y.end]")
        mine = flux[rows.index(20)].astype(float)
        assert low < np.nanmedian(mine) < high
        assert np.nanmax(mine) < high  # its line
        page.get("smoothing").send_keys(page.keys.ARROW_RIGHT * 4)
        good, gauss = np.isfinite(mine), np.exp(-0.5 * (np.arange(-8, 9) / 2) ** 2)
        sums, weights = (np.convolve(values, gauss, "same") for values in (np.where(good, mine, 0), good.astype(float)))
        smooth = page.drawn("hetdex_0", "y")
        near = weights > 1e-6
        np.testing.assert_allclose(smooth[near], sums[near] / weights[near], rtol=1e-9)
        assert page.get("picture").is_displayed()
        assert page.js("return location.hash") == "#20"
        assert not page.get("message").is_displayed()
        assert page.get("tab_survey").is_displayed() == (desi is not None)
        if desi:
            page.get("tab_survey").click()
            assert page.get("columns").text == ""
        page.get("hetdex").click()
        page.js("await new Promise((r) => setTimeout(r, 50))", wait=True)
        assert "tick the box" in page.get("message").text
        page.get("hetdex").click()
        if desi:
            assert len(page.drawn("flux_combined", "y")) == 0
            page.js("document.querySelector('input[value=arms]').click()")
            page.press("p")
            assert page.settle() == 6
            page.js("return document.querySelector('th[data-key=targetid] button')").click()
            assert page.js("return skyharvest.sources.shown.slice(5)") == [5, 6, 7]  # without one: at the end
        linked = Page(chromium, tmp_path / name, hash_="#20")
        assert linked.settle() == k
        assert linked.errors() == []


def test_arms_are_the_native_ones(page, desi):
    page.js("document.querySelector('input[value=arms]').click()")
    page.js("while (skyharvest.current().series.length !== 3) await new Promise((r) => setTimeout(r, 5))", wait=True)
    page.press("n")
    for k in (page.settle(), 20):
        if k == 20:
            page.write("jump_text", str(desi["row"][20]) + page.keys.ENTER)
            assert page.settle() == 20
        for arm, wave in ARM_WAVE.items():
            x, y = page.drawn(f"flux_{arm}", "x", "y")
            assert np.array_equal(x, wave)
            assert np.array_equal(y.astype("f4"), desi[f"{arm}_flux"][k])
        assert len(page.drawn("flux_combined", "y")) == 0


def test_the_table_is_sorted_and_filtered(page, desi):
    page.settle()
    z, zwarn = desi["z"], desi["zwarn"]
    head = page.js("return document.querySelector('th[data-key=z] button')")
    for sign in (1, -1):
        head.click()
        assert page.js("return skyharvest.sources.shown") == np.argsort(sign * z).tolist()
    page.js("return document.querySelector('th[data-key=targetid] button')").click()
    order = page.js("return skyharvest.sources.shown")
    assert order == np.argsort(desi["targetid"], kind="stable").tolist()
    page.write("filter", "qso zwarn=0 z>1")
    kept = (desi["spectype"] == b"QSO") & (zwarn == 0) & (z > 1)
    assert 0 < kept.sum() < N // 2
    shown = page.js("return skyharvest.sources.shown")
    assert shown == [k for k in order if kept[k]]
    assert page.get("count").text == f"{kept.sum()} of {N} sources"
    page.js("document.activeElement.blur()")
    page.press("n")
    page.press("n")
    assert page.settle() == shown[1]  # in the order that is shown
    gone = int(np.flatnonzero(~kept)[-1])
    page.write("jump_text", str(desi["row"][gone]) + page.keys.ENTER)
    assert page.settle() == gone  # the filter makes way
    assert page.get("filter").get_attribute("value") == ""


def test_columns_and_images_are_beside_it(page, desi, files):
    page.settle()
    shown = page.get("columns").text.split("\n")
    assert desi["name"][0] in shown  # with its tags, as text
    page.get("tab_survey").click()
    assert "nanomaggy" in page.get("columns").text
    size = page.js("const i = document.getElementById('picture'); return [i.naturalWidth, i.naturalHeight]")
    assert size == [160, 160]
    with h5py.File(files.images) as file:
        group = file["legacysurvey"]
        at = [group["x"][0] - group["x0"][0], group["y"][0] - group["y0"][0]]
    style = page.js("const s = document.getElementById('cross').style; return [s.left, s.top].map(parseFloat)")
    assert style == pytest.approx([100 * (at[0] + 0.5) / 160, 100 - 100 * (at[1] + 0.5) / 160], abs=0.01)
    page.press("n")
    page.settle()
    assert "No image" in page.get("caption").text
    assert not page.get("picture").is_displayed()


def test_the_pointer_reads_values(page, desi):
    from selenium.webdriver.common.action_chains import ActionChains

    page.settle()
    ActionChains(page.driver).move_to_element(page.get("plot")).perform()
    page.js("await new Promise((r) => setTimeout(r, 100))", wait=True)
    text = page.get("readout").text
    assert text.startswith("λ ")
    wave = float(text.split()[1])
    near = int(np.abs(desi["spectrum_lambda"] - wave).argmin())
    values = [float(f"{desi['spectrum_flux'][0, j]:.4g}") for j in (near - 1, near, near + 1)]
    assert float(text.split("flux ")[1].split()[0]) in values
    assert float(text.split("rest ")[1].split()[0]) == pytest.approx(wave / (1 + desi["z"][0]), abs=0.1)


def test_a_page_without_its_spectra_says_so(chromium, path, tmp_path):
    alone = tmp_path / path.name
    shutil.copy(path, alone)
    shutil.copytree(path.parent / "assets", tmp_path / "assets")
    page = Page(chromium, alone)
    assert "copy the directory healpix=1702" in page.get("message").text
    shutil.rmtree(tmp_path / "assets")
    visit(chromium, alone.as_uri())
    shutil.copytree(path.parent / "assets", tmp_path / "assets", ignore=shutil.ignore_patterns("bokeh*"))
    page = Page(chromium, alone)
    assert "assets/ cannot be read" in page.get("message").text


def test_a_pixel_without_sources_says_so(chromium, tmp_path):
    files = write_files(tmp_path / "in", 0)
    write_page(files.all, tmp_path / "healpix=5.html")
    page = Page(chromium, tmp_path / "healpix=5.html")
    assert "No source" in page.get("message").text
    assert page.errors() == []


def test_a_file_without_spectra_shows_its_columns(chromium, tmp_path):
    files = write_files(tmp_path / "in", 3)
    with h5py.File(files.desi, "r+") as file:
        for name in ("z", "zerr", "zwarn", "spectype", "spectrum_flux", "spectrum_ivar", "spectrum_mask"):
            del file[f"desi/{name}"]
    write_page({"desi": files.desi}, tmp_path / "healpix=5.html")
    page = Page(chromium, tmp_path / "healpix=5.html")
    page.press("n")
    assert page.settle() == 1
    assert "no spectra" in page.get("message").text
    assert "RA_DESI" in page.get("columns").text
    assert page.errors() == []
