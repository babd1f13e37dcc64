"""Model the sky of the whole field in an exposure, and how it is in each amplifier."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options, describe
from skyharvest.reduction.hetdex.settings import Sky, from_options
from skyharvest.reduction.hetdex.spectra.full_sky import fit_full_sky


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument(
        "--multifits", type=Path, nargs="+", required=True, help="directories of the exposure's multifits, by pairing"
    )
    parser.add_argument("--out", type=Path, required=True, help="directory to write")
    add_options(parser, Sky, *describe(Sky))
    return parser


def main(options: argparse.Namespace) -> None:
    """Fit, and write the directory."""
    settings = from_options(Sky, options)
    fit_full_sky(options.multifits, options.out, settings)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
