"""Extract the aperture spectra of a plan's targets from HETDEX cubes: of each cube all of its sources at once."""

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
from skyharvest.surveys.hetdex.about import SURVEY
from skyharvest.surveys.hetdex.cube import Masking
from skyharvest.surveys.hetdex.extract import WantedSpectra, extract_cube
from skyharvest.surveys.hetdex.maps import MapRequest
from skyharvest.surveys.hetdex.plan import cube_of_plan, targets_of_cube
from skyharvest.surveys.hetdex.release import load_release
from skyharvest.surveys.hetdex.settings import Maps, Settings


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--cube", nargs="+", required=True, metavar="SHOTID_IFUSLOT", help="such as 20190102009_034")
    parser.add_argument("--cubes", type=Path, required=True, metavar="PLAN_CUBES.npy", help="from the plan")
    add_options(parser, Settings, "min_coverage", "exclude_bits", "keep_bits", "include_only_bits", "optimal")
    add_options(parser, Settings, radius="aperture_radius_arcsec")
    add_options(parser, Maps, map_size="size_arcsec", map_half_width="half_width")
    parser.set_defaults(map_size=None)  # no maps
    add_shared(parser, "--download", required=True)
    extraction.add_options(parser, SURVEY)
    return parser


def main(options: argparse.Namespace) -> None:
    """Extract all cubes, and write the list."""
    release = load_release(options.release)
    wanted = WantedSpectra(
        radius_arcsec=options.radius,
        min_coverage=options.min_coverage,
        masking=Masking(options.exclude_bits, options.keep_bits, options.include_only_bits),
        optimal=options.optimal,
        maps=None if options.map_size is None else MapRequest(options.map_size, half_width=options.map_half_width),
    )
    with extraction.checked_archive(options) as (archive, check_absence):
        planned = {cube: of_plan(options, cube, replace(wanted, check_absence=check_absence)) for cube in options.cube}
        paths = {cube: release.cube(*shotid_and_slot(cube)) for cube in planned}

        def extract(cube: str, cost: Cost) -> list[Line]:
            targets, how = planned[cube]
            out = SURVEY.path(options.extracted, cube)
            with archive.metered(cost):
                done = extract_cube(archive, paths[cube], targets, out, wanted=how, scratch=options.download)
            return [
                extraction.line_of_unit(SURVEY, cube, cost, status=done.status, n_targets=len(targets), rows=done.rows)
            ]

        requests = {cube: how.request(paths[cube], targets) for cube, (targets, how) in planned.items()}
        extraction.extract_all(options, SURVEY, requests, extract)


def of_plan(options: argparse.Namespace, cube: str, wanted: WantedSpectra) -> tuple[Any, WantedSpectra]:
    """Return the plan's targets of a cube, and what is wanted of it: the seeing is its own."""
    shotid, ifuslot = shotid_and_slot(cube)
    seeing = float(cube_of_plan(options.cubes, shotid, ifuslot)["fwhm_virus"])
    return targets_of_cube(options.targets, shotid, ifuslot), replace(wanted, fwhm_arcsec=seeing)


def shotid_and_slot(cube: str) -> tuple[int, str]:
    """Return the two parts of a cube's name."""
    shotid, _, ifuslot = cube.partition("_")
    if not (shotid.isdecimal() and ifuslot.isdecimal()):
        raise InputError(f"--cube {cube}: expected SHOTID_IFUSLOT, such as 20190102009_034")
    return int(shotid), ifuslot


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
