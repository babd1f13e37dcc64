"""The page of completeness: numbers of lines that were put in, against what was planted in them."""

import re

import pytest

from skyharvest.reduction.hetdex.lines.completeness import write_file
from skyharvest.report.hetdex_completeness.page import write_page
from small_hetdex_completeness import IFUS, SHOTS, write


def checks(html):
    """Return what each check says: name → its number, and ✓ or !."""
    table = html[html.index('id="checks-table"') : html.index('id="noise"')]
    rows = [re.findall(r"<td.*?</td>", row, re.DOTALL) for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)[1:]]
    text = [[re.sub(r"<.*?>", "|", cell).strip("|") for cell in row] for row in rows]
    return {row[0].split("|")[0]: (row[1], row[3]) for row in text}


def test_all_is_well_if_lines_are(tmp_path):
    write_page(write(tmp_path), tmp_path / "index.html")
    html = (tmp_path / "index.html").read_text()
    made = checks(html)
    assert {mark for _, mark in made.values()} == {"✓", "·"}
    assert float(made["Flux at which half is found, over the limit"][0]) == pytest.approx(1, abs=0.03)
    assert float(made["Scatter of the flux by its error"][0]) == pytest.approx(1, abs=0.1)
    assert '<span class="state OK">' in html
    assert "What failed" not in html
    used = re.findall(r'(?:src|href)="((?!data:|#)[^"]+)"', html)
    assert used
    assert all((tmp_path / name).is_file() for name in used)


@pytest.mark.parametrize(
    ("planted", "name"),
    [
        ({"completeness": 0.8}, "Completeness above flux / error 6.5"),
        ({"pull": 1.3}, "Scatter of the flux by its error"),
        ({"n_false": 1}, "Lines kept with the sign turned"),
    ],
)
def test_what_is_wrong_is_marked(tmp_path, planted, name):
    write_page(write(tmp_path, **planted), tmp_path / "index.html")
    html = (tmp_path / "index.html").read_text()
    assert checks(html)[name][1] == "!"
    assert '<span class="state WARN">' in html


def test_ifus_that_failed_are_named_and_the_others_shown(tmp_path):
    paths = [*write(tmp_path)[:1], tmp_path / "failed.h5"]
    write_file(paths[1], {}, {"shot": SHOTS[1], "ifu": IFUS[1], "failed": "no <star> was found"})
    write_page(paths, tmp_path / "index.html")
    html = (tmp_path / "index.html").read_text()
    assert "no &lt;star&gt; was found" in html
    assert checks(html)["Completeness above flux / error 6.5"][1] == "✓"
    write_page(paths[1:], tmp_path / "index.html")  # all failed
    assert {mark for _, mark in checks((tmp_path / "index.html").read_text()).values()} == {"·"}
