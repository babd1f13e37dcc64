"""The documentation builds without a warning, and says what the settings say."""

import html
import json
import re
import subprocess
import sys
from dataclasses import MISSING
from pathlib import Path

import pytest

from skyharvest.config.document import PAGE, SCHEMA, json_schema, page, releases_schema
from skyharvest.config.settings import root
from skyharvest.core.settings import leaves
from skyharvest.harvest import releases

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built site."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", str(ROOT / "docs"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return out


def plain(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page))


def test_every_page_is_in_the_site(site):
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages <= {path.stem for path in site.glob("*.html")}
    assert "102,403" in plain((site / "chandra.html").read_text())
    assert "Combining cameras" in plain((site / "performance.html").read_text())  # from bench/results.md


def test_the_page_on_configuration_has_every_key_with_its_default(site):
    rows = {}
    for row in re.findall(r"<tr.*?</tr>", (site / "configuration.html").read_text(), re.S):
        cells = [
            html.unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in re.findall(r"<td>(.*?)</td>", row, re.S)
        ]
        if len(cells) == 4:
            rows[cells[0]] = cells[1:]
    for key, said in leaves(root()):
        values, default, meaning = rows.pop(key)
        assert default == "required" if said.default is MISSING else json.loads(default) == said.default, key
        assert values
        assert meaning.replace("’", "'") == said.meaning
    assert not rows


def test_the_files_that_are_made_from_the_settings_are_up_to_date():
    again = "write them anew: cd scripts && python -m skyharvest.config.document"
    assert json.loads(SCHEMA.read_text()) == json_schema(), again
    assert json.loads(releases.SCHEMA.read_text()) == releases_schema(), again
    assert PAGE.read_text() == page(), again
    for name, schema in (("config", SCHEMA), ("demo", SCHEMA), ("releases", releases.SCHEMA)):
        first = (ROOT / "config" / f"{name}.yaml").read_text().splitlines()[0]
        assert first == f"# yaml-language-server: $schema=schema/{schema.name}"


def test_links_between_the_readme_and_the_docs_lead_somewhere():
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
