"""Write the extracted spectra of one NSIDE=16 pixel as a FITS file in the layout of DESI's coadds."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.export.fits import export_fits
from skyharvest.surveys.desi.release import load_release


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--pix16", type=int, required=True, help="NSIDE=16 NESTED pixel of the CSV's positions")
    made.add_argument("--targets", type=Path, required=True, metavar="TARGETS.parquet", help="from prepare_targets.py")
    made.add_argument("--extracted", type=Path, nargs="+", required=True, help="from extract_desi.py")
    made.add_argument("--release", required=True, help="a key of config/releases.yaml, such as dr1")
    made.add_argument("--config-hash", default="", help="of the run's configuration (recorded)")
    made.add_argument("--out", type=Path, required=True, metavar="COADD.fits", help="the file to write")
    made.add_argument("--redrock", type=Path, metavar="REDROCK.fits", help="the file of redshifts to write, if wanted")
    return made


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
