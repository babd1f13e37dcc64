"""Cut a plan's targets out of bricks of the Legacy Surveys, reading only the tiles that their cutouts need."""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.archive.archive import Archive, Cost
from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.harvest.batch import extract_units
from skyharvest.harvest.extracted import write_list
from skyharvest.harvest.journal import Journal, Line
from skyharvest.harvest.plan import BRICK, brick_path, read_bricks
from skyharvest.harvest.progress import Progress
from skyharvest.surveys.desi.extract import absence_check
from skyharvest.surveys.legacysurvey.extract import WantedCutouts, extract_brick, request_of
from skyharvest.surveys.legacysurvey.images import PRODUCTS
from skyharvest.surveys.legacysurvey.plan import bricks_of_plan, targets_of_brick
from skyharvest.surveys.legacysurvey.release import load_release


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--archive", required=True, metavar="ROOT", help="directory or URL that holds dr10/")
    made.add_argument("--release", required=True, help="a key of config/releases.yaml, such as dr10")
    made.add_argument("--brick", nargs="+", required=True, metavar="REGION_BRICKNAME", help="such as south_1234p567")
    made.add_argument("--targets", type=Path, required=True, metavar="PLAN_TARGETS.npy", help="from the plan")
    made.add_argument("--bricks", type=Path, required=True, metavar="PLAN_BRICKS.npy", help="from the plan")
    made.add_argument("--size", type=int, default=160, metavar="PIXELS", help="side of a cutout")
    made.add_argument("--bands", nargs="+", required=True, metavar="BAND", help="such as g r i z")
    made.add_argument("--products", nargs="+", choices=PRODUCTS, default=["image", "invvar", "maskbits"])
    made.add_argument(
        "--extracted", type=Path, required=True, metavar="DIR", help="where to write {group}/{brick}.hdf5"
    )
    made.add_argument("--list", type=Path, metavar="CSV", help="written when all of them are there")
    made.add_argument("--download", type=Path, metavar="DIR", help="download whole files to here, and verify them")
    made.add_argument("--connections", type=int, default=1, help="open connections to the archive, at most")
    made.add_argument("--server-notes", type=Path, help="a file to remember in what the archive's server can do")
    made.add_argument("--journal", type=Path, metavar="CSV", help="append a line to it for every brick")
    made.add_argument("--plan", type=Path, metavar="PLAN.csv", help="say now and then how far the journal has come")
    made.add_argument(
        "--again",
        nargs="*",
        choices=["unreadable", "absent"],
        default=["unreadable"],
        help="read a brick again although it is there, if a file of it was recorded as this",
    )
    made.add_argument(
        "--known",
        metavar="PATH",
        help="a file that the archive has for certain: where that is absent, too, nothing is recorded as absent",
    )
    return made


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
    with Archive(options.archive, connections=max(1, options.connections), notes=options.server_notes) as archive:
        if options.known:
            wanted = replace(wanted, check_absence=absence_check(archive, options.known))

        def extract(brick: str, cost: Cost) -> list[Line]:
            images, targets, request = *planned[brick], requests[brick]
            out = brick_path(options.extracted, brick)
            # Its own: another job may have the same neighbour, and removes what it has read.
            scratch = (options.download or out.parent) / brick
            with archive.metered(cost):
                made = extract_brick(
                    archive, release, images, targets, out, wanted=wanted, request=request, scratch=scratch
                )
            line = Line(time.time(), brick, *BRICK, made.status, len(targets), len(made.rows), rows=made.rows)
            return [replace(line, seconds=cost.seconds, requests=cost.requests, bytes=cost.bytes)]

        requests = {brick: request_of(*of_brick, wanted) for brick, of_brick in planned.items()}
        lines = extract_units(
            requests,
            lambda brick: brick_path(options.extracted, brick),
            extract,
            kind="brick",
            again=options.again,
            journal=Journal(options.journal),
            progress=Progress(options.journal, options.plan, read_bricks),
        )
    if options.list:
        write_list(options.list, lines)
    cli.log.info("%d cutouts of %d bricks", sum(line[1] for line in lines), len(lines))


def of_plan(options: argparse.Namespace, brick: str) -> tuple[Any, Any]:
    """Return the plan's rows of a brick: the images to read, and its targets."""
    region, _, brickname = brick.partition("_")
    if region not in ("north", "south") or not brickname:
        raise InputError(f"--brick {brick}: expected REGION_BRICKNAME, such as south_1234p567")
    images = bricks_of_plan(options.bricks, region, brickname)
    return images, targets_of_brick(options.targets, region, brickname)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
