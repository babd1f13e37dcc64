"""What a finished run tells a person to do, on screen and in the report."""

from collections.abc import Mapping
from typing import Any

from skyharvest.harvest.not_selected import sentence
from skyharvest.targets.targetids import CURE

SHOWN_ROWS = 10


def remarks(summary: Mapping[str, Any]) -> list[str]:
    """Return what a person should do about rows without a result."""
    said = []
    if n_left_out := summary["status"].get("not_selected"):
        said.append(sentence(n_left_out, summary["not_selected"]))
    if rounded := list(summary.get("rounded_targetids", ())):
        more = f" and {len(rounded) - SHOWN_ROWS:,} more" if len(rounded) > SHOWN_ROWS else ""
        looks = "1 TARGETID looks" if len(rounded) == 1 else f"{len(rounded):,} TARGETIDs look"
        said.append(f"{looks} rounded, of CSV rows {', '.join(rounded[:SHOWN_ROWS])}{more}: {CURE}")
    return said
