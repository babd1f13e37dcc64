"""Write the first page of a production's quality, and the series that it shows, when its nights have their pages."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.report.desi_qa.production import write_site


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--production", type=Path, required=True, help="its directory, …/spectro/redux/SPECPROD")
    return parser


def main(options: argparse.Namespace) -> None:
    """Write it."""
    write_site(options.production)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
