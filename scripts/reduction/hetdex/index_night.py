"""List the raw frames of a night: each tar file is walked once, and its frames are later read by offset."""

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.hetdex.frames.tar_index import BAD, index_night, told, write_list

log = logging.getLogger(__name__)

SHOWN = 40
"""As many bad members are told."""


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument(
        "--raw", type=Path, required=True, help="directory of the raw data, NIGHT/virus/virus0000OBS.tar"
    )
    parser.add_argument("--night", type=int, required=True, help="the night, YYYYMMDD")
    parser.add_argument("--out", type=Path, required=True, help="CSV to write: a line for each frame")
    return parser


def main(options: argparse.Namespace) -> None:
    """Index, and write."""
    rows = index_night(options.raw, options.night)
    bad = [row for row in rows if row.state == BAD]
    for row in bad[:SHOWN]:
        log.warning("%s: %s: %s", row.tar, row.member or f"byte {row.offset}", row.reason)
    if len(bad) > SHOWN:
        log.warning("… and %d more: see %s", len(bad) - SHOWN, options.out)
    write_list(options.out, rows)
    log.info("%s: %s", options.night, told(rows))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
