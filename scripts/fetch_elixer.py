"""Say where ELiXer's pictures of HETDEX detections are, and fetch them into SQLite files."""

import argparse
import sys
from pathlib import Path

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.harvest.options import add_shared, open_archive
from skyharvest.surveys.hetdex.detections import read_detectids
from skyharvest.surveys.hetdex.elixer import MISSING, fetch_pictures, write_addresses
from skyharvest.surveys.hetdex.release import load_release
from skyharvest.surveys.hetdex.settings import Detections, Settings


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shared(parser, "--archive", "--connections", "--server-notes", "--out-dir")
    parser.add_argument(
        "--detectids",
        type=Path,
        required=True,
        metavar="FILE",
        help="a CSV with a column of them, a text file with one a line, catalogue.hdf5 or detections.hdf5",
    )
    add_options(parser, Detections, "column")
    add_options(parser, Settings, "release")
    parser.add_argument(
        "--pictures", action="store_true", help="fetch them: some 150 kB each; else only say where they are"
    )
    return parser


def main(options: argparse.Namespace) -> None:
    """List, and fetch what is not there yet."""
    release = load_release(options.release)
    detectids = read_detectids(options.detectids, options.column)
    with open_archive(options) as archive:
        path = write_addresses(options.out_dir, archive, release, detectids)
        cli.log.info("%s: the addresses of %d pictures", path, len(detectids))
        if not options.pictures:
            return
        fetched = fetch_pictures(archive, release, detectids, options.out_dir)
    cli.log.info("%d pictures were there, %d are new", fetched.n_there, fetched.n_new)
    if fetched.missing:
        path = options.out_dir / MISSING
        cli.log.warning("%d pictures are missing, listed in %s; the next run asks again", len(fetched.missing), path)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
