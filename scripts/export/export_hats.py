"""Write all assembled spectra of a run as a HATS catalogue with a margin cache, for LSDB."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.export.hats import PARTITION_ROWS, export_hats
from skyharvest.surveys.desi.about import SURVEY as DESI


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--plan", type=Path, required=True, metavar="PLAN.csv", help="from plan_desi.py")
    made.add_argument("--crossmatches", type=Path, required=True, metavar="DIR", help="where assemble_desi.py wrote to")
    made.add_argument("--name", default="chandra", help="HDF5 group that holds the CSV's own columns")
    made.add_argument("--release", required=True, help="a key of config/releases.yaml, such as dr1")
    made.add_argument("--margin", type=float, default=10.0, help="width of the margin cache, arcsec")
    made.add_argument("--partition-rows", type=int, default=PARTITION_ROWS, help="rows of a partition, 100 or more")
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="the directory to write")
    return made


def main(options: argparse.Namespace) -> None:
    """Export, and say how much there is."""
    crossmatches = [DESI.crossmatch(options.crossmatches, pix16) for pix16 in DESI.read_plan(options.plan).searched]
    n = export_hats(
        crossmatches,
        options.out,
        name=options.name,
        release=options.release,
        margin_arcsec=options.margin,
        partition_rows=options.partition_rows,
    )
    cli.log.info("%s: %d rows", options.out, n)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
