"""Put lines of known light into the fibers of an IFU in a shot, look for them, and write which are found."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.reduction.hetdex.lines.completeness import write_completeness
from skyharvest.reduction.hetdex.settings import from_options, of_step
from skyharvest.reduction.hetdex.source_settings import Completeness, Detections
from skyharvest.reduction.hetdex.sources.ifu_fibers import add_shot_options, open_shot


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shot_options(parser)
    parser.add_argument("--ifu", required=True, help="its pairing, SPECID_IFUSLOT_IFUID_CONTID")
    parser.add_argument("--out", type=Path, required=True, help="completeness/SHOT/IFU.h5 to write")
    for kind in (Completeness, Detections):
        add_options(parser, kind, *of_step(kind))
    return parser


def main(options: argparse.Namespace) -> None:
    """Measure and write."""
    how = from_options(Completeness, options)
    search = from_options(Detections, options)
    fibers = open_shot(options)
    write_completeness(options.out, fibers, options.ifu, how, search)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
