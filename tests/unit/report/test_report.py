"""The report: its numbers, against a small tree of known content; its page, read as a browser would."""

import csv
import json
import os
import shutil
from html.parser import HTMLParser
from pathlib import Path

import h5py
import matplotlib.projections.geo as geo
import numpy as np
import pytest
import report as program
from PIL import Image

from skyharvest.config.load import digest, validate
from skyharvest.core import cli
from skyharvest.core.errors import MalformedFile
from skyharvest.harvest.check import ADAPTED, NAME, Checked, Finding, write_checked
from skyharvest.harvest.extracted import Files, write_files
from skyharvest.harvest.journal import Journal, Line, read_journal
from skyharvest.harvest.manifest import Manifest, write_manifest
from skyharvest.harvest.shown import ReportDescription
from skyharvest.report.columns import read_columns
from skyharvest.report.cutouts import shares
from skyharvest.report.files import read_files, traffic_of
from skyharvest.report.job_times import RuleTimes, read_times
from skyharvest.report.ledger import per_pixel, read_ledger, read_summary, sky_density, steps
from skyharvest.report.names import CAPTIONS, OF_RUN, TITLES, figures
from skyharvest.report.sections import FIGURES
from skyharvest.report.sky import CENTRE, levels, mollweide, polygons
from skyharvest.surveys import SURVEYS
from skyharvest.surveys.desi.about import SURVEY as DESI
from small_pages import TOY

# A ledger: status, spectra, distance, NSIDE=64 pixel (16 p to 16 p + 15 are in pixel p of NSIDE=16), missing files.
LEDGER = [
    ("matched", 2, "0.10000", 1600, 0),
    ("matched", 1, "0.40000", 1601, 1),
    ("no_fiber", 0, "2.50000", 1601, 0),
    ("coadd_absent", 0, "", 1602, 2),
    ("coadd_unreadable", 0, "", 1616, 1),
    ("matched", 1, "0.20000", 1616, 0),
    ("not_covered", 0, "", 9000, 0),
    ("not_covered", 0, "", 1603, 0),
    ("rejected", 0, "", "", 0),
]
PLAN = [
    ("dark", 1600, 1),
    ("bright", 1600, 1),
    ("dark", 1601, 2),
    ("dark", 1602, 1),
    ("bright", 1602, 1),
    ("dark", 1616, 2),
]
STATES = ["read", "read", "read", "absent", "absent", "unreadable"]
FIBERS = [100, 200, 50, 0, 0, 0]
WHY = "no <b>END</b> card"
PATH = "spectro/redux/demo/healpix/main/{1}/{0}/{2}/coadd-main-{1}-{2}.fits"


def write_csv(path: Path, header: str, lines) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header.split(","), *lines])


def write_ledger(root: Path, file: str, near: str, rows, counts: dict[str, int], unreadable=()) -> None:
    made, counted = ("images", "files") if file == "brick" else ("spectra", f"{file}s")
    header = f"row,status,n_{made},nearest_arcsec,{near},pix64,missing_{counted}"
    write_csv(root / "ledger.csv", header, [(i, s, n, d, n, p, m) for i, (s, n, d, p, m) in enumerate(rows)])
    nothing = {"coadd": "no_fiber", "cube": "no_spectrum", "brick": "no_image"}[file]
    names = ("matched", f"{file}_unreadable", nothing, f"{file}_absent", "not_covered", "rejected")
    summary = {
        "survey": root.name,
        "release": "demo",
        "rows": len(rows),
        "status": {name: sum(row[0] == name for row in rows) for name in names},
        made: sum(row[1] for row in rows),
        counted: counts,
        "without": {"arm z": 3} if file == "coadd" else {},
        f"unreadable_{counted}": list(unreadable),
    }
    (root / "summary.json").write_text(json.dumps(summary))
    write_manifest(Manifest(root.name, "demo", "", "", len(rows), {}), root / "manifest.json")


def write_crossmatch(path: Path, group: str, columns: dict, **about: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs.update({"survey": group, "csv_group": "chandra"} | about)
        for name, values in columns.items():
            file.create_dataset(f"{group}/{name}", data=values)
        file["chandra/row"] = np.arange(
            len(columns.get("program", columns.get("brickname", columns.get("shotid", ()))))
        )


def spectra(n: int, **more: object) -> dict[str, object]:
    """Columns of n dark galaxies, as the assembled files have them."""
    made = {
        "z": np.linspace(0.1, 1.0, n),
        "zwarn": np.zeros(n, int),
        "spectype": np.full(n, b"GALAXY"),
        "survey": np.full(n, b"main"),
        "program": np.full(n, b"dark"),
        "primary": np.ones(n, bool),
        "separation_arcsec": np.full(n, 0.1),
        "median_coadd_snr_r": np.linspace(1, 9, n, dtype="f4"),
    }
    return made | more


class Tree:
    """A finished run of DESI; of the others, where asked for."""

    def __init__(self, directory: Path) -> None:
        self.results = directory / "results"
        self.root = self.results / "desi"
        self.config = {"targets": {"csv": "targets.csv"}, "desi": {"release": "demo", "archive": "https://there/dr"}}
        self.config["results"] = str(self.results)
        self.root.mkdir(parents=True)
        bad = {"coadd": PATH.format(16, "dark", 1616), "reason": WHY}
        write_ledger(
            self.root, "coadd", "n_within_report_radius", LEDGER, {"read": 3, "absent": 2, "unreadable": 1}, [bad]
        )
        plan = [("main", program, pix64, pix64 >> 4, n) for program, pix64, n in PLAN]
        write_csv(self.root / "plan.csv", "survey,program,pix64,pix16,n_targets", plan)
        pixels = [(pix64 >> 4, pix64, n, "d") for pix64, n in {pix64: n for _, pix64, n in PLAN}.items()]
        write_csv(self.root / "plan_pixels.csv", "pix16,pix64,n_targets,digest", pixels)
        self.journal = self.results / "logs/extract_desi.csv"
        Journal(self.journal).add(
            Line(1.7e9 + k, pix64, "main", program, STATES[k], FIBERS[k], 1, 2.0, 3, 1_000_000)
            for k, (program, pix64, _) in enumerate(PLAN)
        )
        about = {"release": "demo", "config_hash": digest(validate(self.config), "desi")}
        kinds = {"program": [b"dark", b"bright", b"dark"], "spectype": [b"GALAXY", b"QSO", b"QSO"], "zwarn": [0, 4, 0]}
        write_crossmatch(self.crossmatch("desi", 100), "desi", spectra(3, **kinds), **about)
        write_crossmatch(self.crossmatch("desi", 101), "desi", spectra(1), **about)

    def crossmatch(self, survey: str, pix16: int) -> Path:
        return self.results / f"{survey}_crossmatches/healpix={pix16}/crossmatch_{survey}.hdf5"

    def extract(self) -> None:
        """Write the extracted files, as far as the report may need them."""
        for pix64 in {pix64 for _, pix64, _ in PLAN}:
            mine = [k for k, (_, pix, _) in enumerate(PLAN) if pix == pix64]
            path = DESI.path(self.root / "extracted", pix64)
            kinds, empty = [("main", PLAN[k][0]) for k in mine], [""] * len(mine)
            path.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(path, "w") as file:
                file["row"], file["file"] = np.zeros((2, 0), int)
                states, fibers = [STATES[k] for k in mine], [FIBERS[k] for k in mine]
                write_files(file, Files(empty, kinds, states, empty, empty, fibers))

    def add_hetdex(self) -> None:
        self.config["hetdex"] = {"enabled": True, "release": "demohetdex", "archive": "local"}
        rows = [("matched", 2, "3.0", 1600, 0), *[("not_covered", 0, "", 1600, 0)] * 6]
        rows += [("cube_absent", 0, "5.0", 1601, 1), ("rejected", 0, "", "", 0)]
        root = self.results / "hetdex"
        root.mkdir()
        write_ledger(root, "cube", "n_cubes", rows, {"read": 2, "absent": 1, "unreadable": 0})
        cubes = [(20190101001, "034", 1), (20200101001, "034", 1), (20210101001, "051", 1)]
        write_csv(root / "plan.csv", "shotid,ifuslot,n_targets,in_2017", [(*cube, 0) for cube in cubes])
        write_csv(root / "plan_pixels.csv", "pix16,shotid,ifuslot,digest", [(100, *cube[:2], "d") for cube in cubes])
        Journal(self.results / "logs/extract_hetdex.csv").add(
            Line(1.7e9, f"{shot}_{slot}", "hetdex", "cube", status, 1, 1, 1.0, 2, 20_000_000)
            for (shot, slot, _), status in zip(cubes, ("read", "read", "absent"), strict=True)
        )
        columns = {
            "shotid": [20190101001, 20200101001],
            "field": [b"cosmos", b"cosmos"],
            "mjd": [58484.3, 58849.3],
            "epoch_group": [0, 0],
            "n_epochs": [2, 2],
            "fwhm_virus": np.array([1.5, 1.7], "f4"),
            "separation_arcsec": [3.0, 4.0],
        }
        write_crossmatch(self.crossmatch("hetdex", 100), "hetdex", columns)

    def run(self, legacysurvey: bool = False, toy: bool = False) -> "Reader":
        config = validate(self.config)
        config["legacysurvey"]["enabled"] = legacysurvey
        if toy:
            config["toy"] = {"enabled": True, "release": "t1"}
        out = self.results / "report/index.html"
        arguments = ["--config", json.dumps(config)]
        arguments += ["--out", str(out), "--figures", str(out.parent / "figures")]
        assert cli.run(program.main, program.build_parser(), arguments) == 0
        return Reader(out)


class Reader(HTMLParser):
    """What a page holds: tags with their attributes, and its text."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.page, self.tags, self.text, self.cells = page, [], "", []
        self.feed(page.read_text())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.cells.append([])

    def handle_data(self, data):
        self.text += data
        if self.cells and self.tags[-1][0] in ("td", "a") and data.strip():
            self.cells[-1].append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def tree(tmp_path) -> Tree:
    return Tree(tmp_path)


def test_the_steps_lose_every_row_once_and_end_with_the_matched(tree):
    summary = read_summary(tree.root / "summary.json")
    found = [(step.reached, step.lost) for step in steps(summary, "a spectrum")]
    assert found == [
        (9, {}),
        (8, {"rejected": 1}),
        (6, {"not_covered": 2}),
        (4, {"coadd_unreadable": 1, "coadd_absent": 1}),
        (3, {"no_fiber": 1}),
    ]


def test_what_the_configuration_leaves_out_is_told_and_is_not_uncovered(tree):
    path = tree.root / "summary.json"
    summary = json.loads(path.read_text())
    summary["status"] |= {"not_selected": 1, "not_covered": 1}
    change = {"desi.surveys": ["sv1"], "desi.programs": ["other"]}
    summary["not_selected"] = {"where": {"sv1/other": 1}, "change": change}
    path.write_text(json.dumps(summary))
    ledger = tree.root / "ledger.csv"
    ledger.write_text(ledger.read_text().replace("not_covered,0,,0,1603", "not_selected,0,,0,1603"))
    found = [(step.reached, step.lost) for step in steps(read_summary(path), "a spectrum")]
    assert found[2:4] == [(7, {"not_covered": 1}), (6, {"not_selected": 1})]
    assert found[-1] == (3, {"no_fiber": 1})
    rows = read_ledger(ledger)
    assert [part.tolist() for part in sky_density(rows, False)] == [[562], [1]]
    page = tree.run()
    assert "1 more row is in sv1/other: add sv1 to desi.surveys and add other to desi.programs." in page.text


def test_pixels_and_the_map_count_each_accepted_row_in_its_pixel(tree):
    rows = read_ledger(tree.root / "ledger.csv")
    found = [(p.pix16, p.targets, p.covered, p.matched, p.results) for p in per_pixel(rows)]
    assert found == [(100, 5, 4, 2, 3), (101, 2, 2, 1, 1), (562, 1, 0, 0, 0)]
    density = {covered: [part.tolist() for part in sky_density(rows, covered)] for covered in (True, False)}
    assert density == {True: [[100, 101], [4, 2]], False: [[100, 562], [1, 1]]}


def test_what_is_no_ledger_says_so(tree):
    ledger = tree.root / "ledger.csv"
    ledger.write_text(ledger.read_text().replace("0.40000", "near"))
    with pytest.raises(MalformedFile, match=r"ledger\.csv.*near.*next run"):
        read_ledger(ledger)
    summary = tree.root / "summary.json"
    summary.write_text(summary.read_text().replace('"rows": 9', '"rows": 10'))
    with pytest.raises(MalformedFile, match="do not add up"):
        read_summary(summary)


def test_the_projection_is_matplotlibs_turned_round_and_equal_in_area():
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(CENTRE - 180, CENTRE + 180, 500), np.degrees(np.arcsin(rng.uniform(-1, 1, 500)))
    x, y = mollweide(ra, dec)
    other = geo.MollweideAxes.MollweideTransform(10)
    expected = other.transform_non_affine(np.radians(np.stack([ra - CENTRE, dec], axis=1))) / np.sqrt(2)
    np.testing.assert_allclose(np.stack([-x, y], axis=1), expected, atol=2e-3)  # theirs is approximate at the poles
    assert mollweide(0, 90)[1] == 1
    assert mollweide(0, -90)[1] == -1

    n = 12 * 16**2
    outline, index = polygons(16, np.arange(n))
    x, y = outline[..., 0], outline[..., 1]
    area = np.abs((x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1)).sum(axis=1)) / 2
    whole = np.bincount(index)[index] == 1
    assert whole.sum() > 0.95 * n
    # The sides are drawn as four straight pieces: largest errors are at the poles.
    np.testing.assert_allclose(area[whole], 2 * np.pi / n, rtol=0.15)
    assert np.median(area[whole]) == pytest.approx(2 * np.pi / n, rel=0.01)
    twice = np.flatnonzero(np.bincount(index) == 2)
    for pixel in twice.tolist():  # one copy on either side, within the ellipse's reach
        one, other = outline[index == pixel]
        np.testing.assert_array_equal(one[:, 1], other[:, 1])
        assert (one[:, 0].mean() > 0) != (other[:, 0].mean() > 0)


@pytest.mark.parametrize("most", [1, 2, 5, 6, 17, 1000, 40_000])
def test_every_number_of_rows_has_a_shade(most):
    begin = levels(most)
    assert begin[0] == 1
    assert begin == sorted(set(begin))
    assert begin[-1] <= most


def test_files_are_known_from_the_journal_or_else_from_what_was_extracted(tree):
    plan, summary = DESI.read_plan(tree.root / "plan.csv"), read_summary(tree.root / "summary.json")

    def found():
        lines = read_files(DESI, plan, read_journal(tree.journal), summary, tree.root / "extracted")
        return [(line.unit, line.program, line.status, line.n_searched) for line in lines]

    expected = [(pix64, kind, STATES[k], FIBERS[k]) for k, (kind, pix64, _) in enumerate(PLAN)]
    assert found() == expected
    tree.extract()
    tree.journal.write_text("".join(tree.journal.read_text().splitlines(keepends=True)[:3]))
    assert found() == expected


def test_bytes_are_those_of_all_attempts_and_whole_files_go_by_their_fibers(tree):
    Journal(tree.journal).add([Line(1.7e9, 1600, "", "", "failed", seconds=5.0, requests=7, bytes=500_000)])
    journal = read_journal(tree.journal)
    plan, summary = DESI.read_plan(tree.root / "plan.csv"), read_summary(tree.root / "summary.json")
    made = traffic_of(DESI, read_files(DESI, plan, journal, summary, tree.root / "extracted"), journal)
    assert (made.bytes, made.requests, made.seconds, made.files) == (6_500_000, 25, 17.0, 3)
    assert made.estimated
    assert made.whole_bytes == pytest.approx(350 * 447_000, rel=0.01)


def test_columns_of_all_files_are_read_and_a_torn_file_costs_its_own_rows(tree, tmp_path):
    one, other, torn = tree.crossmatch("desi", 100), tree.crossmatch("desi", 101), tmp_path / "torn.hdf5"
    torn.write_bytes(one.read_bytes()[:1000])
    with h5py.File(other, "a") as file:
        del file["desi/median_coadd_snr_r"]
        file.attrs["config_hash"] = "def"
    names = {"z": "f8", "program": "U", "median_coadd_snr_r": "f8", "zwarn": "i8"}
    made = read_columns([one, torn, tmp_path / "none.hdf5", other], names)
    assert made.values["program"].tolist() == ["dark", "bright", "dark", "dark"]
    np.testing.assert_allclose(made.values["z"], [0.1, 0.55, 1.0, 0.1])
    np.testing.assert_array_equal(made.values["median_coadd_snr_r"], [1, 5, 9, np.nan])
    assert made.n_files == 2
    assert ["torn.hdf5" in said or "none.hdf5" in said for said in made.bad] == [True, True]
    assert made.about["config_hash"] == {digest(validate(tree.config), "desi"): 1, "def": 1}


def test_time_and_memory_are_those_of_benchmarks(tmp_path):
    def benchmark(name: str, end: float, seconds: str, memory: str = "-") -> None:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"s\th:m:s\tmax_rss\tio_in\n99\t0:01:39\t9999\t-\n{seconds}\t-\t{memory}\t-\n")
        os.utime(path, (end, end))

    benchmark("account_desi.tsv", 3000, "1.5")
    benchmark("harvest_desi/1.tsv", 1010, "10", "120.5")
    benchmark("harvest_desi/2.tsv", 1035, "30", "NA")
    benchmark("harvest_desi/3.tsv", 1500, "soon")  # not one that Snakemake writes
    benchmark("write_report.tsv", 4000, "10", "500")
    (tmp_path / "harvest_desi/empty.tsv").write_text("")
    (tmp_path / "notes.txt").write_text("s\n5\n")
    expected = [RuleTimes("harvest_desi", 2, 40.0, 30.0, 35.0, 120.5), RuleTimes("account_desi", 1, 1.5, 1.5, 1.5, 0.0)]
    assert read_times(tmp_path) == expected
    assert read_times(tmp_path / "nowhere") == []


def test_cutouts_are_whole_partly_or_not_covered_band_by_band():
    coverage = np.array([[1, 0], [1, 0.5], [0.4, 0], [np.nan, 1]])
    np.testing.assert_allclose(shares(coverage), [[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]])


def test_the_page_is_one_file_that_says_what_the_files_say(tree):
    tree.add_hetdex()
    for name, end, seconds in (("1700", 1010, 10), ("1701", 1035, 30)):
        path = tree.results / f"benchmarks/harvest_desi/{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:{seconds}\t120.0\n")
        os.utime(path, (end, end))
    page = tree.run()
    images = page.all("img")
    assert len(images) == len(figures(["desi", "hetdex"]))
    assert all(image["src"].startswith("data:image/svg+xml;base64,") and len(image["alt"]) > 20 for image in images)
    assert any("3 with a spectrum (1 no fiber within the match radius)" in image["alt"] for image in images)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [link["href"] for link in page.all("a")]
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    # Nothing is fetched: no address in what a browser loads by itself.
    assert not [script for script in page.all("script") if "src" in script]
    assert [link["href"] for link in page.all("link")] == ["data:,"]
    html = page.page.read_text()
    assert "@import" not in html
    assert "url(" not in html

    address = f"https://there/dr/{PATH.format(16, 'dark', 1616)}"
    assert ["unreadable", "2", address, WHY] in page.cells
    assert address in links
    assert f"https://there/dr/{PATH.format(16, 'bright', 1602)}" in links
    assert "<b>" not in html
    assert ["GALAXY", "dark", "2", "2", "0.1000", "5.00"] not in page.cells  # S/N of 1 and 1
    assert ["GALAXY", "dark", "2", "2", "0.1000", "1.00"] in page.cells
    assert ["QSO", "bright", "1", "0", "–", "5.00"] in page.cells
    assert ["cosmos", "2", "1", "2"] in page.cells
    assert ["DESI", "3", "18", "6 MB", "about 157 MB", "26.1 ×", "12 s", "about 7.8 s"] in page.cells
    assert ["harvest_desi", "2", "40 s", "20 s", "30 s", "35 s", "120 MB"] in page.cells
    assert "csv: targets.csv" in page.text
    assert "Note:" not in page.text
    for survey, kind in figures(["desi", "hetdex"]):
        svg = (page.page.parent / f"figures/{survey}_{kind}.svg").read_text()
        assert "<svg" in svg
        assert "prefers-color-scheme" not in svg


def test_what_does_not_fit_together_is_said_and_the_rest_is_shown(tree):
    tree.crossmatch("desi", 101).write_bytes(b"torn")
    with h5py.File(tree.crossmatch("desi", 100), "a") as file:
        file.attrs["config_hash"] = "another"
    page = tree.run()
    assert "How long jobs took is not known" in page.text
    assert "1 file could not be read" in page.text
    assert "healpix=101" in page.text
    now = digest(validate(tree.config), "desi")
    assert f"another configuration (another) than the one shown here ({now})" in page.text
    assert ["QSO", "dark", "1", "1", "1.0000", "9.00"] in page.cells


def test_a_run_that_found_nothing_has_all_its_figures(tree):
    rows = [("not_covered", 0, "", 1600, 0), ("rejected", 0, "", "", 0)]
    write_ledger(tree.root, "coadd", "n_within_report_radius", rows, {"read": 0, "absent": 0, "unreadable": 0})
    for name in ("plan.csv", "plan_pixels.csv"):
        path = tree.root / name
        path.write_text(path.read_text().splitlines()[0] + "\n")
    tree.journal.unlink()
    page = tree.run()
    made = {path.stem for path in (page.page.parent / "figures").iterdir()}
    assert made == {f"{survey}_{kind}" for survey, kind in figures(["desi"])}


def test_legacy_surveys_have_bands_magnitudes_and_their_contact_sheet(tree):
    root = tree.results / "legacysurvey"
    root.mkdir()
    rows = [("matched", 1, "", 1600, 0), ("matched", 1, "", 1601, 0), ("no_image", 0, "", 1602, 0)]
    write_ledger(root, "brick", "n_bands", rows, {"read": 9, "absent": 0, "unreadable": 0})
    write_csv(root / "plan.csv", "region,brickname,n_targets,bands", [("south", "1500p020", 3, "gr")])
    write_csv(root / "plan_pixels.csv", "pix16,region,brickname,digest", [(100, "south", "1500p020", "d")])
    magnitude = np.full((2, 2, 3), 30.0)
    magnitude[:, 0, 1], magnitude[:, 1, 1] = [20.0, 21.0], [np.nan, 19.25]
    columns = {
        "band": [b"g", b"r"],
        "aperture_radius": [0.5, 1.75, 7.0],
        "coverage": [[1.0, 0.0], [1.0, 0.3]],
        "aperture_magnitude": magnitude,
        "brickname": [b"1500p020", b"1500p020"],
    }
    path = tree.crossmatch("legacysurvey", 100)
    write_crossmatch(path, "legacysurvey", columns)
    Image.new("RGB", (3000, 1500), (10, 90, 20)).save(path.with_name("contact_sheet.png"))
    page = tree.run(legacysurvey=True)
    alts = [image["alt"] for image in page.all("img")]
    assert any(
        "g: 100% of the cutouts whole, 0% without data; r: 0% of the cutouts whole, 50% without" in alt for alt in alts
    )
    assert any("2 with an image (1 no image)" in alt for alt in alts)
    assert any("within 1.75 arcsec; medians: g: 20.50; r: 19.25" in alt for alt in alts)
    with Image.open(page.page.parent / "figures/legacysurvey_contact_sheet.png") as sheet:
        assert sheet.size == (1000, 500)
    assert [image["src"] for image in page.all("img") if image["src"].startswith("data:image/png;base64,")]


def test_a_survey_that_no_module_knows_has_a_whole_section(tree, monkeypatch):
    monkeypatch.setitem(SURVEYS, "toy", TOY)
    shutil.copytree(tree.root, tree.results / "toy")
    shutil.copy(tree.journal, tree.journal.with_name("extract_toy.csv"))
    for pix16, n in ((100, 3), (101, 1)):
        columns = {"separation_arcsec": np.full(n, 0.1)}
        write_crossmatch(tree.crossmatch("toy", pix16), "toy", columns, release="t1", config_hash="abc")
    monkeypatch.setattr(program, "digest", lambda _config, _survey: "abc")  # the settings do not know it, either
    page = tree.run(toy=True)
    figures = {path.stem for path in (page.page.parent / "figures").iterdir() if path.stem.startswith("toy")}
    assert figures == {"toy_steps", "toy_sky", "toy_distances", "toy_pixels"}
    alts = [image["alt"] for image in page.all("img")]
    assert any("3 rows have a plate's source within the match radius of 1 arcsec, 1 more" in alt for alt in alts)
    assert sum("pixel 100 has 5 rows, 2 with a spectrum" in alt for alt in alts) == 2  # DESI's, and this one's
    assert {"toy", "desi"} <= {section["id"] for section in page.all("section")}
    assert "matched in Toy" in page.text
    assert ["unreadable", "2", "https://toy/t1/1616-dark.fits"] in [cells[:3] for cells in page.cells]
    assert [cells[:1] for cells in page.cells].count(["100"]) == 2  # a table of pixels each
    assert ["Toy", "release", "t1", "2"] in page.cells
    assert ["Toy", "3", "18", "6 MB", "–", "–", "12 s", "–"] in page.cells
    assert "hold" not in page.text.partition("Toy")[2].partition("Bytes and time")[0]  # nothing to note


def test_without_a_ledger_the_program_names_what_is_missing(tree, capsys):
    config = json.dumps(validate(tree.config))
    arguments = ["--config", config, "--out", "o.html", "--figures", "f"]
    for name in ("manifest.json", "ledger.csv"):
        (tree.root / name).unlink()
        assert cli.run(program.main, program.build_parser(), arguments) == cli.EXIT_FAILED
        assert f"desi/{name}" in capsys.readouterr().err
    arguments[1] = "{"
    assert cli.run(program.main, program.build_parser(), arguments) == cli.EXIT_USAGE


def test_every_kind_of_figure_has_a_title_and_a_caption():
    kinds = {
        *OF_RUN,
        *ReportDescription().figures,
        *(kind for survey in SURVEYS.values() for kind in survey.report.figures),
    }
    assert kinds == set(TITLES)
    assert set(FIGURES) == kinds - set(OF_RUN)
    assert {path.stem for path in CAPTIONS.glob("*.rst")} == kinds


def test_what_a_check_has_found_is_a_section(tree):
    finding = Finding(survey="desi", question="redirects", about="x", assumed="none", seen="to y", verdict=ADAPTED)
    write_checked(Checked({"desi": "demo at https://there/dr"}, [finding]), tree.results / NAME)
    page = tree.run()
    assert "Check before the run" in page.text
    assert "redirects" in page.text
