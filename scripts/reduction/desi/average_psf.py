"""Average the point-spread functions of a night's arcs of one camera."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.desi.psf.steps import average_files


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--psfs", type=Path, nargs="+", required=True, help="fit-psf-….fits of the arcs")
    parser.add_argument("--camera", required=True, help="such as b0")
    parser.add_argument("--out", type=Path, required=True, help="psfnight-….fits to write")
    return parser


def main(options: argparse.Namespace) -> None:
    """Average, and write the PSF."""
    average_files(options.psfs, options.camera, options.out)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
