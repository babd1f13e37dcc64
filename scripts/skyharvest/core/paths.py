"""Paths that users write, and the files that the library finds beside itself."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
"""The workflow's directory, with ``Snakefile`` and ``config/``, where this package is its ``scripts/skyharvest/``."""

INSTALLED = not (CHECKOUT / "Snakefile").is_file()
"""Whether this package stands alone, without the workflow."""

CONFIG = Path(__file__).resolve().parents[1] / "config" if INSTALLED else CHECKOUT / "config"
"""Has ``releases.yaml`` and ``schema/``: the workflow's, or the copies in an installed package."""


def expand_user(path: str) -> Path:
    """Return the path with a leading ``~`` expanded where there is such a user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
