"""Write all assembled spectra of a run as a HATS catalogue with a margin cache, for LSDB."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.export.hats import PARTITION_ROWS, export_hats
from skyharvest.harvest.options import add_shared
from skyharvest.surveys.desi.about import SURVEY as DESI
from skyharvest.targets.settings import Targets


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--plan", type=Path, required=True, metavar="PLAN.csv", help="from plan_desi.py")
    parser.add_argument(
        "--crossmatches", type=Path, required=True, metavar="DIR", help="directory of the assembled files"
    )
    add_options(parser, Targets, "name")
    add_shared(parser, "--release")
    parser.add_argument("--margin", type=float, default=10.0, help="width of the margin cache, arcsec")
    parser.add_argument("--partition-rows", type=int, default=PARTITION_ROWS, help="rows of a partition, 100 or more")
    add_shared(parser, "--out", metavar="DIR", help="the directory to write")
    return parser


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
