"""Decide which HETDEX cubes to read for which targets."""

import argparse
import sys
from pathlib import Path

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.archive.archive import Archive
from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.harvest.options import add_shared
from skyharvest.surveys.hetdex.index import cached_index
from skyharvest.surveys.hetdex.maps import line_wave
from skyharvest.surveys.hetdex.plan import make_plan, summary, write_plan
from skyharvest.surveys.hetdex.release import load_release
from skyharvest.surveys.hetdex.settings import Maps, Settings
from skyharvest.targets.csv_columns import number_column


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shared(parser, "--targets", "--release", "--out-dir")
    parser.add_argument("--index", type=Path, required=True, help="from fetch_index.py; fetched again if it is damaged")
    add_options(parser, Settings, "archive", "min_flag", "fields")
    add_options(parser, Maps, "wavelength", "redshift", "line")
    return parser


def main(options: argparse.Namespace) -> None:
    """Plan, and show the table of what will be read."""
    release = load_release(options.release)
    root = release.root(options.archive)
    with Archive(root) as archive:
        index = cached_index(archive, release, options.index)
    table = pq.read_table(options.targets.absolute())
    targets = {name: table.column(name).to_numpy() for name in ("row", "ra", "dec", "pix16")}
    if options.wavelength is not None:
        targets["wave"] = number_column(table, options.wavelength)
    elif options.redshift is not None:
        targets["wave"] = line_wave(number_column(table, options.redshift), options.line or "")
    plan = make_plan(index, targets, min_flag=options.min_flag, fields=options.fields)
    write_plan(plan, options.out_dir, release, root)
    print(summary(plan, root))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
