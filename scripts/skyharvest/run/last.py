"""Which of some configurations ran last."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from skyharvest.core.paths import expand_user
from skyharvest.core.yaml_file import read_yaml
from skyharvest.harvest import run_record


def find(files: Iterable[Path]) -> tuple[Path, dict[str, Any], Path]:
    """Return the file of the configuration that ran last, what it says, and the directory of its results."""
    found = []
    for path in files:
        config = read_yaml(path)
        results = expand_user(str(config.get("results") or "results"))
        run = run_record.load(results / "logs")
        found.append((run.started if run else 0.0, path, config, results))
    _, path, config, results = max(found, key=lambda one: one[0])
    return path, config, results
