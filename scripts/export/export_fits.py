"""Write the spectra of one NSIDE=16 pixel as a FITS file in the layout of DESI's coadds.

The resolution matrices, and whatever else the extracted files do not keep, are read again from the archive.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.export.fits import export_fits
from skyharvest.harvest.options import add_shared, open_archive
from skyharvest.surveys.desi.about import SURVEY
from skyharvest.surveys.desi.batch import with_resolution
from skyharvest.surveys.desi.release import CoaddFile, load_release
from skyharvest.surveys.desi.settings import Settings, Spectra
from skyharvest.surveys.desi.wanted import add_wanted_options, wanted_of


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shared(parser, "--pix16", "--targets", "--release", "--config-hash", "--out")
    add_shared(parser, "--plan", required=True, help="from the plan; its other files are beside it")
    add_shared(parser, "--extracted", nargs=None, metavar="DIR", help="directory of the extracted files")
    add_shared(parser, "--archive", "--connections", "--server-notes")
    add_wanted_options(parser)
    add_options(parser, Settings, targetid_radius="targetid_radius_arcsec")
    add_options(parser, Spectra, "lsf")
    parser.add_argument("--redrock", type=Path, metavar="REDROCK.fits", help="file of redshifts to write, if wanted")
    return parser


def main(options: argparse.Namespace) -> None:
    """Export, and say how much there is."""
    release = load_release(options.release, archive=options.archive)
    plan = SURVEY.read_plan(options.plan)
    pixels = {
        int(pix64): [CoaddFile.of_release(release, *kind, int(pix64)) for kind in plan.files[pix64]]
        for pix64 in plan.units([options.pix16])
    }
    wanted = replace(
        wanted_of(options),
        resolution=not options.no_lsf,
        record_missing=True,
        targetid_radius_arcsec=options.targetid_radius,
    )
    plan_targets = options.plan.with_name("plan_targets.npy")
    cards = {"RELEASE": release.name, "SPECPROD": release.specprod, "CONFHASH": options.config_hash}
    with (
        open_archive(options) as archive,
        with_resolution(archive, pixels, plan_targets, options.extracted, wanted) as extracted,
    ):
        n = export_fits(
            options.pix16, options.targets, extracted, options.out, redrock=options.redrock, attributes=cards
        )
    cli.log.info("%s: %d spectra", options.out, n)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
