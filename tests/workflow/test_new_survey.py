"""A survey that is new: the toy survey of tests/toy_survey/, put into a copy of the checkout, which is then run.

Its package, programs and rules are new files. Of those that are there, one line of the registry of surveys is changed,
and an entry is added to the registry of releases. Everything else has to ask the survey's description.
"""

import csv
import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from running import ROOT, environment
from skyharvest.harvest.extracted import COUNTS

TOY = ROOT / "tests" / "toy_survey"
REGISTRY, RELEASES = "scripts/skyharvest/surveys/__init__.py", "config/releases.yaml"
READ, ABSENT, BAD, NONE = 1700, 1701, 1702, 200  # NSIDE=16 pixels (NESTED)
CONFIG = """
targets: {csv: targets.csv, ra: RA, dec: DEC, healpix: null, name: mine}
desi: {enabled: false}
toy: {enabled: true}
"""
# CSV rows: pixel of the position, or the cell; arcsec from it to its spectra.
ROWS: list[tuple[int | str, tuple[float, ...]]] = [
    (READ, (0.4,)),
    (READ, (0.2, 0.9)),
    (READ, ()),
    (NONE, ()),
    ("nowhere", ()),
    (ABSENT, ()),
    (READ, (2.5,)),
    (BAD, ()),
]
STEPS = ("plan_toy", "harvest_toy", "toy_crossmatches", "account_toy")
STATUS = [
    *("matched", "matched", "no_spectrum", "not_covered", "rejected", "table_absent", "no_spectrum"),
    "table_unreadable",
]


def python(directory: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *words],
        cwd=directory,
        env=environment() | {"PYTHONPATH": str(directory / "scripts")},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def snakemake(directory: Path, *words: str) -> str:
    done = python(directory, "-m", "snakemake", *words, "--cores", "2", "--configfile", "mine.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def put_in(directory: Path) -> list[str]:
    """Copy the checkout's files, add the toy survey, and return which of the files that were there differ."""
    tracked = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    files = [name for name in tracked if name and (ROOT / name).is_file()]
    for name in files:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, directory / name)
    for folder in ("scripts", "rules"):
        shutil.copytree(TOY / folder, directory / folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__*__"))
        for path in (TOY / folder).rglob("__init__.py"):
            shutil.copy(path, directory / path.relative_to(TOY))
    names = (directory / REGISTRY).read_text()
    (directory / REGISTRY).write_text(re.sub(r"^(NAMES = \(.*)\)$", r'\1, "toy")', names, flags=re.M))
    with (directory / RELEASES).open("a") as releases:
        releases.write(f"\n{(TOY / 'releases.yaml').read_text()}")
    return [name for name in files if (directory / name).read_bytes() != (ROOT / name).read_bytes()]


def write_inputs(directory: Path) -> None:
    """Write the CSV, and the archive: a list of three tables, of which one is not there and one is no FITS file."""
    import healpy

    archive = directory / "archive"
    archive.mkdir()
    sources: dict[int, list[tuple[float, float]]] = {READ: []}
    cells = []
    for number, (pixel, distances) in enumerate(ROWS):
        if isinstance(pixel, str):
            cells.append((pixel, "1.0"))
            continue
        ra, dec = healpy.pix2ang(16, pixel, nest=True, lonlat=True)
        dec += 0.01 * number
        cells.append((f"{ra:.8f}", f"{dec:.8f}"))
        for distance in distances:
            sources[pixel].append((float(cells[-1][0]), float(cells[-1][1]) + distance / 3600))
    with (directory / "targets.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("RA", "DEC"), *cells])
    Table({"PIX16": [READ, ABSENT, BAD]}).write(archive / "list.fits")
    for pixel, positions in sources.items():
        ra, dec = np.transpose(positions)
        flux = np.full((len(ra), 41), pixel, "f4") + np.arange(len(ra), dtype="f4")[:, None]
        Table({"RA": ra, "DEC": dec, "FLUX": flux, "IVAR": np.full_like(flux, 4)}).write(
            archive / f"spectra-{pixel}.fits"
        )
    (archive / f"spectra-{BAD}.fits").write_text("<html>Not today</html>")
    for path, name in (
        (archive / "list.fits", "TABLES"),
        *((archive / f"spectra-{p}.fits", "SPECTRA") for p in sources),
    ):
        fits.setval(path, "EXTNAME", value=name, ext=1)


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the checkout with the toy survey, which has been run."""
    directory = tmp_path_factory.mktemp("copy")
    assert put_in(directory) == sorted([REGISTRY, RELEASES])
    write_inputs(directory)
    (directory / "mine.yaml").write_text(CONFIG)
    snakemake(directory, "all", "report", "browse")
    return directory


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_only_a_line_and_an_entry_are_added(copy):
    for name in (REGISTRY, RELEASES):
        old, new = ((root / name).read_text().splitlines() for root in (ROOT, copy))
        added = [line for line in new if line not in old]
        assert len(added) == {REGISTRY: 1, RELEASES: len((TOY / "releases.yaml").read_text().splitlines())}[name]


def test_plan_and_extracted_files(copy):
    plan = rows(copy / "results/toy/plan.csv")
    assert [(line["pix16"], line["n_targets"]) for line in plan] == [
        (str(pixel), str(sum(row[0] == pixel for row in ROWS))) for pixel in (READ, ABSENT, BAD)
    ]
    listed = [line for path in (copy / "results/toy/extracted/batches").glob("*.csv") for line in rows(path)]
    assert {line["unit"]: [int(line[name]) for name in COUNTS] for line in listed} == {
        str(READ): [3, 1, 0, 0, 0, 0],
        str(ABSENT): [0, 0, 1, 0, 0, 0],
        str(BAD): [0, 0, 0, 1, 0, 0],
    }


def test_the_ledger_has_every_row_once(copy):
    ledger = rows(copy / "results/toy/ledger.csv")
    assert [int(line["row"]) for line in ledger] == list(range(len(ROWS)))
    assert [line["status"] for line in ledger] == STATUS
    assert [int(line["n_spectra"]) for line in ledger] == [1, 2, 0, 0, 0, 0, 0, 0]
    assert [int(line["n_within_report_radius"]) for line in ledger] == [1, 2, 0, 0, 0, 0, 1, 0]
    assert [int(line["missing_tables"]) for line in ledger] == [0, 0, 0, 0, 0, 1, 0, 1]
    nearest = [float(line["nearest_arcsec"] or -1) for line in ledger]
    assert nearest == pytest.approx([0.4, 0.2, -1, -1, -1, -1, 2.5, -1], abs=1e-4)
    summary = json.loads((copy / "results/toy/summary.json").read_text())
    assert (summary["survey"], summary["rows"], summary["spectra"]) == ("toy", len(ROWS), 3)
    assert summary["tables"] == {"read": 1, "absent": 1, "unreadable": 1}
    assert summary["status"] == {status: STATUS.count(status) for status in summary["status"]}
    (bad,) = summary["unreadable_tables"]
    assert bad["table"] == f"spectra-{BAD}.fits" and "HTML page" in bad["reason"]


def test_the_assembled_files_are_read(copy):
    code = f"""
from skyharvest.read import open_healpix, pixels
print(pixels("results", "toy"))
with open_healpix("results", {READ}, "toy") as pixel:
    spectra = pixel.spectra()
    print(pixel.survey, pixel.csv, len(pixel), pixel["mine/row"].tolist(), pixel["separation_arcsec"].round(3).tolist())
    print(spectra.flux[:, 0].tolist(), float(spectra.error[0, 0]), spectra.wavelength[[0, -1]].tolist(), spectra.unit)
    print(pixel.attributes["release"], pixel.to_xarray().sizes["wavelength"])
"""
    done = python(copy, "-c", code)
    assert done.stdout.splitlines() == [
        str([READ, ABSENT, BAD]),
        "toy mine 3 [0, 1, 1] [0.4, 0.2, 0.9]",
        f"[{READ}.0, {READ + 1}.0, {READ + 2}.0] 0.5 [4000.0, 8000.0] 10**-17 erg/(s cm2 Angstrom)",
        "toy1 41",
    ], done.stderr


def test_the_status_shows_it(copy):
    shown = python(copy, "scripts/status.py", "--configfile", "mine.yaml").stdout
    lines = {words[0]: words[1:] for words in map(str.split, shown.splitlines()) if words}
    assert lines["harvest_toy"] == ["3", "tables", "0", "0", "0", "2", "0", "1", "0"]  # done, absent
    for rule, n in (("prepare_targets", "1"), ("plan_toy", "1"), ("toy_crossmatches", "3"), ("account_toy", "1")):
        assert (lines[rule][0], lines[rule][5]) == (n, n)
    assert lines["toy/table"][:6] == ["3", "1", "1", "1", "0", "0"]
    assert {status: int(lines[status][0]) for status in STATUS} == {status: STATUS.count(status) for status in STATUS}
    assert lines["spectra"] == ["3"]
    shown_rules = shown.partition("\nrule ")[2].partition("\n\n")[0].splitlines()[1:]
    assert [line.split()[0] for line in shown_rules] == ["prepare_targets", *STEPS]


def test_the_report_has_its_section(copy):
    page = (copy / "results/report/index.html").read_text()
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())
    assert "targets.csv × Toy survey toy1; results in results CSV rows 8 matched in Toy survey 2" in text
    assert "CSV rows 8 with a spectrum 2 spectra 3 tables read 1 tables absent 1 tables unreadable 1" in text
    for kind in ("steps", "sky", "distances", "pixels"):
        assert (copy / f"results/report/figures/toy_{kind}.svg").stat().st_size > 1000
        assert f"toy_{kind}" in page
    missing = text.partition("Tables absent or failed: 2 what targets address why")[2]
    assert re.match(
        rf" unreadable 1 archive/spectra-{BAD}\.fits .*found an HTML page.*? "
        rf"absent 1 archive/spectra-{ABSENT}\.fits listed by the release, not in the archive ",
        missing,
    )


def test_the_pages_have_its_rows(copy):
    page = (copy / f"results/report/healpix={READ}.html").read_text()
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert data["table"]["row"] == [0, 1] and data["table"]["n_toy"] == [1, 2]
    assert "toy" in data["grids"]
    assert [overlay["title"] for overlay in data["overlays"]] == ["Toy survey"]
    (spectra,) = (path for files in data["files"].values() for path in files)
    assert '"toy":{"0":[{"number":"0"' in (copy / "results/report" / f"healpix={READ}" / spectra).read_text()


def test_its_settings_are_checked_and_documented(copy):
    code = """
from skyharvest.config.load import validate
try:
    validate({"targets": {"csv": "x"}, "toy": {"realease": "toy1"}})
except Exception as error:
    print(error)
try:
    validate({"targets": {"csv": "x"}, "toy": {"release": "toy2"}})
except Exception as error:
    print(error)
"""
    said = python(copy, "-c", code).stdout
    assert re.search(r"toy\.realease: unknown key.*did you mean.*'?release'?", said)
    assert re.search(r"toy\.release: found 'toy2'; did you mean 'toy1'", said)
    assert python(copy, "-m", "skyharvest.config.document").returncode == 0
    page = (copy / "docs" / "configuration.md").read_text()
    assert "## toy" in page and "| `toy.read_again` |" in page
    schema = json.loads((copy / "config" / "schema" / "config.schema.json").read_text())
    assert schema["properties"]["toy"]["properties"]["release"]["default"] == "toy1"
