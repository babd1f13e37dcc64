"""Write the page of completeness: what search and fits make of lines that were put into the fibers of all shots."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.plan import read_plan
from skyharvest.report.hetdex_completeness.page import files_of, write_page


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--reduction", type=Path, required=True, help="its directory, …/reduction/hetdex")
    parser.add_argument("--shots", nargs="*", required=True, help="all of them")
    parser.add_argument("--out", type=Path, required=True, help="index.html to write")
    return parser


def main(options: argparse.Namespace) -> None:
    """Write it."""
    layout = Layout(options.reduction)
    write_page(files_of(layout, read_plan(layout.plan), options.shots), options.out)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
