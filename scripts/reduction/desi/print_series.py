"""Print a metric of a production as a time series, as CSV: QATYPE-METRIC by MJD, exposure time, or expid."""

import argparse
import csv
import sys
from dataclasses import astuple, fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.desi.qa.series import BY, Point, series


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("metric", help="such as SKYSUB-MED_RESID; without an amplifier's letter, of all four")
    parser.add_argument("--production", type=Path, required=True, help="its directory, …/spectro/redux/SPECPROD")
    parser.add_argument("--by", choices=list(BY), default="mjd", help="texp is the exposure time")
    parser.add_argument("--conditions", choices=["bright", "dark"], help="only exposures of tiles for such a sky")
    parser.add_argument("--night", type=int, help="only its exposures")
    return parser


def main(options: argparse.Namespace) -> None:
    """Print."""
    points = series(options.production, options.metric, options.by, options.conditions, options.night)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([options.by if field.name == "x" else field.name for field in fields(Point)])
    writer.writerows(map(astuple, points))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser(), job=False))
