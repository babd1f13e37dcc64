"""Find where the fibers of a pairing's amplifiers are, and the profile of their light, from a month's twilights."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options, describe
from skyharvest.reduction.hetdex.calibration.trace_step import trace_fibers
from skyharvest.reduction.hetdex.settings import Background, Trace, from_options


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--frames", type=Path, required=True, help="list of the pairing's frames of the month")
    parser.add_argument("--bias", type=Path, required=True, help="its bias file")
    parser.add_argument("--bad-fibers", type=Path, help="table of fibers that are dead, missing or not to be used")
    parser.add_argument("--out", type=Path, required=True, help="trace file to write")
    add_options(parser, Trace, *describe(Trace))
    add_options(parser.add_argument_group("scattered light"), Background, *describe(Background))
    return parser


def main(options: argparse.Namespace) -> None:
    """Trace, and write it."""
    trace = from_options(Trace, options)
    background = from_options(Background, options)
    trace_fibers(options.frames, options.bias, options.out, trace, background, options.bad_fibers)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
