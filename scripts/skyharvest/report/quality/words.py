"""Numbers and limits as the pages say them."""

from collections.abc import Mapping, Sequence

Limits = Mapping[str, Sequence[float | None]]
"""``warn`` and ``bad`` → (low, high)."""


def rounded(value: float | None, digits: int = 5) -> float | None:
    """Return a number with few digits: pages hold many."""
    return None if value is None else float(f"{value:.{digits}g}")


def shown(value: float | None) -> str:
    """Return a number with four digits."""
    if value is None:
        return "–"
    if value == round(value) and abs(value) < 1e6:
        return f"{value:.0f}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


def limit_in_words(pair: Sequence[float | None] | None) -> str:
    """Return what is within a pair of limits."""
    low, high = pair or (None, None)
    if low is None:
        return "" if high is None else f"≤ {shown(high)}"
    return f"≥ {shown(low)}" if high is None else f"{shown(low)} to {shown(high)}"


def mark(state: str) -> str:
    """Return the sign of a state."""
    return {"OK": "✓", "WARN": "!", "BAD": "✗"}.get(state, "·")
