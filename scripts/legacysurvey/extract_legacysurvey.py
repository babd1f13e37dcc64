"""Cut a plan's targets out of bricks of the Legacy Surveys, reading only the tiles that their cutouts need."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.archive.archive import Cost
from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.core.settings import add_options
from skyharvest.harvest import extraction
from skyharvest.harvest.journal import Line
from skyharvest.harvest.options import add_shared
from skyharvest.surveys.legacysurvey.about import SURVEY
from skyharvest.surveys.legacysurvey.extract import extract_brick, request_of
from skyharvest.surveys.legacysurvey.plan import bricks_of_plan, targets_of_brick
from skyharvest.surveys.legacysurvey.release import load_release
from skyharvest.surveys.legacysurvey.settings import Settings
from skyharvest.surveys.legacysurvey.wanted_cutouts import WantedCutouts


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--brick", nargs="+", required=True, metavar="REGION_BRICKNAME", help="such as south_1234p567")
    parser.add_argument("--bricks", type=Path, required=True, metavar="PLAN_BRICKS.npy", help="from the plan")
    add_options(parser, Settings, "size", "bands", "products")
    add_shared(parser, "--download")
    extraction.add_options(parser, SURVEY)
    return parser


def main(options: argparse.Namespace) -> None:
    """Cut out the targets of all bricks, and write the list."""
    release = load_release(options.release)
    wanted = WantedCutouts(
        size=options.size,
        bands=tuple(options.bands),
        products=tuple(options.products),
        whole_files=options.download is not None,
    )
    planned = {brick: of_plan(options, brick) for brick in options.brick}
    requests = {brick: request_of(*of_brick, wanted) for brick, of_brick in planned.items()}
    with extraction.checked_archive(options) as (archive, check_absence):
        wanted = replace(wanted, check_absence=check_absence)

        def extract(brick: str, cost: Cost) -> list[Line]:
            images, targets = planned[brick]
            out = SURVEY.path(options.extracted, brick)
            # Its own: another job may have the same neighbour, and removes what it has read.
            scratch = (options.download or out.parent) / brick
            with archive.metered(cost):
                done = extract_brick(
                    archive, release, images, targets, out, wanted=wanted, request=requests[brick], scratch=scratch
                )
            return [
                extraction.line_of_unit(SURVEY, brick, cost, status=done.status, n_targets=len(targets), rows=done.rows)
            ]

        extraction.extract_all(options, SURVEY, requests, extract)


def of_plan(options: argparse.Namespace, brick: str) -> tuple[Any, Any]:
    """Return the plan's rows of a brick: the images to read, and its targets."""
    region, _, brickname = brick.partition("_")
    if region not in ("north", "south") or not brickname:
        raise InputError(f"--brick {brick}: expected REGION_BRICKNAME, such as south_1234p567")
    images = bricks_of_plan(options.bricks, region, brickname)
    return images, targets_of_brick(options.targets, region, brickname)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
