"""Make the exposure table of each night of raw data, or add to it; and the pixels that its fibers lie in."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.desi.make_tables import make_tables


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--raw", type=Path, required=True, help="raw data: NIGHT/EXPID/desi-EXPID.fits.fz")
    parser.add_argument("--production", type=Path, required=True, help="where exposure_tables/ goes")
    parser.add_argument("--nights", type=int, nargs="+", metavar="NIGHT", help="as YYYYMMDD (default: all)")
    return parser


def main(options: argparse.Namespace) -> None:
    """Make the tables."""
    make_tables(options.raw, options.production, options.nights)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
