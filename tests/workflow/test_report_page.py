"""The demo's report, made by Snakemake and opened in a headless browser as a reader would open it: from disk."""

import csv
import json
import shutil
import zipfile
from pathlib import Path

import pytest

import headless
from skyharvest.report.names import caption, figures

RESULTS = "results/demo"
SIZES = [(1366, 768), (390, 844)]
SURVEYS = ["desi", "hetdex", "legacysurvey"]


@pytest.fixture(scope="module")
def page(demo: Path, run) -> Path:
    done = run(demo, "report")
    assert done.status == 0, done.output
    return demo / RESULTS / "report/index.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory):
    if reason := headless.missing():
        pytest.skip(reason)
    with headless.chromium(tmp_path_factory.mktemp("chromium"), "performance") as driver:
        yield driver


def show(browser, page: Path, width: int, height: int, scheme: str = "light") -> None:
    """Open a page in a window whose inside has this size, also where windows cannot be as narrow."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(page.as_uri())


@pytest.fixture(scope="module")
def alone(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page where nothing else is."""
    return Path(shutil.copy(page, tmp_path_factory.mktemp("alone")))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_page_opens_from_disk_with_all_its_figures(browser, alone, width, height):
    show(browser, alone, width, height)
    assert browser.get_log("browser") == []
    requested = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {entry["params"]["request"]["url"] for entry in requested if entry["method"] == "Network.requestWillBeSent"}
    assert {url for url in urls if not url.startswith("data:")} == {alone.as_uri()}
    images = browser.execute_script(
        "return [...document.images].map(i => [i.complete && i.naturalWidth > 0, i.alt, i.clientWidth])"
    )
    assert len(images) == len(figures(SURVEYS)) + 1  # and a contact sheet
    for loaded, alt, shown in images:
        assert loaded, alt
        assert alt
        assert 300 <= shown <= width
    inner, inside, whole = browser.execute_script(
        "const page = document.documentElement; return [innerWidth, page.clientWidth, page.scrollWidth]"
    )
    assert inner == width
    assert whole <= inside, "the page scrolls sideways"
    assert browser.execute_script("return document.querySelectorAll('nav a').length") > 10


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_type_stands_out_from_its_paper_in_both_schemes(browser, alone, scheme):
    show(browser, alone, 1366, 768, scheme)
    # A figure is drawn on a canvas: its corner is the paper, and it has ink on it.
    paper, darkest, lightest = browser.execute_script("""
        const image = document.querySelector("figure img");
        const canvas = Object.assign(document.createElement("canvas"), {width: 400, height: 300});
        const context = canvas.getContext("2d", {willReadFrequently: true});
        context.drawImage(image, 0, 0, 400, 300);
        const data = context.getImageData(0, 0, 400, 300).data;
        const grey = [];
        for (let k = 0; k < data.length; k += 4) grey.push((data[k] + data[k + 1] + data[k + 2]) / 3);
        return [grey[0], Math.min(...grey), Math.max(...grey)];
    """)
    if scheme == "light":
        assert paper > 240
        assert darkest < 100
    else:
        assert paper < 40
        assert lightest > 180
    colours = browser.execute_script("""
        const style = getComputedStyle(document.body);
        return [style.color, style.backgroundColor].map(colour => colour.match(/\\d+/g).map(Number));
    """)
    ink, ground = (sum(colour[:3]) / 3 for colour in colours)
    assert abs(ink - ground) > 150


def test_a_press_on_a_heading_sorts_a_table_by_its_values(browser, alone):
    show(browser, alone, 1366, 768)

    def press(table: str, column: int) -> list[str]:
        return browser.execute_script(
            """
            const [title, column] = arguments;
            const tables = [...document.querySelectorAll(".table")];
            const table = tables.find(one => one.querySelector("h3").textContent === title);
            table.querySelectorAll("th button")[column].click();
            const cells = [...table.querySelectorAll("tbody tr")].map(row => row.cells[column]);
            return cells.map(cell => cell.dataset.value ?? cell.textContent);
            """,
            table,
            column,
        )

    falling = [float(value) for value in press("Pixels with most spectra", 5)]  # sizes of files, in words
    assert falling == sorted(falling, reverse=True)
    assert len(set(falling)) > 3
    rising = [float(value) for value in press("Pixels with most spectra", 5)]
    assert rising == sorted(falling)
    names = press("Jobs of each step", 0)
    assert names == sorted(names)
    assert "harvest_desi" in names


def test_the_page_says_what_the_run_says(browser, demo, alone):
    show(browser, alone, 1366, 768)
    text = browser.execute_script("return document.body.textContent")
    with (demo / RESULTS / "logs/extract_desi.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    absent = {(line["program"], line["unit"]) for line in lines if line["status"] == "absent"}
    assert absent
    for program, unit in absent:
        assert (
            f"spectro/redux/demo/healpix/main/{program}/{int(unit) // 100}/{unit}/coadd-main-{program}-{unit}.fits"
            in text
        )
    summary = json.loads((demo / RESULTS / "desi/summary.json").read_text())
    steps = browser.execute_script("return document.querySelector('#desi_steps img').alt")
    assert f"{summary['rows']:,} rows of the CSV" in steps
    assert f"{summary['status']['matched']} with a spectrum" in steps
    # The estimate of whole coadds, against the coadds.
    read = [(line["program"], line["unit"]) for line in lines if line["status"] == "read"]
    root = demo / "resources/demo/spectro/redux/demo/healpix/main"
    sizes = [(root / f"{p}/{int(u) // 100}/{u}/coadd-main-{p}-{u}.fits").stat().st_size for p, u in dict.fromkeys(read)]
    whole = browser.execute_script(
        "const row = [...document.querySelectorAll('#costs td')].find(c => c.textContent === 'DESI').parentElement;"
        "return Number(row.cells[4].dataset.value)"
    )
    assert whole == pytest.approx(sum(sizes), rel=0.03)


def test_a_report_that_is_made_has_nothing_to_do(demo, page, run):
    done = run(demo, "-n", "report", "all")
    assert done.status == 0
    assert "Nothing to be done" in done.output
    done = run(demo, "-n", "--forcerun", "account_hetdex")
    assert "write_report" in done.output  # it is kept up to date


def test_snakemakes_own_report_shows_the_figures_with_captions(demo, page, run):
    done = run(demo, "--report", "own.zip")
    assert done.status == 0, done.output
    with zipfile.ZipFile(demo / "own.zip") as archive:
        names = archive.namelist()
        html = archive.read(next(name for name in names if name.endswith("report.html"))).decode()
    for survey, kind in figures(SURVEYS):
        assert [name for name in names if name.endswith(f"{survey}_{kind}.svg")]
        assert caption(kind)[:40] in html
    assert '"HETDEX"' in html
