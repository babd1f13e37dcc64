"""Find the continuum sources of a shot, and extract their spectra."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.reduction.hetdex.settings import from_options, of_step
from skyharvest.reduction.hetdex.source_settings import Continuum
from skyharvest.reduction.hetdex.sources.continuum import find_continuum
from skyharvest.reduction.hetdex.sources.ifu_fibers import add_shot_options, open_shot


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shot_options(parser)
    parser.add_argument("--out", type=Path, required=True, help="continuum/SHOT.h5 to write")
    add_options(parser, Continuum, *of_step(Continuum))
    return parser


def main(options: argparse.Namespace) -> None:
    """Find them."""
    how = from_options(Continuum, options)
    find_continuum(open_shot(options), options.out, how)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
