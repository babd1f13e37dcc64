"""Where an output came from: versions, commit, time."""

import subprocess
from datetime import UTC, datetime

from skyharvest import __version__
from skyharvest.core.paths import CHECKOUT, INSTALLED


def git_commit() -> str:
    """Return the commit of the workflow's checkout (40 hex digits), or ``unknown`` outside of one."""
    if INSTALLED:
        return "unknown"
    try:
        head = subprocess.run(
            ["git", "-C", str(CHECKOUT), "rev-parse", "HEAD"],  # noqa: S607 (the user's git)
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head.stdout.strip()


def attributes() -> dict[str, str]:
    """Return the provenance that every assembled file carries as root attributes."""
    return {
        "workflow": "skyharvest",
        "workflow_version": __version__,
        "git_commit": git_commit(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
