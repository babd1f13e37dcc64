"""Fetch cutouts and PSFs from the Legacy Surveys' viewer, politely: one request at a time, at the pace it allows."""

import argparse
import sys
from pathlib import Path

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.archive.archive import is_url
from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.core.settings import add_options
from skyharvest.harvest.options import add_shared
from skyharvest.surveys.legacysurvey.settings import Viewer
from skyharvest.surveys.legacysurvey.viewer.fetch import fetch_cutouts
from skyharvest.surveys.legacysurvey.viewer.layers import VIEWER, ViewerRequest
from skyharvest.surveys.legacysurvey.viewer.notes import DATABASE, TABLE, WAITING, write_table
from skyharvest.surveys.legacysurvey.viewer.queue import URLS, make_queue, rows_with_spectra, write_urls


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shared(parser, "--targets", "--out-dir")
    add_options(
        parser, Viewer, "layers", "psf_layers", "formats", "size", "pixscale", "bands", "subimage", viewer="address"
    )
    parser.add_argument(
        "--ledgers",
        nargs="*",
        action="extend",
        type=Path,
        default=[],
        metavar="LEDGER.csv",
        help="sources that are matched come first",
    )
    parser.add_argument(
        "--pace", type=Path, metavar="JSON", help="a file to remember in how fast the viewer may be asked"
    )
    parser.add_argument("--list-only", action="store_true", help=f"write {URLS} and {TABLE}, and ask for nothing")
    parser.add_argument("--again", action="store_true", help="ask again for what was recorded as absent or wrong")
    return parser


def main(options: argparse.Namespace) -> None:
    """List, and fetch what is not there yet."""
    if not is_url(options.viewer):
        raise InputError(f"--viewer {options.viewer}: expected an address such as {VIEWER}")
    request = ViewerRequest(
        layers=tuple(options.layers),
        psf_layers=tuple(options.psf_layers),
        formats=tuple(options.formats),
        size=options.size,
        pixscale=options.pixscale,
        bands=options.bands,
        subimage=options.subimage,
    )
    table = pq.read_table(options.targets.absolute(), columns=["row", "ra", "dec", "pix16"])
    targets = {name: table.column(name).to_numpy() for name in table.column_names}
    queue = make_queue(targets, request, rows_with_spectra(options.ledgers))
    write_urls(options.out_dir / URLS, options.viewer, queue)
    if options.list_only:
        status = write_table(options.out_dir / TABLE, queue, options.out_dir / DATABASE)
        cli.log.info("%s: %d files, %d of them not asked for yet", options.out_dir / URLS, len(queue), status[WAITING])
        return
    fetched = fetch_cutouts(options.viewer, queue, options.out_dir, pace=options.pace, again=options.again)
    cli.log.info("%d new files, %.1f MB, %d requests", fetched.n_new, fetched.n_bytes / 1e6, fetched.n_requests)
    cli.log.info("%s: %s", options.out_dir / TABLE, ", ".join(f"{n} {status}" for status, n in fetched.status.items()))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
