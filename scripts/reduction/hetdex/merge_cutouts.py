"""Merge the cutouts of shots into one file. The order of shots does not matter."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.release.merged_cutouts import merge_cutouts
from skyharvest.reduction.hetdex.release.merging import Source


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--reduction", type=Path, required=True, help="its directory, …/reduction/hetdex")
    parser.add_argument(
        "--shots", nargs="*", required=True, metavar="SHOT", help="those whose im2D/im2D_SHOTID.h5 it is"
    )
    parser.add_argument("--out", type=Path, required=True, help="release/im2D_NAME.h5 to write")
    return parser


def main(options: argparse.Namespace) -> None:
    """Merge, and write."""
    layout = Layout(options.reduction)
    n = merge_cutouts([Source(layout.cutouts(shot), shot) for shot in options.shots], options.out)
    cli.log.info("%s: %d detections", options.out, n)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
