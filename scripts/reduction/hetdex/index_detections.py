"""Index the detections of the release, as the harvest of public releases reads it; and write wdcor.txt beside it."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.reduction.hetdex.release.detect_index import write_detect_index
from skyharvest.reduction.hetdex.settings import Settings


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_options(parser, Settings, "release")
    parser.add_argument("--lines", type=Path, nargs="*", default=[], metavar="FILE", help="detect_NAME.h5")
    parser.add_argument("--continuum", type=Path, nargs="*", default=[], metavar="FILE", help="cont_NAME.h5")
    parser.add_argument("--out", type=Path, required=True, help="release/detect/detect_index_hdr5.h5 to write")
    return parser


def main(options: argparse.Namespace) -> None:
    """Write both."""
    write_detect_index(options.lines, options.continuum, options.release, options.out)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
