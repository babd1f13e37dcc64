"""Move the traces of a camera to the light of an exposure: of the sky, or of a lamp without lines."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.desi.psf.shifts import OPTIONS, ShiftOptions
from skyharvest.reduction.desi.psf.steps import shift_exposure


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--image", type=Path, required=True, help="the exposure's preproc-….fits.gz")
    parser.add_argument("--psf", type=Path, required=True, help="the night's psfnight-….fits")
    parser.add_argument("--out", type=Path, required=True, help="psf-….fits to write")
    parser.add_argument("--sky", action="store_true", help="move them along the traces as well, by the sky's lines")
    for axis, degrees in (("x", OPTIONS.degrees_x), ("y", OPTIONS.degrees_y)):
        what = f"of the polynomials, in x and in y, of moves in {axis}"
        parser.add_argument(f"--degrees-{axis}", type=int, nargs=2, default=degrees, metavar="N", help=what)
    return parser


def main(options: argparse.Namespace) -> None:
    """Move the traces, and write the PSF."""
    how = ShiftOptions(degrees_x=tuple(options.degrees_x), degrees_y=tuple(options.degrees_y))
    shift_exposure(options.image, options.psf, options.out, how, sky=options.sky)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
