"""Make the pixel flats and masks of a pairing's amplifiers, from a month's twilights."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options, describe
from skyharvest.reduction.hetdex.calibration.pixel_flat import make_pixel_flats
from skyharvest.reduction.hetdex.settings import Background, Flat, from_options


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--bias", type=Path, required=True, help="the pairing's bias file")
    parser.add_argument("--trace", type=Path, required=True, help="its trace file")
    parser.add_argument("--bad-pixels", type=Path, help="table of bad pixels, rows such as 311RU 538 556 755 737")
    parser.add_argument("--out", type=Path, required=True, help="directory to write")
    add_options(parser, Flat, *describe(Flat))
    add_options(parser.add_argument_group("scattered light"), Background, *describe(Background))
    return parser


def main(options: argparse.Namespace) -> None:
    """Make and write them."""
    flat = from_options(Flat, options)
    background = from_options(Background, options)
    make_pixel_flats(options.bias, options.trace, options.out, flat, background, options.bad_pixels)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
