"""Find where the exposures of a shot point, from stars of a catalogue."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options, describe
from skyharvest.reduction.hetdex.settings import Astrometry, from_options
from skyharvest.reduction.hetdex.stars.astrometry import solve_shot


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument(
        "--multifits", type=Path, nargs="+", required=True, help="directories science/SHOT/expNN/IFU of the shot"
    )
    parser.add_argument("--star-catalogue", type=Path, required=True, help="FITS, CSV, ECSV or text")
    parser.add_argument("--fplane", type=Path, required=True, help="the focal plane's file of the night")
    parser.add_argument("--out", type=Path, required=True, help="astrometry/SHOT.h5 to write")
    add_options(parser, Astrometry, *describe(Astrometry))
    return parser


def main(options: argparse.Namespace) -> None:
    """Find it, and write the file."""
    how = from_options(Astrometry, options)
    solve_shot(options.multifits, options.star_catalogue, options.fplane, options.out, how)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
