"""Measure what drifts over months: bias, wavelengths, traces, and the throughput of fibres and amplifiers."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.hetdex.drift import measure_drift


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    for option, what in (
        ("biases", "biases, MONTH/PAIRING.fits"),
        ("traces", "traces"),
        ("wavelengths", "twilight calibrations"),
        ("amp-to-amps", "comparisons of amplifiers, MONTH.fits"),
    ):
        parser.add_argument(f"--{option}", type=Path, nargs="*", default=[], metavar="FITS", help=what)
    parser.add_argument("--out", type=Path, required=True, help="CSV to write: a line for each amplifier and month")
    return parser


def main(options: argparse.Namespace) -> None:
    """Measure and write."""
    measure_drift(options.biases, options.traces, options.wavelengths, options.amp_to_amps, options.out)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
