"""Index the fibers of a shot: their places with HEALPix pixels, and flags of what is wrong with them."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.reduction.hetdex.release.fiber_index import write_fibers_of_shot
from skyharvest.reduction.hetdex.settings import from_options, of_step
from skyharvest.reduction.hetdex.source_settings import Flags


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--shot", required=True, help="its name, such as 20190103v012")
    parser.add_argument("--file", type=Path, required=True, help="shots/SHOT.h5")
    parser.add_argument("--out", type=Path, required=True, help="fiber_index/SHOT.h5 to write")
    add_options(parser, Flags, *of_step(Flags))
    return parser


def main(options: argparse.Namespace) -> None:
    """Write the table."""
    settings = from_options(Flags, options)
    write_fibers_of_shot(options.shot, options.file, options.out, settings)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
