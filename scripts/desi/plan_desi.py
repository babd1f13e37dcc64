"""Decide which DESI coadds to read for which targets."""

import argparse
import sys
from pathlib import Path

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.archive.archive import Archive
from skyharvest.core import cli
from skyharvest.surveys.desi.plan import cached_tilepix, make_plan, summary, write_plan
from skyharvest.surveys.desi.release import load_release


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--targets", type=Path, required=True, metavar="TARGETS.parquet", help="from prepare_targets.py")
    made.add_argument("--targetid", help="the CSV's column of DESI TARGETIDs, to match on those instead of positions")
    made.add_argument(
        "--tilepix", type=Path, required=True, help="from fetch_tilepix.py; fetched again if it is damaged"
    )
    made.add_argument("--release", required=True, help="a key of config/releases.yaml, such as dr1")
    made.add_argument("--archive", default="https", help="https, s3, local, or a path or URL of what holds spectro/")
    made.add_argument("--surveys", nargs="+", default=["main"], help="surveys to use")
    made.add_argument("--programs", nargs="+", default=["dark", "bright", "backup"], help="programs to use")
    made.add_argument("--radius", type=float, default=1.0, help="match radius, arcsec")
    made.add_argument("--out-dir", type=Path, required=True, help="where plan.csv goes")
    return made


def main(options: argparse.Namespace) -> None:
    """Plan, and show the table of what will be read."""
    release = load_release(options.release)
    with Archive(release.root(options.archive)) as archive:
        listed = cached_tilepix(archive, release, options.tilepix)
    table = pq.read_table(options.targets)
    targets = {name: table.column(name).to_numpy() for name in ("row", "ra", "dec", "pix16")}
    if options.targetid:
        targets["targetid"] = table.column(stored_name(table, options.targetid)).to_numpy()
    plan = make_plan(
        listed,
        targets,
        nside=release.nside,
        surveys=options.surveys,
        programs=options.programs,
        radius_arcsec=options.radius,
    )
    write_plan(plan, options.out_dir)
    print(summary(plan))


def stored_name(table: "pq.Table", column: str) -> str:
    """Return under which name the table holds a CSV column (another one if it collides with the table's own)."""
    for field in table.schema:
        if (field.metadata or {}).get(b"csv_column") == column.encode():
            return str(field.name)
    return column


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
