"""Assemble the extracted HETDEX spectra of one NSIDE=16 pixel into crossmatch_hetdex.hdf5."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.harvest.options import add_shared
from skyharvest.surveys.hetdex.assemble import assemble_hetdex
from skyharvest.surveys.hetdex.settings import Settings
from skyharvest.targets.settings import Targets


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shared(parser, "--pix16", "--targets", "--plan-targets", "--extracted", "--out", "--release", "--config-hash")
    parser.add_argument("--plan-cubes", type=Path, required=True, metavar="PLAN_CUBES.npy", help="from plan_hetdex.py")
    add_options(parser, Targets, "name")
    add_options(parser, Settings, radius="aperture_radius_arcsec")
    parser.add_argument("--fits", type=Path, metavar="DIR", help="write each source's maps there as well")
    return parser


def main(options: argparse.Namespace) -> None:
    """Assemble, and say how much there is."""
    n = assemble_hetdex(
        options.pix16,
        options.extracted,
        options.out,
        targets=options.targets,
        plan_targets=options.plan_targets,
        plan_cubes=options.plan_cubes,
        name=options.name,
        attributes={
            "release": options.release,
            "aperture_radius_arcsec": options.radius,
            "config_hash": options.config_hash,
        },
        fits=options.fits,
    )
    cli.log.info("%s: %d spectra", options.out, n)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
