"""Run a job of a step of a production: desispec's own command, or ours, for each of its tasks."""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.desi.given import add_production, production_of
from skyharvest.reduction.desi.run_tasks import run_job
from skyharvest.reduction.desi.steps import STEPS


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("step", choices=list(STEPS))
    parser.add_argument("--job", required=True, help="such as 20250115-00000006, 20250115 (a night) or main-dark-97")
    add_production(parser)
    parser.add_argument("--workers", type=int, default=1, help="tasks that run at once")
    parser.add_argument("--done", type=Path, required=True, help="file to write: how many tasks ended in which state")
    return parser


def main(options: argparse.Namespace) -> None:
    """Run the job."""
    production = production_of(options).of_job(options.step, options.job)
    # Before anything that has threads is imported: tasks share the cores, and their matrices are small.
    production.commands.set_environment(os.environ)
    run_job(production, production.job(options.step, options.job), options.workers, options.done)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
