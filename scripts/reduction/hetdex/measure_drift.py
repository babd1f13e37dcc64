"""Measure what drifts over months: bias, wavelengths, traces, and the throughput of fibers and amplifiers."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.hetdex.calibration.drift import measure_drift
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.plan import BIAS, TWILIGHT, read_plan


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--reduction", type=Path, required=True, help="its directory, …/reduction/hetdex")
    parser.add_argument("--out", type=Path, required=True, help="CSV to write: a line for each amplifier and month")
    return parser


def main(options: argparse.Namespace) -> None:
    """Measure and write."""
    layout = Layout(options.reduction)
    plan = read_plan(layout.plan)

    def products(step: str, kind: str) -> list[Path]:
        units = [(month, ifu) for month in plan.months for ifu in plan.pairings(month, kind)]
        return [path for unit in units if (path := layout.calibration(step, *unit)).exists()]

    measure_drift(
        products("bias", BIAS),
        products("trace", TWILIGHT),
        products("wavelength", TWILIGHT),
        [path for month in plan.months if (path := layout.amp_to_amp(month)).exists()],
        options.out,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
