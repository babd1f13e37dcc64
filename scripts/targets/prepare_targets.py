"""Read and check a CSV of sky positions: targets.parquet, rejected.csv, pix64.txt and pix64_counts.csv."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.harvest.options import add_shared
from skyharvest.targets.settings import Targets
from skyharvest.targets.table import read_targets, summary, write_targets


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument(
        "csv", type=Path, metavar="CSV", help="the targets: CSV, FITS, VOTable, ECSV or Parquet; also compressed"
    )
    add_shared(parser, "--out-dir")
    add_options(parser, Targets, "ra", "dec", "healpix", "targetid", "text")
    return parser


def main(options: argparse.Namespace) -> None:
    """Read, check, write, and show the totals."""
    targets = read_targets(options.csv, options.ra, options.dec, options.healpix, options.targetid, text=options.text)
    write_targets(targets, options.out_dir)
    print(summary(targets, options.out_dir))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
