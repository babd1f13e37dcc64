"""Merge files of detections: of the emission lines of months, or of the continuum sources of shots."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.release.merged_detections import merge_detections
from skyharvest.reduction.hetdex.release.merging import Source


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--reduction", type=Path, help="its directory, …/reduction/hetdex")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--months", nargs="*", metavar="MONTH", help="emission lines of the reduction's months, YYYYMM")
    which.add_argument("--shots", nargs="*", metavar="SHOT", help="continuum sources of the reduction's shots")
    which.add_argument("--files", type=Path, nargs="*", help="any files of detections, such as of several reductions")
    parser.add_argument("--out", type=Path, required=True, help="release/detect/detect_NAME.h5, or cont_NAME.h5")
    return parser


def main(options: argparse.Namespace) -> None:
    """Merge, and write."""
    files = options.files
    if files is None:
        if options.reduction is None:
            raise InputError("found no --reduction; expected its directory, as --months or --shots are given")
        layout = Layout(options.reduction)
        files = [layout.detections_of_month(month) for month in options.months or ()]
        files += [layout.of_shot("continuum", shot) for shot in options.shots or ()]
    merge_detections([Source.named(path) for path in files], options.out)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
