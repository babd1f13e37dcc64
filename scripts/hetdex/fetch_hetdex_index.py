"""Fetch a HETDEX release's table of cubes (ifu-index.fits) and check that it is one."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.archive.archive import Archive
from skyharvest.core import cli
from skyharvest.surveys.hetdex.index import fetch_index
from skyharvest.surveys.hetdex.release import load_release


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--release", required=True, help="a key of config/releases.yaml, of HETDEX, such as pdr1")
    made.add_argument("--archive", default="https", help="https, local, or a path or URL of what holds ifu-index.fits")
    made.add_argument("--out", type=Path, required=True, metavar="IFU-INDEX.fits", help="the file to write")
    return made


def main(options: argparse.Namespace) -> None:
    """Fetch and check."""
    release = load_release(options.release)
    with Archive(release.root(options.archive)) as archive:
        fetch_index(archive, release, options.out)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
