"""Collect the emission lines of shots: those of each IFU, in one file; a month's, usually."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.plan import read_plan
from skyharvest.reduction.hetdex.release.merged_detections import merge_detections, sources_of_shots


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--reduction", type=Path, required=True, help="its directory, …/reduction/hetdex")
    parser.add_argument("--shots", nargs="*", default=[], metavar="SHOT", help="such as 20190103v012")
    parser.add_argument("--out", type=Path, required=True, help="release/detect/months/detect_MONTH.h5 to write")
    return parser


def main(options: argparse.Namespace) -> None:
    """Collect, and write."""
    layout = Layout(options.reduction)
    merge_detections(sources_of_shots(layout, read_plan(layout.plan), options.shots), options.out)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
