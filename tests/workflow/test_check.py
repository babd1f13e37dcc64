"""`make check`, and the rule: they ask, say what they found, and touch nothing else."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from running import ROOT, Run, environment
from skyharvest.surveys import NAMES

RESULTS = "results/demo"
SHOWN = re.search(r"```text\n(.*?)```", (ROOT / "docs" / "check.md").read_text(), re.S)[1]


def files(directory: Path) -> dict[str, int]:
    """Return what is in a directory, and when it was changed, but for Snakemake's own notes."""
    found = (path for path in directory.rglob("*") if path.is_file() and ".snakemake" not in path.parts)
    return {str(path.relative_to(directory)): path.stat().st_mtime_ns for path in found}


def make_check(config: Path) -> Run:
    """Run the recipe of the Makefile, which is of this checkout."""
    recipe = subprocess.run(
        ["make", "--no-print-directory", "-n", "check", f"CONFIG={config}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()[-1]
    directory = config.parent
    done = subprocess.run(
        recipe.replace("scripts/", f"{ROOT}/scripts/"),
        shell=True,
        cwd=directory,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Run(done.returncode, done.stdout)


def test_a_check_of_a_finished_run_says_that_all_is_well_and_changes_nothing_else(demo, run):
    before = files(demo)
    done = run(demo, "check")
    assert done.status == 0, done.output
    assert "Nothing would make the run fail" in done.output
    after = files(demo)
    assert {path for path in after if after[path] != before.get(path)} == {
        f"{RESULTS}/check.json",
        f"{RESULTS}/logs/check.log",
    }
    assert before.keys() <= after.keys()
    written = json.loads((demo / RESULTS / "check.json").read_text())
    assert set(written["archives"]) == set(NAMES)
    verdicts = {finding["verdict"] for finding in written["findings"]}
    assert verdicts <= {"as assumed", "note", "not asked"}
    assert shown_of(SHOWN) in shown_of(done.output), "docs/check.md shows something else"
    nothing_to_do = run(demo, "-n")
    assert "Nothing to be done" in nothing_to_do.output


def shown_of(text: str) -> str:
    """Return a text without what differs between machines."""
    return re.sub(r"\d+(\.\d+)? [GT]B free", "FREE", " ".join(text.split()))


@pytest.fixture
def unharvested(tmp_path, demo_release) -> Path:
    """A configuration of which nothing has been run; its archive lacks its list of files."""
    (tmp_path / "archive").mkdir()
    config = {
        "targets": {"csv": str(demo_release / "targets.csv")},
        "desi": {"release": "demo", "archive": "archive"},
        "results": "out",
    }
    path = tmp_path / "my.yaml"
    path.write_text(json.dumps(config))
    return path


def test_where_the_run_would_fail_the_status_says_so_and_what_was_found_stays(unharvested, run):
    directory = unharvested.parent
    by_make = make_check(unharvested)
    assert by_make.status == 1
    assert by_make.output.rstrip().splitlines()[-1].startswith("error: The run would fail (desi: list of coadds)")
    assert set(files(directory)) == {"my.yaml", "out/check.json"}
    (directory / "out" / "check.json").unlink()
    by_rule = run(directory, "check", "--configfile", "my.yaml")
    assert by_rule.status != 0
    assert set(files(directory)) == {"my.yaml", "out/check.json", "out/logs/check.log"}
    assert "tilepix.fits does not exist" in by_rule.output


def test_where_nothing_answers_the_status_is_another(unharvested):
    config = json.loads(unharvested.read_text())
    config["desi"]["archive"] = "http://no-such-host.invalid"
    unharvested.write_text(json.dumps(config))
    done = make_check(unharvested)
    assert (done.status, "No answer now" in done.output) == (75, True)


def test_a_release_that_the_workflow_writes_itself_need_not_be_there(tmp_path):
    path = tmp_path / "demo.yaml"
    path.write_text((ROOT / "config" / "demo.yaml").read_text())
    done = make_check(path)
    assert done.status == 0, done.output
    assert "writes this release itself" in done.output
    assert set(files(tmp_path)) == {"demo.yaml", f"{RESULTS}/check.json"}
