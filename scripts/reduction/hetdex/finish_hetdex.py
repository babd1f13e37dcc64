"""Say that a reduction is complete; fail, with what to do, if something of it has failed."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.complete import write_complete
from skyharvest.reduction.hetdex.ledger_file import check_complete


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--ledger", type=Path, required=True, help="of account_hetdex.py")
    parser.add_argument("--summary", type=Path, required=True, help="of account_hetdex.py")
    parser.add_argument("--out", type=Path, required=True, help="complete.json to write: the summary")
    return parser


def main(options: argparse.Namespace) -> None:
    """Check, and write."""
    write_complete(options.ledger, options.summary, options.out, check_complete)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
