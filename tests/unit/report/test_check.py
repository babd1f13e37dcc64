"""The report's section on a check: what is not as assumed stands in it, the rest is counted."""

from skyharvest.harvest.check import ADAPTED, AS_ASSUMED, FAILS, NAME, Checked, Finding, write_checked
from skyharvest.report.check import check_sections


def finding(question: str, verdict: str) -> Finding:
    return Finding(
        survey="desi", question=question, about="x.fits[B_MASK]", assumed="a", seen="b", verdict=verdict, means="slower"
    )


def test_there_is_a_section_if_there_was_a_check(tmp_path):
    assert check_sections(tmp_path) == []
    findings = [finding("order", ADAPTED), finding("units", AS_ASSUMED), finding("masks", FAILS)]
    write_checked(Checked({"desi": "dr1 at https://there/dr1"}, findings), tmp_path / NAME)
    [section] = check_sections(tmp_path)
    assert section.warnings == []
    assert ("run would fail", "1") in section.facts
    [table] = section.tables
    assert table.caption == "desi: dr1 at https://there/dr1"
    rows = [[cell.text for cell in row] for row in table.rows]
    assert [row[0] for row in rows] == ["order", "masks"]
    assert rows[0][-1] == "x.fits[B_MASK]"
    assert table.note.startswith("1 question answered as assumed")


def test_what_is_no_check_is_said_to_be_none(tmp_path):
    for text in ("{", "[]", '{"findings": [{"survey": "desi"}], "archives": {}}'):
        (tmp_path / NAME).write_text(text)
        [section] = check_sections(tmp_path)
        assert "check.json is not what a check writes" in section.warnings[0]
        assert section.tables == []
