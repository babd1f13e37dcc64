"""Write pages of quality: those of a month and its shots; or, when months have theirs, the first page."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.report.hetdex_qa.commands import Commands
from skyharvest.report.hetdex_qa.first import write_site
from skyharvest.report.hetdex_qa.month import write_month


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--reduction", type=Path, required=True, help="its directory, …/reduction/hetdex")
    parser.add_argument("--logs", type=Path, required=True, help="the run's logs: hetdex_STEP/….log in it")
    parser.add_argument("--drift", type=Path, help="the table of what drifts over months")
    parser.add_argument("--configfile", type=Path, nargs="*", default=[], help="as Snakemake was given them")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--month", type=int, help="YYYYMM, which has been collected")
    which.add_argument("--months", type=int, nargs="*", help="all months, which have their pages")
    return parser


def main(options: argparse.Namespace) -> None:
    """Write them."""
    layout = Layout(options.reduction)
    commands = Commands(layout, options.logs, tuple(options.configfile))
    if options.month:
        write_month(commands, options.month)
    else:
        write_site(commands, options.months, options.drift, layout.left_out)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
