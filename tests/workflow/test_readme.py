"""The README's commands and printed output are what really happens."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def block(language: str, containing: str) -> str:
    found = [text for kind, text in re.findall(r"```(\w+)\n(.*?)```", README, re.S) if kind == language]
    return next(text for text in found if containing in text)


def python(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=directory, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_ends_with_what_the_readme_shows(demo):
    shown = block("text", "all CSV rows")
    assert python(demo, str(ROOT / "scripts/show_summary.py"), "results/demo") == shown
    tables = re.split(r"\n\n(?=\w+ +rows)", shown.split("\n\nevery CSV row")[0])
    assert len(tables) == 3
    assert all(table in (demo / "output.txt").read_text() for table in tables)
    recipe = subprocess.run(
        ["make", "--no-print-directory", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert recipe.rstrip().endswith("python scripts/show_summary.py results/demo")


def test_the_drawing_has_the_rules_that_the_demo_runs(demo):
    """Drawn of a finished demo: snakemake --rulegraph | dot -Grankdir=LR -Tsvg > docs/dag.svg."""
    drawn = re.findall(r">(\w+)</text>", (ROOT / "docs/dag.svg").read_text())
    ran = re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):$", (demo / "output.txt").read_text(), re.M)
    assert sorted(drawn) == sorted(set(ran))


def test_the_example_reads_spectra(demo):
    example = block("python", "h5py") + "\nassert flux.shape == ivar.shape == (len(name), len(wave)) and len(name) > 0"
    python(demo, "-c", example)


def test_targets_that_can_be_named_exist(demo, run):
    named = re.search(r"Targets that can be named: (.*?)\. Without", README, re.S)
    names = re.findall(r"`(\w+)`", named[1])
    assert len(names) >= 10
    done = run(demo, "-n", *names)
    assert done.status == 0, done.output


def test_nested_settings_on_the_command_line_reach_the_plan(demo, run):
    done = run(demo, "-n", "-p", "plan", "--config", "desi={surveys: [sv3], release: edr, archive: resources/demo}")
    assert done.status == 0, done.output
    assert "--release edr --surveys sv3" in done.output


ASK_ALL = """
import runpy, sys
own = sys.path[:]
for program in sys.argv[1:]:
    # As if each had a Python of its own; what is heavy is imported once.
    sys.path[:] = [program.rpartition("/")[0], *own]
    for name in [name for name in sys.modules if name.partition(".")[0] == "skyharvest"]:
        del sys.modules[name]
    sys.argv = [program, "--help"]
    print("==", program)
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as ended:
        assert ended.code == 0, program
"""


def test_every_program_has_help():
    programs = [
        path for path in sorted((ROOT / "scripts").rglob("*.py")) if ROOT / "scripts/skyharvest" not in path.parents
    ]
    assert len(programs) > 20
    _, *said = re.split(r"^== (.+)\n", python(ROOT, "-c", ASK_ALL, *map(str, programs)), flags=re.M)
    assert said[::2] == list(map(str, programs))
    assert all(text.startswith("usage: ") for text in said[1::2])
    named = "".join(path.read_text() for path in ROOT.glob("rules/**/*.smk")) + (ROOT / "Makefile").read_text()
    # The steps of a reduction are run by hand, as their page shows.
    named += "".join((ROOT / "docs" / f"desi-{page}.md").read_text() for page in ("reduction", "quality"))
    for program in programs:
        assert f"scripts/{program.name}" in README or program.name in named
