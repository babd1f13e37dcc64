"""Write the extracted spectra of one NSIDE=16 pixel as a FITS file in the layout of DESI's coadds."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.export.fits import export_fits
from skyharvest.harvest.options import add_shared
from skyharvest.surveys.desi.release import load_release


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shared(parser, "--pix16", "--targets", "--extracted", "--release", "--config-hash", "--out")
    parser.add_argument("--redrock", type=Path, metavar="REDROCK.fits", help="file of redshifts to write, if wanted")
    return parser


def main(options: argparse.Namespace) -> None:
    """Export, and say how much there is."""
    release = load_release(options.release)
    cards = {"RELEASE": release.name, "SPECPROD": release.specprod, "CONFHASH": options.config_hash}
    n = export_fits(
        options.pix16, options.targets, options.extracted, options.out, redrock=options.redrock, attributes=cards
    )
    cli.log.info("%s: %d spectra", options.out, n)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
