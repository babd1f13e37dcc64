"""docs/reliability.md says what the tests of this directory found, and nothing else."""

import os

import pytest
from reliability import Outcome, document, documented, table

WRITE = "SKYHARVEST_WRITE_RELIABILITY"


def test_the_document_says_what_was_found(outcomes: list[Outcome], request: pytest.FixtureRequest) -> None:
    """Run after all others; of those that were left out, or cannot run here, it stays as it is."""
    if not outcomes:
        pytest.skip("no fault was tested")
    for section in dict.fromkeys(each.section for each in outcomes):
        found = [each for each in outcomes if each.section == section]
        if os.environ.get(WRITE):
            assert not request.config.option.keyword, "a part of the tests makes a part of the tables"
            document(section, found)
        lines = documented(section)
        again = f"{WRITE}=1 pytest tests/faults makes it anew"
        assert [each.line() for each in found if each.line() not in lines] == [], again
        if len(found) == len(lines) - 3:
            assert lines == table(found).splitlines(), again
    assert all(each.lost == 0 for each in outcomes)
    assert all(each.wrong == 0 for each in outcomes if each.section != "unseen")
