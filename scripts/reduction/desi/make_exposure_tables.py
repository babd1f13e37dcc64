"""Begin a production, or go on with it: the exposure table of each night, and the pixels that its fibers lie in."""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.csv_file import write_rows
from skyharvest.core.errors import InputError
from skyharvest.reduction.desi.exposure_table import read_table
from skyharvest.reduction.desi.make_tables import make_tables, take_tables
from skyharvest.reduction.desi.production import freeze
from skyharvest.reduction.desi.start_from import archive_of, take_pixels


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
    if options.raw is None and "cframe" not in (options.frozen or {}).get("start_from", {}).get("products", ()):
        raise InputError("there is no --raw, which only a production that starts from calibrated frames can lack")
    if options.frozen is not None:
        freeze(options.production, options.frozen)
    if options.exposure_tables is not None:
        take_tables(options.exposure_tables, options.production, options.nights)
    if options.raw is not None:
        tables = make_tables(options.raw, options.production, options.nights)
    else:
        with archive_of(options.frozen["start_from"]["production"]) as archive:
            tables = take_pixels(archive, options.production, options.nights)
    if options.out is not None:
        lines = ((path.relative_to(options.production), len(read_table(path))) for path in tables)
        write_rows(options.out, ("TABLE", "EXPOSURES"), lines)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
