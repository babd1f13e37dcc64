"""Fit the point-spread function of a camera to an arc: traces, widths and shape of the spots of every fiber."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.desi.psf.fit import OPTIONS, FitOptions
from skyharvest.reduction.desi.psf.steps import SHAPE_DEGREE, fit_exposure


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--image", type=Path, required=True, help="the arc's preproc-….fits.gz")
    begin = "where to begin (default: the PSF in DESI_SPECTRO_CALIB for this CCD and date)"
    parser.add_argument("--psf", type=Path, help=begin)
    parser.add_argument("--out", type=Path, required=True, help="fit-psf-….fits to write")
    parser.add_argument("--camera", required=True, help="such as b0")
    parser.add_argument(
        "--lines", type=Path, help="arc lines, a name and Å in vacuum in each row (default: desispec's)"
    )
    degree = OPTIONS.degree_hermite
    parser.add_argument("--degree-hermite", type=int, default=degree, help="largest order of Gauss-Hermite terms")
    return parser


def main(options: argparse.Namespace) -> None:
    """Fit, and write the PSF."""
    how = FitOptions(degree_shape=SHAPE_DEGREE[options.camera[0]], degree_hermite=options.degree_hermite)
    fit_exposure(options.image, options.psf, options.out, how, options.lines)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
