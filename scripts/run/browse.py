"""Make the page to look at the spectra of one pixel with: healpix=N.html, which opens from disk."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.browser.page import write_page
from skyharvest.core import cli
from skyharvest.surveys import SURVEYS


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    for name, survey in SURVEYS.items():
        if survey.browser is not None:
            parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"crossmatch_{name}.hdf5 of the pixel")
    parser.add_argument("--out", type=Path, required=True, help="the page; its spectra and assets/ are put beside it")
    return parser


def main(options: argparse.Namespace) -> None:
    """Write, and say how many sources there are."""
    files = {name: file for name in SURVEYS if (file := getattr(options, name, None)) is not None}
    n = write_page(files, options.out)
    cli.log.info("%s: %d sources", options.out, n)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
