"""Write a few simulated files of a survey over positions of the demo's CSV, their index, and the truth behind them."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.harvest.options import add_shared
from skyharvest.surveys import NAMES


def build_parser() -> argparse.ArgumentParser:
    """Return the program's command line."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("survey", choices=[name for name in NAMES if name != "desi"], help="DESI's comes with the CSV")
    parser.add_argument("--csv", type=Path, required=True, help="targets.csv that simulate_release.py wrote")
    add_shared(parser, "--out", metavar="DIR", help="directory to write the release into")
    add_shared(parser, "--seed")
    return parser


def main(options: argparse.Namespace) -> None:
    """Write the release."""
    release = import_module(f"skyharvest.simulate.{options.survey}.release")  # --help need not wait for it
    release.simulate(options.csv, options.out, options.seed)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
