"""Write a pixel's coadd with all cameras in one spectrum: on their common grid, or resampled to another."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.desi.coadds import coadd_cameras, resample


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--coadd", type=Path, required=True, help="coadd-….fits, by camera")
    parser.add_argument("--out", type=Path, required=True, help="coadd-cameras-….fits or another form, to write")
    grid = parser.add_mutually_exclusive_group()
    grid.add_argument("--lin-step", type=float, metavar="Å", help="resample to this step")
    grid.add_argument("--log10-step", type=float, metavar="STEP", help="resample to this step of log10(wavelength/Å)")
    parser.add_argument("--fast", action="store_true", help="interpolate: correlated pixels without a resolution")
    parser.add_argument("--nproc", type=int, default=1, help="processes of a resampling that is not fast")
    return parser


def main(options: argparse.Namespace) -> None:
    """Combine, and write."""
    if options.lin_step is None and options.log10_step is None and not options.fast:
        coadd_cameras(options.coadd, options.out)
    else:
        steps = {"lin_step": options.lin_step or 0.0, "log10_step": options.log10_step or 0.0}
        resample(options.coadd, options.out, **steps, fast=options.fast, nproc=options.nproc)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
