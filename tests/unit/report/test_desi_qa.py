"""Pages of quality: links, what stands first, what is removed, against what was planted."""

import json
import shutil

import pytest

from page_text import Read, check_links
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.desi import exposure_table
from skyharvest.reduction.desi.qa.faults import fault_of
from skyharvest.reduction.desi.qa.measured import Metric
from skyharvest.report.desi_qa.faults import faults_of
from skyharvest.report.desi_qa.production import write_site
from skyharvest.report.desi_qa.steps import Steps
from small_quality import CLEAN, FAULTY, SAID, WHY, Quality, quality


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Quality:
    found = quality(tmp_path_factory.mktemp("quality"))
    found.write()
    return found


def test_every_link_leads_to_a_file_and_a_place_in_it(made):
    assert len(list(made.site.rglob("*.html"))) == 1 + 2 * (1 + 8 * (1 + 6))
    assert check_links(made.site) > 3000


def test_each_planted_fault_stands_on_the_first_page_and_a_clean_night_has_none(made):
    first = Read(made.site / "index.html").said
    bad = first[first.index("What is bad") : first.index("Frames by state")]
    for metric, where in (
        ("PREPROC-READNOISE_B", "r1"),
        ("EXTRACT-NDEAD", "fiber 137"),
        ("SKYSUB-MED_RESID", "z1, 00270103"),
        ("TRACESHIFT-DX", "z0, 3 exposures"),
        ("FLUXCALIB-ZP_NIGHT", "2 exposures"),
        ("preproc failed", WHY),
    ):
        assert metric in bad
        assert where in bad
    assert f"Night {CLEAN}" not in bad
    assert "Nothing is bad" in Read(made.site / f"{CLEAN}/index.html").said
    clean = (made.site / f"{CLEAN}/00270003/r1.html").read_text()
    assert '<span class="state OK">OK</span></h1>' in clean
    assert '"BAD"' not in clean
    night = json.loads((made.production.directory / f"QA/{FAULTY}/qa-night-{FAULTY}.json").read_text())
    exposure = next(one for one in night["exposures"] if one["expid"] == 270103)
    assert [camera for camera, frame in exposure["cameras"].items() if frame["state"] == "BAD"] == ["r1", "z1"]


def test_what_failed_is_shown_with_its_command_and_what_it_said(made):
    page = Read(made.site / made.failed.owner / "r0.html")
    assert WHY in page.said
    assert SAID in page.said
    assert "all is well" not in page.said
    command = made.production.commands.shown(next(one for one in made.production.tasks() if one.key == made.failed))
    assert command in page.said
    assert command in Read(made.site / "index.html").said
    assert [link for link in page.links if link.endswith(".log")]


@pytest.mark.parametrize(
    ("step", "unit", "place", "page"),
    [
        ("starfit", "1", "petal 1, 00270103", "00270103/b1.html#starfit"),
        ("fluxcalib", "", "00270103", "00270103/b0.html#fluxcalib"),
        ("sky", "z1", "z1, 00270103", "00270103/z1.html#sky"),
    ],
)
def test_a_step_of_a_spectrograph_that_failed_leads_to_one_of_its_cameras(made, step, unit, place, page):
    said = {"step": step, "expid": 270103, "camera": unit, "reason": "", "log": "", "command": "", "waiting": 1}
    steps = Steps(made.production, FAULTY, made.production.directory / "logs")
    (fault,) = faults_of({"night": FAULTY, "failed": [said], "worst": []}, steps)
    assert fault.place == place
    assert f"{fault.page}#{fault.step}" == f"{FAULTY}/{page}"
    assert f'id="{fault.step}"' in (made.site / fault.page).read_text()
    assert fault.command
    assert fault.says == "1 task waits for it"


def test_pages_of_what_is_no_more_are_removed(made, tmp_path):
    shutil.copytree(made.production.directory, tmp_path / "small")
    own = Quality(type(made.production)(tmp_path / "small", made.production.settings), made.failed)
    table = exposure_table.path_of(tmp_path / "small", FAULTY)
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:-1]))
    own.write(FAULTY)
    assert not (own.site / f"{FAULTY}/00270107").exists()
    assert (own.site / f"{FAULTY}/00270106").exists()
    file = tmp_path / "small/QA/qa-production.json"
    said = json.loads(file.read_text())
    said["nights"] = [one for one in said["nights"] if one["night"] == FAULTY]
    off = fault_of(FAULTY, "NIGHT-ZP_OFF_R", Metric(-2.5, "mag", "", {"bad": (-1.0, 1.0)}, "BAD"))
    said["worst"].append(off.as_json())
    file.write_text(json.dumps(said))
    write_site(tmp_path / "small")
    assert sorted(path.name for path in own.site.iterdir() if path.name.isdigit()) == [str(FAULTY)]
    first = Read(own.site / "index.html").said
    assert "−2.5 mag , limit ≥ −1" in first, "what only the production can tell of a night"


def test_a_night_whose_pages_are_not_there_stands_on_the_first_one_without_a_link(made, tmp_path):
    shutil.copytree(made.production.directory, tmp_path / "small")
    site = tmp_path / "small/QA/pages"
    shutil.rmtree(site / str(CLEAN))
    write_site(tmp_path / "small")
    page = Read(site / "index.html")
    assert str(CLEAN) in page.said
    assert not [link for link in page.links if str(CLEAN) in link]
    (site / f"{FAULTY}/faults.json").write_text('{"faults": [{"what": "of another version"}]}')
    with pytest.raises(MalformedFile, match=f"remove .*{FAULTY}"):
        write_site(tmp_path / "small")
