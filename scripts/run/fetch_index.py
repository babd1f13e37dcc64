"""Fetch a release's list of its files, check that it is one, and keep what is needed of it."""

import argparse
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.archive.archive import Archive
from skyharvest.core import cli
from skyharvest.harvest.options import add_shared
from skyharvest.surveys import NAMES, SURVEYS


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("survey", choices=NAMES, help="whose release it is")
    add_shared(parser, "--release", "--out")
    add_shared(parser, "--archive", help="https, s3, local, or the path or URL of a mirror")
    return parser


def main(options: argparse.Namespace) -> None:
    """Fetch and check."""
    package = f"skyharvest.surveys.{options.survey}"
    fetch = resolve_name(f"{package}.{SURVEYS[options.survey].fetch_index}")
    asked = {"release": options.release, "archive": options.archive}
    release = import_module(f"{package}.rules").Harvest.release_of(asked)
    with Archive(release.root(options.archive)) as archive:
        fetch(archive, release, options.out)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
