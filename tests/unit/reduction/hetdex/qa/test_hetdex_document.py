"""Pages of the documentation have every value with its limits, and the workflow's steps and programs."""

from skyharvest.core.paths import CHECKOUT
from skyharvest.reduction.hetdex.places import STEPS
from skyharvest.reduction.hetdex.qa.definitions import DEFINITIONS
from skyharvest.reduction.hetdex.qa.document import PAGE, page, table


def test_the_table_of_values_is_up_to_date():
    again = "write it anew: cd scripts && python -m skyharvest.reduction.hetdex.qa.document"
    assert PAGE.read_text() == page(PAGE.read_text()), again


def test_it_has_each_value_once_with_its_limits():
    rows = [row.split(" | ") for row in table().splitlines()[2:]]
    assert [row[0].split("`")[1] for row in rows] == list(DEFINITIONS)
    cells = {row[0].split("`")[1]: row[4:] for row in rows}
    assert cells["bias.rms"] == ["1.5 to 5", "0.5 to 10 |"]
    assert cells["drift.bias_change"] == ["±50", "±300 |"]
    assert cells["bias.level"] == ["", " |"]


def test_every_step_and_every_program_of_the_reduction_is_in_the_guide():
    text = (CHECKOUT / "docs" / "hetdex-reduction.md").read_text()
    assert [step for step in STEPS if f"| {step} |" not in text] == []
    programs = sorted(path.name for path in (CHECKOUT / "scripts/reduction/hetdex").glob("*.py"))
    assert [name for name in programs if name not in text] == []
