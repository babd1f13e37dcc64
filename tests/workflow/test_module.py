"""Another workflow imports this one: from a directory of its own, and as snakedeploy has it, from GitHub."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from running import ROOT, Run, environment, snakemake
from skyharvest.surveys import NAMES

pytestmark = pytest.mark.timeout(1200)  # it may have to wait for two runs of the demo

USE = """
{configfile}
module sky:
    snakefile: {snakefile}
    config: config

use rule * from sky as sky_*
"""
REST = """
use rule prepare_targets from sky as sky_prepare_targets with:
    resources:
        mem_mb=4321,
        runtime=7,

onstart: sky.onstart()
onsuccess: sky.onsuccess()
onerror: sky.onerror()

rule count:
    default_target: True
    input: [f"{config['results']}/{survey}/ledger.csv" for survey in ("desi", "hetdex", "legacysurvey")]
    output: "counts.txt"
    shell: "wc -l {input} > {output}"
"""
RESULTS = "results/imported"


def datasets(path: Path) -> dict[str, str]:
    """Return the content of each dataset of an HDF5 file, as text."""
    content: dict[str, str] = {}
    with h5py.File(path) as file:

        def keep(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                content[name] = repr(item[()].tolist())

        file.visititems(keep)
    return content


def run(directory: Path, *words: str) -> Run:
    return snakemake(directory, "--snakefile", "Snakefile", *words, timeout=600)


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> Path:
    """A directory where another workflow has run the demo, with one rule's resources changed."""
    directory = tmp_path_factory.mktemp("imported")
    demo = (ROOT / "config" / "demo.yaml").read_text()
    (directory / "mine.yaml").write_text(re.sub(r"^results:.*", f"results: {RESULTS}", demo, flags=re.M))
    text = USE.format(configfile='configfile: "mine.yaml"', snakefile=repr(str(ROOT / "Snakefile")))
    (directory / "Snakefile").write_text(text + REST)
    done = run(directory)
    assert done.status == 0, done.output
    (directory / "output.txt").write_text(done.output)
    return directory


def test_it_gives_the_same_results(imported, demo):
    own = demo / "results" / "demo"
    for name in NAMES:
        for file in ("ledger.csv", "plan.csv"):
            assert (imported / RESULTS / name / file).read_text() == (own / name / file).read_text()
        files = sorted(path.relative_to(own) for path in (own / f"{name}_crossmatches").rglob("*.hdf5"))
        assert files
        for path in files:
            assert datasets(imported / RESULTS / path) == datasets(own / path), path
    assert (imported / "counts.txt").read_text().count("ledger.csv") == len(NAMES)


def test_a_rule_can_be_changed_and_all_have_its_prefix(imported):
    output = (imported / "output.txt").read_text()
    job = re.search(r"^\w* ?rule sky_prepare_targets:\n(?: +.*\n)+", output, re.M)[0]
    assert "mem_mb=4321" in job and "runtime=7" in job
    names = set(re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):$", output, re.M)) - {"count"}
    assert names >= {f"sky_{step}_{name}" for step in ("plan", "harvest", "account") for name in NAMES}
    assert all(name.startswith("sky_") for name in names)


def test_every_job_leaves_its_time_and_nothing_is_left_to_do_without_them(imported):
    results = imported / RESULTS
    benchmarks = list((results / "benchmarks").rglob("*.tsv"))
    logs = {path.relative_to(results / "logs").with_suffix("") for path in (results / "logs").rglob("*.log")}
    assert {path.relative_to(results / "benchmarks").with_suffix("") for path in benchmarks} == logs
    for path in benchmarks:
        with path.open(newline="") as stream:
            (line,) = csv.DictReader(stream, delimiter="\t")
        assert float(line["s"]) > 0
    (results / "benchmarks").rename(results / "elsewhere")
    again = run(imported, "-n")
    (results / "elsewhere").rename(results / "benchmarks")
    assert "Nothing to be done" in again.output, again.output


def test_its_status_can_be_seen(imported):
    record = json.loads((imported / RESULTS / "logs" / "run.json").read_text())
    assert record["outcome"] == "finished"
    assert set(record["releases"]) == set(NAMES)


def test_without_a_configuration_it_is_the_demo_also_from_github(tmp_path):
    repository, work = tmp_path / "repository", tmp_path / "work"
    clone = tmp_path / "cache/snakemake/snakemake/source-cache/snakemake-git-cache/github.com/owner/skyharvest"
    work.mkdir()
    for name in ("rules", "scripts", "config", "envs"):
        shutil.copytree(ROOT / name, repository / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", repository)
    git = ["git", "-C", str(repository)]
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    subprocess.run([*git, "clone", "-q", "--bare", ".", str(clone)], check=True)
    source = f'github("owner/skyharvest", path="Snakefile", commit="{commit}")'
    (work / "Snakefile").write_text(USE.format(configfile="", snakefile=source))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "-p", "--cores", "2"],
        cwd=work,
        env=environment() | {"XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    output = done.stdout + done.stderr
    assert f".snakemake/skyharvest/{commit}/scripts/simulate_release.py --out resources/demo" in output
    assert "results/demo/desi/ledger.csv" in output
