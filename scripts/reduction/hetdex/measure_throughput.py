"""Measure the throughput of a shot: what was counted of its stars over what they send."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options, describe
from skyharvest.reduction.hetdex.settings import Throughput, from_options
from skyharvest.reduction.hetdex.stars.throughput import measure_throughput


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--stars", type=Path, required=True, help="stars/SHOT.h5")
    parser.add_argument("--seds", type=Path, required=True, help="seds/SHOT.h5")
    parser.add_argument("--out", type=Path, required=True, help="throughput/SHOT.h5 to write")
    parser.add_argument("--text", type=Path, required=True, help="throughput/SHOTsedtp_f.dat to write")
    add_options(parser, Throughput, *describe(Throughput))
    return parser


def main(options: argparse.Namespace) -> None:
    """Measure, and write the files."""
    how = from_options(Throughput, options)
    measure_throughput(options.stars, options.seds, options.out, options.text, how)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
