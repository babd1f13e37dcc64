"""Paths that users write, and the checkout that this package is run from."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
"""The workflow's directory, with ``Snakefile`` and ``config/``; the package is its ``scripts/skyharvest/``."""


def expand_user(path: str) -> Path:
    """Return the path with a leading ``~`` expanded where there is such a user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
