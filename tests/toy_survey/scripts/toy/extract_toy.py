"""Extract the spectra of a plan's targets from tables of the toy survey."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.archive.archive import Cost
from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.harvest import extraction
from skyharvest.harvest.journal import Line
from skyharvest.harvest.settings import Match
from skyharvest.surveys.toy.about import SURVEY
from skyharvest.surveys.toy.extract import extract_table, request_of
from skyharvest.surveys.toy.plan import targets_of_table
from skyharvest.surveys.toy.release import load_release


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--table", type=int, nargs="+", required=True, metavar="PIX16", help="NSIDE=16 pixels")
    add_options(parser, Match, radius="radius_arcsec", report_radius="report_radius_arcsec")
    extraction.add_options(parser, SURVEY)
    return parser


def main(options: argparse.Namespace) -> None:
    """Extract from all tables, and write the list."""
    release = load_release(options.release)
    radii = {"radius": options.radius, "report_radius": options.report_radius}
    planned = {pix16: targets_of_table(options.targets, pix16) for pix16 in options.table}
    with extraction.checked_archive(options) as (archive, check_absence):

        def extract(pix16: int, cost: Cost) -> list[Line]:
            targets, out = planned[pix16], SURVEY.path(options.extracted, pix16)
            with archive.metered(cost):
                status, rows = extract_table(
                    archive, release.table(pix16), targets, out, **radii, check_absence=check_absence
                )
            return [extraction.line_of_unit(SURVEY, pix16, cost, status=status, n_targets=len(targets), rows=rows)]

        requests = {pix16: request_of(targets, **radii) for pix16, targets in planned.items()}
        extraction.extract_all(options, SURVEY, requests, extract)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
