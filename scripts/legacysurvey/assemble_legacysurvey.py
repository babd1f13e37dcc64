"""Assemble the cutouts of one NSIDE=16 pixel into crossmatch_legacysurvey.hdf5."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.harvest.options import add_shared
from skyharvest.surveys.legacysurvey.assemble import assemble_legacysurvey
from skyharvest.surveys.legacysurvey.settings import Settings
from skyharvest.targets.settings import Targets


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shared(parser, "--pix16", "--targets", "--extracted", "--out", "--release", "--config-hash")
    add_options(parser, Targets, "name")
    add_options(parser, Settings, radii="aperture_radii_arcsec")
    parser.add_argument("--contact-sheet", type=Path, metavar="PNG", help="draw all cutouts there as well")
    return parser


def main(options: argparse.Namespace) -> None:
    """Assemble, and say how much there is."""
    n = assemble_legacysurvey(
        options.pix16,
        options.extracted,
        options.out,
        targets=options.targets,
        name=options.name,
        attributes={"release": options.release, "config_hash": options.config_hash},
        radii_arcsec=options.radii,
    )
    cli.log.info("%s: %d cutouts", options.out, n)
    if options.contact_sheet:
        from skyharvest.surveys.legacysurvey.contact_sheet import make_sheet  # noqa: PLC0415 (Pillow)

        make_sheet(options.out, options.contact_sheet, name=options.name)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
