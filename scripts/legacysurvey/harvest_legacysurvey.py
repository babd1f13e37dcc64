"""Harvest a batch of the Legacy Surveys: cut targets out of bricks, reading only the tiles that they need."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.archive.archive import Cost
from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.harvest import job
from skyharvest.harvest.journal import Line
from skyharvest.harvest.options import add_shared
from skyharvest.surveys.legacysurvey.about import CONTACT_SHEET, SURVEY
from skyharvest.surveys.legacysurvey.assemble import assemble_legacysurvey
from skyharvest.surveys.legacysurvey.extract import extract_brick, request_of
from skyharvest.surveys.legacysurvey.plan import bricks_of_plan, targets_of_brick
from skyharvest.surveys.legacysurvey.release import load_release
from skyharvest.surveys.legacysurvey.settings import Settings
from skyharvest.surveys.legacysurvey.wanted_cutouts import WantedCutouts
from skyharvest.targets.settings import Targets


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_options(parser, Settings, "size", "bands", "products", "contact_sheets")
    add_options(parser, Settings, radii="aperture_radii_arcsec")
    add_options(parser, Targets, "name")
    add_shared(parser, "--download")
    job.add_options(parser, SURVEY)
    return parser


def main(options: argparse.Namespace) -> None:
    """Harvest all bricks of the batch, and write its list."""
    release = load_release(options.release)
    work = job.Job.of(SURVEY, options)
    wanted = WantedCutouts(
        size=options.size,
        bands=tuple(options.bands),
        products=tuple(options.products),
        whole_files=options.download is not None,
    )
    planned = {brick: of_plan(work, brick) for brick in work.units}
    requests = {brick: request_of(*of_brick, wanted) for brick, of_brick in planned.items()}

    def assemble(pix16: int, extracted: list[Path], out: Path, made_from: str) -> int:
        n = assemble_legacysurvey(
            pix16,
            extracted,
            out,
            targets=options.targets,
            name=options.name,
            attributes={"release": release.name, "config_hash": options.config_hash, "made_from": made_from},
            radii_arcsec=options.radii,
        )
        if not options.no_contact_sheets:
            from skyharvest.surveys.legacysurvey.contact_sheet import make_sheet  # noqa: PLC0415 (Pillow)

            make_sheet(out, out.with_name(CONTACT_SHEET), name=options.name)
        return n

    with work.checked_archive() as (archive, check_absence):
        wanted = replace(wanted, check_absence=check_absence)

        def extract(brick: str, cost: Cost) -> list[Line]:
            images, targets = planned[brick]
            out = SURVEY.path(options.extracted, brick)
            scratch = work.scratch / brick
            with archive.metered(cost):
                done = extract_brick(
                    archive, release, images, targets, out, wanted=wanted, request=requests[brick], scratch=scratch
                )
            return [job.line_of_unit(SURVEY, brick, cost, status=done.status, n_targets=len(targets), rows=done.rows)]

        work.run(requests, extract, assemble, beside=[] if options.no_contact_sheets else [CONTACT_SHEET])


def of_plan(work: job.Job, brick: str) -> tuple[Any, Any]:
    """Return the plan's rows of a brick, such as south_1234p567: the images to read, and its targets."""
    region, _, brickname = brick.partition("_")
    images = bricks_of_plan(work.beside_plan("plan_bricks.npy"), region, brickname)
    return images, targets_of_brick(work.beside_plan("plan_targets.npy"), region, brickname)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
