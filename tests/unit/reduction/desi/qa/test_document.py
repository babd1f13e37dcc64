"""The page of the documentation has every metric with its limits."""

from skyharvest.reduction.desi.qa.definitions import DEFINITIONS
from skyharvest.reduction.desi.qa.document import PAGE, page, table


def test_the_table_of_metrics_is_up_to_date():
    again = "write it anew: cd scripts && python -m skyharvest.reduction.desi.qa.document"
    assert PAGE.read_text() == page(PAGE.read_text()), again


def test_it_has_each_metric_once_with_its_limits():
    rows = [row.split(" | ") for row in table().splitlines()[2:]]
    assert [row[0].split("`")[1] for row in rows] == list(DEFINITIONS)
    assert {len(row) for row in rows} == {5}
    cells = {row[0].split("`")[1]: row[3:] for row in rows}
    assert cells["PREPROC-READNOISE"] == ["1 to 5", "0.5 to 10 |"]
    assert cells["SKYSUB-MED_RESID"] == ["±5", "±10 |"]
    assert cells["EXTRACT-NDEAD"] == ["", "≤ 0 |"]
    assert cells["SKYSUB-NSKY"] == ["≥ 4", "≥ 2 |"]
    assert cells["SKYSUB-MISSING"] == ["", "is always BAD |"]
