"""Compare the amplifiers of the field by a month's twilights."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options, describe
from skyharvest.reduction.hetdex.calibration.amp_to_amp import compare_amps
from skyharvest.reduction.hetdex.settings import AmpToAmp, from_options


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument(
        "--wavelengths", type=Path, nargs="+", required=True, help="twilight calibrations of the month's pairings"
    )
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    add_options(parser, AmpToAmp, *describe(AmpToAmp))
    return parser


def main(options: argparse.Namespace) -> None:
    """Compare and write."""
    settings = from_options(AmpToAmp, options)
    compare_amps(options.wavelengths, options.out, settings)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
