"""docs/hetdex-data-model.md has every column of the tables, in their order, with their types."""

import re
from importlib import import_module

import numpy as np
import pytest

from skyharvest.core.paths import CHECKOUT

TEXT = (CHECKOUT / "docs" / "hetdex-data-model.md").read_text(encoding="utf-8")
TABLES = dict(re.findall(r"<!-- columns of ([\w.]+) -->\n\n((?:\|.*\n)+)", TEXT))
PACKAGES = {
    "shot_tables": "shots",
    "detection_tables": "sources",
    "completeness_file": "lines",
    "fiber_index": "release",
}


def columns_of(table):
    """Return name and type of the columns that a table of the page has."""
    return [tuple(cell.strip() for cell in line.split("|")[1:3]) for line in table.splitlines()[2:]]


def in_words(dtype):
    """Return a column's type as the page has it: ``f4``, ``S20``, ``f4, 1036``."""
    base, kind = dtype.base, dtype.base.kind
    name = f"{kind}{base.itemsize}"
    return ", ".join([name, " × ".join(map(str, dtype.shape))]) if dtype.shape else name


@pytest.mark.parametrize("name", TABLES)
def test_columns(name):
    module, variable = name.split(".")
    dtype = getattr(import_module(f"skyharvest.reduction.hetdex.{PACKAGES[module]}.{module}"), variable)
    assert isinstance(dtype, np.dtype)
    assert columns_of(TABLES[name]) == [(column, in_words(dtype[column])) for column in dtype.names]
