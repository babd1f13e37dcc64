"""Make the bias of a pairing's amplifiers from a month's bias frames, and find their charge traps."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options, describe
from skyharvest.reduction.hetdex.calibration.bias import make_bias
from skyharvest.reduction.hetdex.settings import Bias, from_options


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--frames", type=Path, required=True, help="list of the pairing's frames of the month")
    parser.add_argument("--out", type=Path, required=True, help="bias file to write")
    add_options(parser, Bias, *describe(Bias))
    return parser


def main(options: argparse.Namespace) -> None:
    """Make and write it."""
    make_bias(options.frames, options.out, from_options(Bias, options))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
