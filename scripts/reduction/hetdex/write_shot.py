"""Write the HDF5 file of a shot: its calibrated fibers, astrometry, throughput and sky."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options, describe
from skyharvest.reduction.hetdex.settings import ShotFile, from_options
from skyharvest.reduction.hetdex.shots.shot_file import Inputs, write_shot


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--shot", required=True, help="its name, such as 20190103v012")
    parser.add_argument(
        "--multifits", type=Path, nargs="+", required=True, help="directories science/SHOT/expNN/IFU of the shot"
    )
    parser.add_argument(
        "--full-sky", type=Path, nargs="*", default=[], metavar="DIR", help="directories full_sky/SHOT/expNN"
    )
    parser.add_argument("--astrometry", type=Path, required=True, help="astrometry/SHOT.h5")
    parser.add_argument("--stars", type=Path, required=True, help="stars/SHOT.h5")
    parser.add_argument("--throughput", type=Path, required=True, help="throughput/SHOT.h5")
    parser.add_argument(
        "--residuals", type=Path, nargs="*", default=[], metavar="DIR", help="directories residuals/MONTH/IFU"
    )
    parser.add_argument("--out", type=Path, required=True, help="shots/SHOT.h5 to write")
    add_options(parser, ShotFile, *describe(ShotFile))
    return parser


def main(options: argparse.Namespace) -> None:
    """Write the file."""
    how = from_options(ShotFile, options)
    inputs = Inputs(
        shot=options.shot,
        science=options.multifits,
        full_sky=options.full_sky,
        astrometry=options.astrometry,
        stars=options.stars,
        throughput=options.throughput,
        residuals=options.residuals,
    )
    write_shot(inputs, options.out, how)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
