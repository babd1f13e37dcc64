"""Load the results of a run into the database: what became of each row of the CSV, its spectra and images."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.database import connection
from skyharvest.database.harvest import load_harvest


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    connection.add_options(parser)
    parser.add_argument("--schema", default="harvest", help="to load into: what is there is replaced")
    parser.add_argument("--results", type=Path, required=True, help="directory of the run, which has ended")
    parser.add_argument("--surveys", nargs="+", required=True, help="those that were harvested")
    return parser


def main(options: argparse.Namespace) -> None:
    """Load, and say how many rows each table has."""
    n_rows = load_harvest(connection.database_of(options), options.schema, options.results, options.surveys)
    print("\n".join(f"{name:<24}{count:>12,}" for name, count in n_rows.items()))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
