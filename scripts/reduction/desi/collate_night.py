"""Collate how good a night's exposures are: one JSON of all metrics, judged by the limits of now."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.desi.given import add_production, production_of
from skyharvest.reduction.desi.qa.collate import write_night
from skyharvest.reduction.desi.qa.limits import limits_of


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_production(parser)
    parser.add_argument("--night", type=int, required=True, help="as YYYYMMDD")
    parser.add_argument("--out", type=Path, required=True, help="qa-night-NIGHT.json to write")
    return parser


def main(options: argparse.Namespace) -> None:
    """Collate, and write."""
    production = production_of(options)
    write_night(production, options.night, limits_of(production.settings), options.out)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
