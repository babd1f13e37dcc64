"""Write what makes a release of a production: the list of its coadds, and the checksums of their directories."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.desi.release import write_release


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--production", type=Path, required=True, help="…/spectro/redux/SPECPROD")
    return parser


def main(options: argparse.Namespace) -> None:
    """Write, and say how much there is."""
    made = write_release(options.production)
    print(f"{made.coadds} coadds, {made.redshifts} with redshifts; {made.without} pixels without a coadd")


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
