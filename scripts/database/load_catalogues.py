"""Load the catalogues of a production or a public release of DESI into the database: tiles, exposures, redshifts."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.database import connection
from skyharvest.database.catalogues import load_catalogues


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    connection.add_options(parser)
    parser.add_argument("--schema", required=True, help="to load into: what is there is replaced")
    parser.add_argument(
        "--files", type=Path, nargs="+", required=True, help="FITS files, those that others refer to first"
    )
    return parser


def main(options: argparse.Namespace) -> None:
    """Load, and say how many rows each table has."""
    n_rows = load_catalogues(connection.database_of(options), options.schema, options.files)
    print("\n".join(f"{name:<16}{count:>12,}" for name, count in n_rows.items()))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
