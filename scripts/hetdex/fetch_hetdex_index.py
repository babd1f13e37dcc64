"""Fetch a HETDEX release's table of cubes (ifu-index.fits) and check that it is one."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.archive.archive import Archive
from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.harvest.options import add_shared
from skyharvest.surveys.hetdex.index import fetch_index
from skyharvest.surveys.hetdex.release import load_release
from skyharvest.surveys.hetdex.settings import Settings


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shared(parser, "--release", "--out")
    add_options(parser, Settings, "archive")
    return parser


def main(options: argparse.Namespace) -> None:
    """Fetch and check."""
    release = load_release(options.release)
    with Archive(release.root(options.archive)) as archive:
        fetch_index(archive, release, options.out)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
