"""Add to a CSV of sky positions the DESI pixel of each row (pix64: NSIDE=64, NESTED) and its group (pix64 // 100)."""

import argparse
import sys
from pathlib import Path

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.harvest.options import add_shared
from skyharvest.targets.compression import COMPRESSIONS
from skyharvest.targets.csv_rows import Names, count_kinds
from skyharvest.targets.pixel_columns import add_pix64
from skyharvest.targets.settings import Targets

MAX_SHOWN = 10


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument(
        "csv", type=Path, metavar="CSV", help="or a FITS, VOTable, ECSV or Parquet table; also compressed"
    )
    add_options(parser, Targets, "ra", "dec", "healpix")
    add_shared(parser, "--out", required=False, help="by default CSV-stem.with_pix64.csv beside the CSV")
    return parser


def main(options: argparse.Namespace) -> None:
    """Copy the CSV with the two columns added."""
    out: Path = options.out or default_out(options.csv)
    n_rows, rejected = add_pix64(options.csv, out, Names(options.ra, options.dec, options.healpix))
    for bad in rejected[:MAX_SHOWN]:
        cli.log.warning("row %d has no pixel: %s", bad.row, bad.reason)
    if len(rejected) > MAX_SHOWN:
        cli.log.warning("... and %d more", len(rejected) - MAX_SHOWN)
    for kind, count in count_kinds(rejected):
        cli.log.warning("%d rows without a pixel: %s", count, kind)
    print(f"{out}: {n_rows:,} rows, {n_rows - len(rejected):,} with a pixel")


def default_out(path: Path) -> Path:
    """Return ``x.with_pix64.csv`` beside ``x.csv`` or ``x.csv.gz``."""
    name = path.name
    for suffix in (*COMPRESSIONS, ".csv"):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
    return path.with_name(f"{name}.with_pix64.csv")


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
