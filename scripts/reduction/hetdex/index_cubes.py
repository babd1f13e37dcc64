"""Write the table of all data cubes of a release."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.release.cube_index import write_index


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--reduction", type=Path, required=True, help="directory of the reduction")
    parser.add_argument("--shots", nargs="*", default=[], metavar="SHOT", help="names of shots, such as 20190103v012")
    parser.add_argument("--out", type=Path, required=True, help="ifu-index.fits to write")
    parser.add_argument(
        "--no-limits", action="store_true", help="flux limits that are there are old: lines are not looked for"
    )
    return parser


def main(options: argparse.Namespace) -> None:
    """Write it."""
    write_index(Layout(options.reduction), options.shots, options.out, limits=not options.no_limits)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
