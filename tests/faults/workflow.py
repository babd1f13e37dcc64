"""The workflow on the demo's release and positions, wherever the release is."""

from pathlib import Path


def settings(archive: str | Path, results: str | Path = "results", **desi: str) -> list[str]:
    """Return Snakemake's options for a run."""
    more = "".join(f", {key}: {value}" for key, value in desi.items())
    surveys = [f"desi={{archive: '{archive}'{more}}}", "hetdex={enabled: false}", "legacysurvey={enabled: false}"]
    return ["--config", "targets={csv: data/targets.csv}", *surveys, f"results={results}"]


def prepared(directory: Path, demo_release: Path) -> Path:
    """Return a directory to run in, with the demo's positions."""
    (directory / "data").mkdir(parents=True)
    (directory / "data/targets.csv").write_bytes((demo_release / "targets.csv").read_bytes())
    return directory
