"""Extract the spectra of a camera's exposure, with all fibers of a bundle modelled at once."""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.desi.extraction.frame import extract_frame


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--image", type=Path, required=True, help="the exposure's preproc-….fits.gz")
    parser.add_argument("--psf", type=Path, required=True, help="the exposure's psf-….fits")
    parser.add_argument("--out", type=Path, required=True, help="frame-….fits.gz to write")
    grid = ("FIRST", "LAST", "STEP")
    parser.add_argument("--wavelength", type=float, nargs=3, required=True, metavar=grid, help="Å in vacuum")
    parser.add_argument("--psf-error", type=float, help="relative error of the PSF, for χ² (default: as it says)")
    parser.add_argument("--barycentric", action="store_true", help="wavelengths of the solar system's barycentre")
    parser.add_argument(
        "--model-variance", action="store_true", help="variances of pixels from a model of their light, not their own"
    )
    return parser


def main(options: argparse.Namespace) -> None:
    """Extract, and write the frame."""
    first, last, step = options.wavelength
    wave = first + step * np.arange(round((last - first) / step) + 1)
    extract_frame(
        options.image,
        options.psf,
        options.out,
        wave,
        psf_error=options.psf_error,
        barycentric=options.barycentric,
        model_variance=options.model_variance,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
