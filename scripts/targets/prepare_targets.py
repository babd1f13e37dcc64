"""Read and check a CSV of sky positions: targets.parquet, rejected.csv, pix64.txt and pix64_counts.csv."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.targets.table import read_targets, summary, write_targets


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("csv", type=Path, metavar="CSV", help="the targets, plain or .gz")
    made.add_argument("--out-dir", type=Path, required=True, metavar="DIR", help="where the four files go")
    made.add_argument("--ra", default="RA_DESI", help="column of the right ascension, degrees")
    made.add_argument("--dec", default="DEC_DESI", help="column of the declination, degrees")
    made.add_argument("--healpix", help="an NSIDE=16 NESTED column to check against RA and Dec")
    made.add_argument("--targetid", help="a column of DESI TARGETIDs; rows without one are rejected")
    return made


def main(options: argparse.Namespace) -> None:
    """Read, check, write, and show the totals."""
    targets = read_targets(options.csv, options.ra, options.dec, options.healpix, options.targetid)
    write_targets(targets, options.out_dir)
    print(summary(targets, options.out_dir))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
