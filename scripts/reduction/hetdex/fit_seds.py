"""Fit what each star of a shot sends: a spectrum above the atmosphere, from its magnitudes or the user's own."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options, describe
from skyharvest.reduction.hetdex.settings import Seds, from_options
from skyharvest.reduction.hetdex.stars.sed import fit_seds


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--stars", type=Path, required=True, help="stars/SHOT.h5")
    parser.add_argument("--seds", type=Path, metavar="DIR", help="spectra of stars, or templates")
    parser.add_argument("--out", type=Path, required=True, help="seds/SHOT.h5 to write")
    add_options(parser, Seds, *describe(Seds))
    return parser


def main(options: argparse.Namespace) -> None:
    """Fit, and write the file."""
    how = from_options(Seds, options)
    fit_seds(options.stars, options.seds, options.out, how)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
