"""Show how a run stands: jobs by rule, targets by status, bytes moved, the last errors and how to repeat their jobs."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from skyharvest.config.load import validate
from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.harvest import run_record
from skyharvest.harvest.demo import DEMO_CSV
from skyharvest.reduction.hetdex.rules import chosen_of
from skyharvest.run.last import find
from skyharvest.run.status import gather
from skyharvest.run.status_table import show
from skyharvest.surveys import SURVEYS, load_harvests, releases

CONFIGS = [Path(__file__).resolve().parents[1] / "config" / name for name in ("demo.yaml", "config.yaml")]


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--configfile",
        type=Path,
        metavar="YAML",
        help="the run of this configuration; without it, of config/config.yaml or the demo, whichever ran last",
    )
    which.add_argument("--results", type=Path, metavar="DIR", help="the run with these results")
    parser.add_argument("--errors", type=int, default=5, metavar="N", help="show the last N errors")
    return parser


def main(options: argparse.Namespace) -> None:
    """Find the run, look at its files, and print the tables."""
    if options.results:
        config: dict[str, Any] = {}
        results: Path = options.results
    else:
        _, config, results = find([options.configfile] if options.configfile else CONFIGS)
    recorded = run_record.load(results / "logs")
    if recorded is None and not config:
        raise InputError(f"{results / 'logs' / run_record.RECORD} does not exist: give the run's --configfile instead")
    asked = recorded or from_config(config)
    directory = Path(recorded.directory) if recorded and Path(recorded.directory).is_dir() else Path.cwd()
    names = [name for name in SURVEYS if name in asked.releases] or list(SURVEYS)[:1]
    surveys = [gather(results, directory, asked, recorded, SURVEYS[name], first=name == names[0]) for name in names]
    print(show(surveys, time.time(), options.errors))


def from_config(given: dict[str, Any]) -> run_record.Run:
    """Return what a run of a configuration would record."""
    config = validate(given)
    harvests = load_harvests(config, lambda survey: f"{config['results']}/{survey}/plan.csv")
    enabled = [harvest for harvest in harvests.values() if harvest.enabled]
    return run_record.Run(
        releases(config),
        simulated=config["targets"]["csv"] == DEMO_CSV or any(harvest.is_simulated for harvest in enabled),
        copied=any(harvest.copied for harvest in enabled),
        hetdex=chosen_of(config["hetdex_reduction"])._asdict(),
    )


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser(), job=False))
