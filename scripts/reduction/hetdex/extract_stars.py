"""Measure the stars of a shot: the width of their images and norms of exposures, and their spectra."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options, describe
from skyharvest.reduction.hetdex.settings import Stars, from_options
from skyharvest.reduction.hetdex.stars.measure_stars import extract_shot


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument(
        "--multifits", type=Path, nargs="+", required=True, help="directories science/SHOT/expNN/IFU of the shot"
    )
    parser.add_argument("--astrometry", type=Path, required=True, help="astrometry/SHOT.h5")
    parser.add_argument("--out", type=Path, required=True, help="stars/SHOT.h5 to write")
    add_options(parser, Stars, *describe(Stars))
    return parser


def main(options: argparse.Namespace) -> None:
    """Measure them, and write the file."""
    how = from_options(Stars, options)
    extract_shot(options.multifits, options.astrometry, options.out, how)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
