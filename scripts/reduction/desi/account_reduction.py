"""Account for a production: every exposure × camera × step, and every HEALPix pixel × step, exactly once."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.desi.given import add_production, production_of
from skyharvest.reduction.desi.ledger import write_ledger
from skyharvest.reduction.desi.set_aside import set_aside


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_production(parser)
    parser.add_argument("--ledger", type=Path, required=True, help="CSV to write: a line for each step of each camera")
    parser.add_argument("--summary", type=Path, required=True, help="JSON to write: steps × states")
    return parser


def main(options: argparse.Namespace) -> None:
    """Write both."""
    production = production_of(options)
    set_aside(production)
    write_ledger(production, options.ledger, options.summary)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
