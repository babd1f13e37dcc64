"""Fetch a DESI release's list of coadds (tilepix.fits) and check that it is one."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.archive.archive import Archive
from skyharvest.core import cli
from skyharvest.surveys.desi.plan import fetch_tilepix
from skyharvest.surveys.desi.release import load_release


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--release", required=True, help="a key of config/releases.yaml, such as dr1")
    made.add_argument("--archive", default="https", help="https, s3, local, or a path or URL of what holds spectro/")
    made.add_argument("--out", type=Path, required=True, metavar="TILEPIX.fits", help="the file to write")
    return made


def main(options: argparse.Namespace) -> None:
    """Fetch and check."""
    release = load_release(options.release)
    with Archive(release.root(options.archive)) as archive:
        fetch_tilepix(archive, release, options.out)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
