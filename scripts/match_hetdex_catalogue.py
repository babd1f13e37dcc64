"""Find HETDEX's catalogued sources (HPSC2) near the targets, with every column and their spectra."""

import argparse
import sys

import numpy as np
import pyarrow.parquet as pq

from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.core.settings import add_options
from skyharvest.formats import arrow
from skyharvest.harvest.manifest import csv_of
from skyharvest.harvest.options import add_shared, open_archive
from skyharvest.surveys.hetdex.catalogue import find_version, match_catalogue, read_spectra, write_catalogue
from skyharvest.surveys.hetdex.release import load_release
from skyharvest.surveys.hetdex.settings import Catalogue, Settings


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shared(parser, "--archive", "--connections", "--server-notes", "--targets", "--config-hash", "--out")
    add_options(parser, Catalogue, radius="radius_arcsec", catalogue_version="version")
    add_options(parser, Settings, "release")
    return parser


def main(options: argparse.Namespace) -> None:
    """Match, read, write, and say how much there is."""
    if not 0 < options.radius <= 60:
        raise InputError(f"--radius {options.radius}: expected arcseconds, more than 0 and at most 60")
    release = load_release(options.release)
    with pq.ParquetFile(options.targets.absolute()) as file:
        table = file.read(columns=["row", "ra", "dec"])
    targets = {name: arrow.to_numpy(table.column(name))[0] for name in table.column_names}
    with open_archive(options) as archive:
        version = options.catalogue_version or find_version(archive, release)
        path = release.catalogue(version)
        matched = match_catalogue(archive, path, targets, options.radius)
        spectra = read_spectra(archive, release.catalogue_spectra(version), matched)
        attributes = {
            "release": release.name,
            "catalogue": archive.location(path),
            "radius_arcsec": options.radius,
            "csv_sha256": csv_of(table.schema),
            "config_hash": options.config_hash,
        }
    write_catalogue(options.out, matched, spectra, attributes)
    n_rows, n_sources = (len(np.unique(values)) for values in (matched.row, matched.source))
    cli.log.info("%s: %d sources near %d of %d targets", options.out, n_sources, n_rows, len(targets["row"]))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
