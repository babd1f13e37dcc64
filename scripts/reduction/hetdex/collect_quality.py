"""Collect how good a shot or a month is: a JSON of all values of its products, judged by limits, what is bad first."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.ledger import Account
from skyharvest.reduction.hetdex.plan import read_plan
from skyharvest.reduction.hetdex.qa.collect import collect_month, collect_shot
from skyharvest.reduction.hetdex.qa.collected import path_of_shot, read_json, write_json
from skyharvest.reduction.hetdex.qa.limits import read_limits
from skyharvest.reduction.hetdex.settings import Quality
from skyharvest.reduction.hetdex.steps import add_chosen, chosen_by


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--reduction", type=Path, required=True, help="its directory, …/reduction/hetdex")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--shot", help="such as 20190103v012")
    which.add_argument("--month", type=int, help="YYYYMM; its shots have been collected")
    add_chosen(parser)
    parser.add_argument("--out", type=Path, required=True, help="the JSON to write")
    add_options(parser, Quality, "limits")
    return parser


def main(options: argparse.Namespace) -> None:
    """Collect, and write."""
    layout = Layout(options.reduction)
    limits = read_limits(Path(options.limits) if options.limits else None)
    if options.shot:
        made = collect_shot(layout, read_plan(layout.plan), options.shot, limits, chosen_by(options))
    else:
        account = Account(options.reduction, month=options.month, chosen=chosen_by(options))
        shots = (read_json(path_of_shot(layout.directory, shot)) for shot in account.plan.shots)
        made = collect_month(account, options.month, limits, shots)
    write_json(made, options.out)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
