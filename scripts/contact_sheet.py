"""Draw the contact sheet of one NSIDE=16 pixel: all its cutouts of the Legacy Surveys in one PNG."""

import argparse
import sys
from pathlib import Path

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.harvest.options import add_shared
from skyharvest.surveys.legacysurvey.contact_sheet import make_sheet
from skyharvest.targets.settings import Targets


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("crossmatch", type=Path, metavar="CROSSMATCH_LEGACYSURVEY.hdf5", help="the assembled file")
    add_shared(parser, "--out", help="the PNG to write")
    add_options(parser, Targets, "name")
    parser.add_argument("--thumbnail", type=int, default=160, help="side of a cutout on the sheet, pixels")
    return parser


def main(options: argparse.Namespace) -> None:
    """Draw, and say how many there are."""
    n = make_sheet(options.crossmatch, options.out, name=options.name, thumbnail=options.thumbnail)
    cli.log.info("%s: %d cutouts", options.out, n)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
