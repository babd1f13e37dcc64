"""Draw the contact sheet of one NSIDE=16 pixel: all its cutouts of the Legacy Surveys in one PNG."""

import argparse
import sys
from pathlib import Path

from skyharvest.core import cli
from skyharvest.surveys.legacysurvey.contact_sheet import make_sheet


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("crossmatch", type=Path, metavar="CROSSMATCH_LEGACYSURVEY.hdf5", help="the assembled file")
    made.add_argument("--out", type=Path, required=True, help="the PNG to write")
    made.add_argument("--name", default="chandra", help="HDF5 group that holds the CSV's own columns")
    made.add_argument("--thumbnail", type=int, default=160, help="side of a cutout on the sheet, pixels")
    return made


def main(options: argparse.Namespace) -> None:
    """Draw, and say how many there are."""
    n = make_sheet(options.crossmatch, options.out, name=options.name, thumbnail=options.thumbnail)
    cli.log.info("%s: %d cutouts", options.out, n)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
