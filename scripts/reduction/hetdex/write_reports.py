"""Write the reports of a shot's detections: a picture of each, in an SQLite file, and the list of them."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.reduction.hetdex.settings import from_options, of_step
from skyharvest.reduction.hetdex.source_settings import Reports
from skyharvest.reduction.hetdex.sources.ifu_fibers import add_shot_options, open_shot
from skyharvest.report.hetdex_detections.write_reports import Inputs, write_reports


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shot_options(parser)
    parser.add_argument(
        "--multifits", type=Path, nargs="*", default=[], metavar="DIR", help="directories science/SHOT/expNN/IFU"
    )
    parser.add_argument(
        "--detections", type=Path, nargs="*", default=[], metavar="DIR", help="directories detections/SHOT/IFU"
    )
    parser.add_argument("--continuum", type=Path, nargs="?", metavar="FILE", help="continuum/SHOT.h5")
    parser.add_argument(
        "--star-catalogue", type=Path, nargs="?", metavar="TABLE", help="stars that are named as neighbours"
    )
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="a harvest's results: cutouts of the Legacy Surveys are shown"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="reports/SHOT.csv to write; elixer_reports_SHOTID.db stands beside it"
    )
    add_options(parser, Reports, *of_step(Reports))
    return parser


def main(options: argparse.Namespace) -> None:
    """Write them."""
    inputs = Inputs(
        multifits=options.multifits,
        lines=options.detections,
        continuum=options.continuum,
        catalogue=options.star_catalogue,
        results=options.results,
    )
    write_reports(open_shot(options), inputs, options.out, from_options(Reports, options))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
