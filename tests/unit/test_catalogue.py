"""What the catalogue of Snakemake workflows, and snakedeploy, look for in a repository."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def test_the_catalogue_is_told_how_the_workflow_is_used():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage == {"software-stack-deployment": {"conda": True}, "report": True}
    rules = [path.read_text() for path in (ROOT / "rules").rglob("*.smk")]
    assert any("conda:" in text for text in rules)
    assert any("report(" in text for text in rules)


def test_what_snakedeploy_copies_is_there():
    for path in ("Snakefile", "config/config.yaml", "config/README.md", "profiles/default/config.yaml", "LICENSE"):
        assert (ROOT / path).is_file(), path


def test_the_guide_to_the_configuration_names_every_section_and_file():
    guide = (ROOT / "config" / "README.md").read_text()
    sections = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    assert re.findall(r"^\| `(\w+)` \|", guide, re.MULTILINE) == list(sections)
    for path in (ROOT / "config").iterdir():
        assert path.name == "README.md" or f"`{path.name}{'/' * path.is_dir()}`" in guide


def test_the_readme_shows_both_ways_to_get_it():
    readme = (ROOT / "README.md").read_text()
    assert re.search(r"^git clone \S+/skyharvest$", readme, re.MULTILINE)
    assert re.search(r"^snakedeploy deploy-workflow \S+/skyharvest \S+ --tag v\S+$", readme, re.MULTILINE)
