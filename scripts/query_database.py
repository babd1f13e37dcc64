"""Ask the database a question in SQL; the answer is a CSV. Nothing can be changed in this way."""

import argparse
import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # where the library is

from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.database import connection


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    connection.add_options(parser)
    parser.add_argument("sql", help="a SELECT; - reads it from the standard input")
    return parser


def main(options: argparse.Namespace) -> None:
    """Ask, and print the answer."""
    question = sys.stdin.read() if options.sql == "-" else options.sql
    with connection.reading(connection.database_of(options)) as database:
        try:
            header, rows = connection.ask(database, question)
        except connection.sql_errors() as error:
            raise InputError(f"the database says: {error}") from None
        out = csv.writer(sys.stdout, lineterminator="\n")
        out.writerow(header)
        out.writerows(rows)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser(), job=False))
