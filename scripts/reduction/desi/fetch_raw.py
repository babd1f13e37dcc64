"""Fetch the raw exposures that exposure tables list from an archive, with their checksums."""

import argparse
import sys
from dataclasses import astuple, fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.archive.archive import Archive
from skyharvest.core import cli
from skyharvest.core.csv_file import write_rows
from skyharvest.reduction.desi.fetch_raw import Fetched, fetch_exposures, listed
from skyharvest.reduction.desi.given import add_choices
from skyharvest.reduction.desi.graph import Selection
from skyharvest.reduction.desi.settings import CHOICES


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--archive", required=True, help="address, or directory, that holds NIGHT/EXPID")
    parser.add_argument("--tables", type=Path, required=True, help="exposure tables: YYYYMM/exposure_table_NIGHT.csv")
    parser.add_argument("--raw", type=Path, required=True, help="directory that the exposures go to")
    add_choices(parser)
    parser.add_argument("--connections", type=int, default=1, help="open connections to the archive, at most")
    parser.add_argument("--out", type=Path, required=True, help="CSV to write: what has become of each file")
    return parser


def main(options: argparse.Namespace) -> None:
    """Fetch."""
    exposures = listed(options.tables, Selection(*(getattr(options, name) for name in CHOICES)))
    with Archive(options.archive, connections=options.connections) as archive:
        found = fetch_exposures(archive, exposures, options.raw)
    write_rows(options.out, [field.name.upper() for field in fields(Fetched)], map(astuple, found))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
