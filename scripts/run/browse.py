"""Make the page to look at the spectra of one pixel with: healpix=N.html, which opens from disk."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.browser.page import write_page
from skyharvest.core import cli


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--desi", type=Path, metavar="FILE", help="crossmatch_desi.hdf5")
    made.add_argument("--hetdex", type=Path, metavar="FILE", help="crossmatch_hetdex.hdf5 of the same pixel")
    made.add_argument("--images", type=Path, metavar="FILE", help="crossmatch_legacysurvey.hdf5 of the same pixel")
    made.add_argument("--out", type=Path, required=True, help="the page; its spectra and assets/ are put beside it")
    return made


def main(options: argparse.Namespace) -> None:
    """Write, and say how many sources there are."""
    n = write_page(options.desi, options.out, hetdex=options.hetdex, images=options.images)
    cli.log.info("%s: %d sources", options.out, n)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
