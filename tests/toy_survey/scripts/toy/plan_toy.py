"""Decide which tables of the toy survey to read for which targets."""

import argparse
import sys
from pathlib import Path

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.archive.archive import Archive
from skyharvest.core import cli
from skyharvest.harvest.options import add_shared
from skyharvest.surveys.toy.plan import write_plan
from skyharvest.surveys.toy.release import load_release
from skyharvest.surveys.toy.table import read_list


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shared(parser, "--targets", "--release", "--archive", "--out-dir")
    return parser


def main(options: argparse.Namespace) -> None:
    """Plan, and say how many targets are covered."""
    with Archive(options.archive) as archive:
        listed = read_list(archive, load_release(options.release).list())
    table = pq.read_table(options.targets, columns=["row", "ra", "dec", "pix16"])
    targets = {name: table.column(name).to_numpy() for name in table.column_names}
    print(f"{write_plan(targets, listed, options.out_dir)} of {len(table)} targets are covered")


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
