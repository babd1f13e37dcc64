"""Account for a reduction: every frame, and every step of every amplifier, exposure and shot, exactly once."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.hetdex.ledger import Account
from skyharvest.reduction.hetdex.ledger_file import write_ledger
from skyharvest.reduction.hetdex.steps import add_chosen, chosen_by


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--reduction", type=Path, required=True, help="its directory, …/results/reduction/hetdex")
    parser.add_argument("--logs", type=Path, help="directory of the jobs' logs (default: …/results/logs)")
    add_chosen(parser)
    parser.add_argument("--ledger", type=Path, required=True, help="CSV to write: a line for each frame and each step")
    parser.add_argument("--summary", type=Path, required=True, help="JSON to write: steps × states")
    return parser


def main(options: argparse.Namespace) -> None:
    """Write both."""
    account = Account(options.reduction, options.logs, chosen=chosen_by(options))
    write_ledger(account, options.ledger, options.summary)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
