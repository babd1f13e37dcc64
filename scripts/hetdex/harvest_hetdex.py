"""Harvest a batch of HETDEX: extract the aperture spectra of each cube's targets at once, and assemble them."""

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
from skyharvest.surveys.hetdex.about import FITS_DIRECTORY, SURVEY
from skyharvest.surveys.hetdex.assemble import assemble_hetdex
from skyharvest.surveys.hetdex.cube import Masking
from skyharvest.surveys.hetdex.extract import WantedSpectra, extract_cube
from skyharvest.surveys.hetdex.index import CONTENT
from skyharvest.surveys.hetdex.maps import MapRequest
from skyharvest.surveys.hetdex.plan import cube_of_plan, targets_of_cube
from skyharvest.surveys.hetdex.release import load_release
from skyharvest.surveys.hetdex.settings import Maps, Settings
from skyharvest.targets.settings import Targets


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_options(parser, Settings, "min_coverage", "exclude_bits", "keep_bits", "include_only_bits", "optimal")
    add_options(parser, Settings, radius="aperture_radius_arcsec")
    add_options(parser, Maps, map_size="size_arcsec", map_half_width="half_width")
    add_options(parser, Maps, map_fits="fits")
    add_options(parser, Targets, "name")
    parser.set_defaults(map_size=None)  # no maps
    add_shared(parser, "--download", required=True)
    job.add_options(parser, SURVEY)
    return parser


def main(options: argparse.Namespace) -> None:
    """Harvest all cubes of the batch, and write its list."""
    release = load_release(options.release)
    work = job.Job.of(SURVEY, options)
    plan_targets, plan_cubes = work.beside_plan("plan_targets.npy"), work.beside_plan("plan_cubes.npy")
    wanted = WantedSpectra(
        radius_arcsec=options.radius,
        min_coverage=options.min_coverage,
        masking=Masking(options.exclude_bits, options.keep_bits, options.include_only_bits),
        optimal=options.optimal,
        maps=None if options.map_size is None else MapRequest(options.map_size, half_width=options.map_half_width),
    )

    def assemble(pix16: int, extracted: list[Path], out: Path, made_from: str) -> int:
        return assemble_hetdex(
            pix16,
            extracted,
            out,
            targets=options.targets,
            plan_targets=plan_targets,
            plan_cubes=plan_cubes,
            name=options.name,
            attributes={
                "release": release.name,
                "aperture_radius_arcsec": options.radius,
                "config_hash": options.config_hash,
                "made_from": made_from,
            },
            fits=out.with_name(FITS_DIRECTORY) if options.map_fits else None,
        )

    with work.checked_archive() as (archive, check_absence):
        paths = {cube: release.cube(*shotid_and_slot(cube)) for cube in work.units}
        planned = {
            cube: of_plan(plan_targets, plan_cubes, cube, replace(wanted, check_absence=check_absence))
            for cube in work.units
        }

        def extract(cube: str, cost: Cost) -> list[Line]:
            targets, how = planned[cube]
            out = SURVEY.path(options.extracted, cube)
            with archive.metered(cost):
                done = extract_cube(archive, paths[cube], targets, out, wanted=how, scratch=work.scratch)
            return [job.line_of_unit(SURVEY, cube, cost, status=done.status, n_targets=len(targets), rows=done.rows)]

        requests = {cube: how.request(paths[cube], targets) for cube, (targets, how) in planned.items()}
        work.run(requests, extract, assemble, beside=[FITS_DIRECTORY] if options.map_fits else [])


def of_plan(plan_targets: Path, plan_cubes: Path, cube: str, wanted: WantedSpectra) -> tuple[Any, WantedSpectra]:
    """Return the plan's targets of a cube, and what is wanted of it: seeing and content are its own."""
    shotid, ifuslot = shotid_and_slot(cube)
    listed = cube_of_plan(plan_cubes, shotid, ifuslot)
    own = replace(wanted, fwhm_arcsec=float(listed["fwhm_virus"]), content=listed[CONTENT].decode())
    return targets_of_cube(plan_targets, shotid, ifuslot), own


def shotid_and_slot(cube: str) -> tuple[int, str]:
    """Return the two parts of a cube's name, such as 20190102009_034."""
    shotid, _, ifuslot = cube.partition("_")
    return int(shotid), ifuslot


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
