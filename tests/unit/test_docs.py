"""The documentation builds without a warning, and says what the configuration's schema says."""

import html
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from skyharvest.config.load import load_schema

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
        if len(cells) == 3:
            rows[cells[0]] = cells[1:]

    def leaves(about, prefix=""):
        for name, inner in about["properties"].items():
            if "properties" in inner:
                yield from leaves(inner, f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}", inner

    for key, inner in leaves(load_schema()):
        default, said = rows.pop(key)
        assert default == "required" if "default" not in inner else yaml.safe_load(default) == inner["default"], key
        assert len(said) > 10
    assert not rows


def test_links_between_the_readme_and_the_docs_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
