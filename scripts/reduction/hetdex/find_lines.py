"""Write the emission lines of an IFU in a shot, and the flux that lines need to be seen."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.reduction.hetdex.lines.find_lines import find_lines
from skyharvest.reduction.hetdex.settings import from_options, of_step
from skyharvest.reduction.hetdex.source_settings import Detections
from skyharvest.reduction.hetdex.sources.ifu_fibers import add_shot_options, open_shot


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shot_options(parser)
    parser.add_argument("--ifu", required=True, help="the pairing, such as 008_093_054_0123")
    parser.add_argument("--out", type=Path, required=True, help="directory detections/SHOT/IFU to write")
    add_options(parser, Detections, *of_step(Detections))
    return parser


def main(options: argparse.Namespace) -> None:
    """Write the directory."""
    find_lines(open_shot(options), options.ifu, from_options(Detections, options), options.out)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
