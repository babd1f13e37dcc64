"""Merge the tables of the fibers of shots."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.release.fiber_index import merge_fibers
from skyharvest.reduction.hetdex.release.merging import Source


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--reduction", type=Path, required=True, help="its directory, …/reduction/hetdex")
    parser.add_argument("--shots", nargs="*", default=[], metavar="SHOT", help="such as 20190103v012")
    parser.add_argument("--out", type=Path, required=True, help="release/survey/fiber_index_NAME.h5 to write")
    return parser


def main(options: argparse.Namespace) -> None:
    """Merge, and write."""
    layout = Layout(options.reduction)
    merge_fibers([Source(layout.of_shot("fiber_index", shot), shot) for shot in options.shots], options.out)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
