"""Map how the pixels of a pairing behave over a month, and list those that are bad."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options, describe
from skyharvest.reduction.hetdex.settings import ResidualMaps, from_options
from skyharvest.reduction.hetdex.spectra.residual_maps import write_residual_maps


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument(
        "--multifits", type=Path, nargs="+", required=True, help="directories science/SHOT/expNN/IFU of the month"
    )
    parser.add_argument("--out", type=Path, required=True, help="residuals/MONTH/IFU to write, a directory")
    add_options(parser, ResidualMaps, *describe(ResidualMaps))
    return parser


def main(options: argparse.Namespace) -> None:
    """Map, and write the directory."""
    how = from_options(ResidualMaps, options)
    write_residual_maps(options.multifits, options.out, how)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
