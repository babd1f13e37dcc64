"""Collate how good a production's nights are: one JSON, with what is bad first."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.desi.given import add_production, production_of
from skyharvest.reduction.desi.qa.collate import write_json
from skyharvest.reduction.desi.qa.collate_production import collate_production
from skyharvest.reduction.desi.qa.limits import limits_of


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_production(parser)
    parser.add_argument("--out", type=Path, required=True, help="qa-production.json to write")
    return parser


def main(options: argparse.Namespace) -> None:
    """Collate, and write."""
    production = production_of(options)
    write_json(collate_production(production.directory, limits_of(production.settings)), options.out)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
