"""Write the pages of quality of a night: its own, those of its exposures, and those of their cameras."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.desi.given import add_production, production_of
from skyharvest.report.desi_qa.night import Night


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_production(parser)
    parser.add_argument("--night", type=int, required=True, help="whose pages are written; it has been collated")
    parser.add_argument("--logs", type=Path, required=True, help="the run's logs: desi_STEP/JOB.log in it")
    return parser


def main(options: argparse.Namespace) -> None:
    """Write them."""
    Night(production_of(options), options.night, options.logs).write()


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
