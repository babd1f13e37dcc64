"""Begin a production, or go on with it: the exposure table of each night, and the pixels that its fibers lie in."""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.desi.control.begin import begin


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    raw = "raw data: NIGHT/EXPID/desi-EXPID.fits.fz; not needed where the production starts from calibrated frames"
    parser.add_argument("--raw", type=Path, help=raw)
    parser.add_argument("--production", type=Path, required=True, help="where exposure_tables/ goes")
    parser.add_argument("--nights", type=int, nargs="+", metavar="NIGHT", help="as YYYYMMDD (default: all)")
    given = (
        "exposure tables to begin with, YYYYMM/exposure_table_NIGHT.csv, for nights that have none in the production"
    )
    parser.add_argument("--exposure-tables", type=Path, metavar="DIR", help=given)
    frozen = "options of the production, as JSON: they are frozen into it"
    parser.add_argument("--frozen", type=json.loads, metavar="JSON", help=frozen)
    parser.add_argument("--out", type=Path, help="CSV to write: the tables, and how many exposures each has")
    return parser


def main(options: argparse.Namespace) -> None:
    """Freeze the options, and make the tables."""
    begin(
        options.production,
        options.raw,
        options.nights,
        frozen=options.frozen,
        given=options.exposure_tables,
        out=options.out,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
