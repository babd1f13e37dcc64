"""Fetch a file of another production from an archive, with its checksum."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.desi.start_from import archive_of, fetch_product


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--production", required=True, help="its address, or directory, …/spectro/redux/SPECPROD")
    parser.add_argument("--file", required=True, help="below it, such as calibnight/NIGHT/psfnight-b0-NIGHT.fits")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    return parser


def main(options: argparse.Namespace) -> None:
    """Fetch."""
    with archive_of(options.production) as archive:
        fetch_product(archive, options.file, options.out)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
