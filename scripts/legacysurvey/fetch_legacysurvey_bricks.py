"""Fetch the tables of a Legacy Surveys release's bricks, check them, and keep what is needed of them."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.archive.archive import Archive
from skyharvest.core import cli
from skyharvest.surveys.legacysurvey.bricks import fetch_bricks
from skyharvest.surveys.legacysurvey.release import load_release


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--release", required=True, help="a key of config/releases.yaml, of the Legacy Surveys: dr10")
    made.add_argument("--archive", default="https", help="https, local, or a path or URL of what holds dr10/")
    made.add_argument("--out", type=Path, required=True, metavar="BRICKS.npy", help="the file to write")
    return made


def main(options: argparse.Namespace) -> None:
    """Fetch and check."""
    release = load_release(options.release)
    with Archive(release.root(options.archive)) as archive:
        fetch_bricks(archive, release, options.out)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
