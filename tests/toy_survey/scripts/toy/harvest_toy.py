"""Harvest a batch of the toy survey: extract the spectra of a plan's targets from its tables, and assemble them."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.archive.archive import Cost
from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.harvest import job
from skyharvest.harvest.journal import Line
from skyharvest.harvest.settings import Match
from skyharvest.surveys.toy.about import SURVEY
from skyharvest.surveys.toy.assemble import assemble_toy
from skyharvest.surveys.toy.extract import extract_table, request_of
from skyharvest.surveys.toy.plan import targets_of_table
from skyharvest.surveys.toy.release import load_release
from skyharvest.targets.settings import Targets


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_options(parser, Match, radius="radius_arcsec", report_radius="report_radius_arcsec")
    add_options(parser, Targets, "name")
    job.add_options(parser, SURVEY)
    return parser


def main(options: argparse.Namespace) -> None:
    """Harvest all tables of the batch, and write its list."""
    release = load_release(options.release)
    work = job.Job.of(SURVEY, options)
    radii = {"radius": options.radius, "report_radius": options.report_radius}
    planned = {pix16: targets_of_table(work.beside_plan("plan_targets.npy"), pix16) for pix16 in work.units}
    about = {"release": release.name, "config_hash": options.config_hash}

    def assemble(pix16: int, extracted: list[Path], out: Path, made_from: str) -> int:
        attributes = about | {"made_from": made_from}
        [table] = extracted
        return assemble_toy(pix16, table, out, targets=options.targets, name=options.name, attributes=attributes)

    with work.checked_archive() as (archive, check_absence):

        def extract(pix16: int, cost: Cost) -> list[Line]:
            targets, out = planned[pix16], SURVEY.path(options.extracted, pix16)
            with archive.metered(cost):
                status, rows = extract_table(
                    archive, release.table(pix16), targets, out, **radii, check_absence=check_absence
                )
            return [job.line_of_unit(SURVEY, pix16, cost, status=status, n_targets=len(targets), rows=rows)]

        requests = {pix16: request_of(targets, **radii) for pix16, targets in planned.items()}
        work.run(requests, extract, assemble)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
