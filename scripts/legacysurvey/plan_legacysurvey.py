"""Decide which bricks of the Legacy Surveys to read for which targets."""

import argparse
import sys
from pathlib import Path

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.archive.archive import Archive
from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.core.settings import add_options
from skyharvest.harvest.options import add_shared
from skyharvest.surveys.legacysurvey.bricks import cached_bricks
from skyharvest.surveys.legacysurvey.plan import make_plan, summary, write_plan
from skyharvest.surveys.legacysurvey.release import load_release
from skyharvest.surveys.legacysurvey.settings import Settings


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shared(parser, "--targets", "--release", "--out-dir")
    parser.add_argument(
        "--bricks",
        type=Path,
        required=True,
        metavar="BRICKS.npy",
        help="from fetch_index.py; fetched again if it is damaged",
    )
    add_options(parser, Settings, "archive", "size", "bands", "products", "transfer")
    parser.set_defaults(bands=None)  # all of the release
    return parser


def main(options: argparse.Namespace) -> None:
    """Plan, and show the table of what will be read."""
    release = load_release(options.release)
    bands = options.bands or release.bands
    for band in bands:
        if band not in release.bands:
            has = ", ".join(release.bands)
            raise InputError(f"release {release.name} has no band {band!r}; it has {has}: correct legacysurvey.bands")
    root = release.root(options.archive)
    with Archive(root) as archive:
        bricks = cached_bricks(archive, release, options.bricks)
    table = pq.read_table(options.targets.absolute(), columns=["row", "ra", "dec", "pix16"])
    targets = {name: table.column(name).to_numpy() for name in table.column_names}
    plan = make_plan(bricks, targets, size=options.size, bands=bands, products=options.products)
    write_plan(plan, options.out_dir, release, root, transfer=options.transfer)
    print(summary(plan, root, transfer=options.transfer))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
