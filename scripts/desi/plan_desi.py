"""Decide which DESI coadds to read for which targets."""

import argparse
import sys
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.archive.archive import Archive
from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.harvest.options import add_shared
from skyharvest.harvest.settings import Match
from skyharvest.surveys.desi.plan import cached_tilepix, make_plan, summary, write_plan
from skyharvest.surveys.desi.release import load_release
from skyharvest.surveys.desi.settings import Settings
from skyharvest.targets.settings import Targets


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shared(parser, "--targets", "--release", "--out-dir")
    parser.add_argument(
        "--tilepix", type=Path, required=True, help="from fetch_index.py; fetched again if it is damaged"
    )
    add_options(parser, Targets, "targetid")
    add_options(parser, Settings, "archive", "surveys", "programs", targetid_radius="targetid_radius_arcsec")
    add_options(parser, Match, radius="radius_arcsec")
    return parser


def main(options: argparse.Namespace) -> None:
    """Plan, and show the table of what will be read."""
    release = load_release(options.release, archive=options.archive)
    with Archive(release.root(options.archive)) as archive:
        listed = cached_tilepix(archive, release, options.tilepix)
    table = pq.read_table(options.targets.absolute())
    targets = {name: table.column(name).to_numpy() for name in ("row", "ra", "dec", "pix16")}
    if options.targetid:
        targets["targetid"] = table.column(stored_name(table, options.targetid)).to_numpy()
    plan = make_plan(
        listed,
        targets,
        nside=release.nside,
        surveys=options.surveys,
        programs=options.programs,
        radius_arcsec=max(options.radius, options.targetid_radius if options.targetid else 0),
    )
    write_plan(plan, options.out_dir, partial(release.sums, options.archive))
    print(summary(plan))


def stored_name(table: "pq.Table", column: str) -> str:
    """Return under which name the table holds a CSV column (another one if it collides with the table's own)."""
    for field in table.schema:
        if (field.metadata or {}).get(b"csv_column") == column.encode():
            return str(field.name)
    return column


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
