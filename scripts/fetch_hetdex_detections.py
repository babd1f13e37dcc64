"""Fetch the spectra of HETDEX's raw detections, corrected, by their detectids."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.harvest.options import add_shared, open_archive
from skyharvest.surveys.hetdex.detections import SCAN_LIMIT, fetch_detections, read_detectids
from skyharvest.surveys.hetdex.release import load_release
from skyharvest.surveys.hetdex.settings import Detections, Settings


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shared(parser, "--archive", "--connections", "--server-notes", "--config-hash", "--out")
    parser.add_argument(
        "--detectids",
        type=Path,
        required=True,
        metavar="FILE",
        help="a CSV with a column of them, a text file with one a line, or catalogue.hdf5",
    )
    add_options(parser, Detections, "column")
    add_options(parser, Settings, "release")
    parser.add_argument(
        "--scan-limit-mb",
        type=int,
        default=SCAN_LIMIT >> 20,
        help="a table of at most so much is read as a whole for detectids that are not found in it otherwise",
    )
    return parser


def main(options: argparse.Namespace) -> None:
    """Fetch, and count the outcomes."""
    release = load_release(options.release)
    detectids = read_detectids(options.detectids, options.column)
    with open_archive(options) as archive:
        outcome = fetch_detections(
            archive,
            release,
            detectids,
            options.out,
            scan_limit=options.scan_limit_mb << 20,
            attributes={"release": release.name, "archive": options.archive, "config_hash": options.config_hash},
        )
    counts = Counter(result.status for result in outcome.values())
    shares = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    cli.log.info("%s: %d detectids: %s", options.out, len(outcome), shares)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
