"""Extract from DESI coadds the spectra that match a list of positions, or all of them, reading only their rows."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.harvest.options import add_shared, open_archive
from skyharvest.surveys.desi.extract import extract
from skyharvest.surveys.desi.release import CoaddFile
from skyharvest.surveys.desi.wanted import Positions, add_wanted_options, wanted_of
from skyharvest.targets.csv_rows import Names
from skyharvest.targets.positions import read_positions
from skyharvest.targets.settings import Targets


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument(
        "--coadd",
        action="append",
        required=True,
        metavar="PATH_OR_URL",
        help="a coadd file; may be given again; relative to --archive if that is given. "
        "The redrock file is looked for beside it",
    )
    parser.add_argument(
        "--archive", default=".", metavar="ROOT", help="directory or URL that the coadds are relative to"
    )
    parser.add_argument("--targets", type=Path, metavar="CSV_OR_PARQUET", help="positions; without it every spectrum")
    add_options(parser, Targets, "ra", "dec")
    add_wanted_options(parser)
    parser.add_argument(
        "--no-resolution", action="store_true", help="leave out the resolution matrices (79 %% of the bytes)"
    )
    parser.add_argument(
        "--record-missing",
        action="store_true",
        help="record a coadd that is absent or malformed, with the reason, and use the others",
    )
    add_shared(parser, "--connections", "--server-notes", "--out")
    return parser


def main(options: argparse.Namespace) -> None:
    """Extract, and say how much was found."""
    how = {"resolution": not options.no_resolution, "record_missing": options.record_missing}
    wanted = replace(wanted_of(options), **how)
    if options.targets:
        wanted = replace(wanted, targets=load_positions(options))
    coadds = [CoaddFile.of_path(path) for path in options.coadd]
    with open_archive(options) as archive:
        selections = extract(archive, coadds, options.out, wanted)
    spectra = sum(int(chosen.kept.sum()) for chosen in selections)
    states = [chosen.status for chosen in selections]
    cli.log.info("%s: %d spectra of %d coadds (%s)", options.out, spectra, len(states), ", ".join(states))


def load_positions(options: argparse.Namespace) -> Positions:
    """Read the targets from ``targets.parquet`` or from a CSV."""
    path: Path = options.targets
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq  # noqa: PLC0415 (a CSV is read without it)

        table = pq.read_table(path.absolute(), columns=["row", "ra", "dec"])
        return Positions(*(np.asarray(table.column(name).to_numpy()) for name in ("row", "ra", "dec")))
    return Positions(*read_positions(path, Names(options.ra, options.dec)))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
