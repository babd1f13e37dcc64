"""Write what a public release has of a production as a whole: its redshifts, tiles and exposures."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.desi.exposure_files import write_exposures
from skyharvest.reduction.desi.given import add_production, production_of
from skyharvest.reduction.desi.zcatalog import write_zcatalog


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_production(parser)
    return parser


def main(options: argparse.Namespace) -> None:
    """Write, and say how much there is."""
    production = production_of(options)
    tiles, exposures, frames = write_exposures(production)
    redshifts = write_zcatalog(production)
    print(f"{redshifts} redshifts; {tiles} tiles, {exposures} exposures, {frames} frames")


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
