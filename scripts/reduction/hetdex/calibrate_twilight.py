"""Calibrate a pairing's amplifiers with a month's twilight: wavelengths, and the throughput of fibers."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options, describe
from skyharvest.reduction.hetdex.calibration.twilight import calibrate_twilight
from skyharvest.reduction.hetdex.settings import Background, FiberToFiber, Wavelength

SECTIONS = (Wavelength, FiberToFiber, Background)


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--trace", type=Path, required=True, help="traces and master twilights of the pairing")
    parser.add_argument("--flat", type=Path, required=True, help="directory with its pixel flats")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    for section in SECTIONS:
        add_options(parser, section, *describe(section))
    return parser


def main(options: argparse.Namespace) -> None:
    """Calibrate and write."""
    said = [{key: getattr(options, key) for key in describe(section)} for section in SECTIONS]
    settings = (Wavelength(**said[0]), FiberToFiber(**said[1]), Background(**said[2]))
    calibrate_twilight(options.trace, options.flat, options.out, *settings)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
