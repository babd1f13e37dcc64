"""Fetch the spectra of HETDEX's raw detections, corrected, by their detectids."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from skyharvest.archive.archive import Archive
from skyharvest.core import cli
from skyharvest.surveys.hetdex.detections import SCAN_LIMIT, fetch_detections, read_detectids
from skyharvest.surveys.hetdex.release import load_release


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--archive", required=True, metavar="ROOT", help="directory or URL that holds ifu-index.fits")
    made.add_argument(
        "--detectids",
        type=Path,
        required=True,
        metavar="FILE",
        help="a CSV with a column of them, a text file with one a line, or catalogue.hdf5",
    )
    made.add_argument("--column", default="detectid", help="of the CSV, or dataset of the HDF5 file")
    made.add_argument("--release", default="pdr1", help="a key of config/releases.yaml, of HETDEX")
    made.add_argument(
        "--scan-limit-mb",
        type=int,
        default=SCAN_LIMIT >> 20,
        help="a table of at most so much is read as a whole for detectids that are not found in it otherwise",
    )
    made.add_argument("--connections", type=int, default=1, help="open connections to the archive, at most")
    made.add_argument("--server-notes", type=Path, help="a file to remember in what the archive's server can do")
    made.add_argument("--config-hash", default="", help="of the run's configuration (recorded)")
    made.add_argument("--out", type=Path, required=True, metavar="OUT.hdf5", help="the file to write")
    return made


def main(options: argparse.Namespace) -> None:
    """Fetch, and count the outcomes."""
    release = load_release(options.release)
    detectids = read_detectids(options.detectids, options.column)
    with Archive(options.archive, connections=max(1, options.connections), notes=options.server_notes) as archive:
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
