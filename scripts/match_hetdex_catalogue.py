"""Find HETDEX's catalogued sources (HPSC2) near the targets, with every column and their spectra."""

import argparse
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from skyharvest.archive.archive import Archive
from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.formats import arrow
from skyharvest.surveys.hetdex.catalogue import VERSION, find_version, match_catalogue, read_spectra, write_catalogue
from skyharvest.surveys.hetdex.release import load_release


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--archive", required=True, metavar="ROOT", help="directory or URL that holds ifu-index.fits")
    made.add_argument("--targets", type=Path, required=True, metavar="TARGETS.parquet", help="from prepare_targets.py")
    made.add_argument("--radius", type=float, default=1.5, help="of the match, arcsec")
    made.add_argument(
        "--catalogue-version",
        metavar="V",
        help=f"of the catalogue, such as {VERSION}; else the newest in a directory, and {VERSION} on a server",
    )
    made.add_argument("--release", default="pdr1", help="a key of config/releases.yaml, of HETDEX")
    made.add_argument("--connections", type=int, default=1, help="open connections to the archive, at most")
    made.add_argument("--server-notes", type=Path, help="a file to remember in what the archive's server can do")
    made.add_argument("--config-hash", default="", help="of the run's configuration (recorded)")
    made.add_argument("--out", type=Path, required=True, metavar="OUT.hdf5", help="the file to write")
    return made


def main(options: argparse.Namespace) -> None:
    """Match, read, write, and say how much there is."""
    if not 0 < options.radius <= 60:
        raise InputError(f"--radius {options.radius}: expected arcseconds, more than 0 and at most 60")
    release = load_release(options.release)
    with pq.ParquetFile(options.targets) as file:
        table = file.read(columns=["row", "ra", "dec"])
    targets = {name: arrow.to_numpy(table.column(name))[0] for name in table.column_names}
    with Archive(options.archive, connections=max(1, options.connections), notes=options.server_notes) as archive:
        version = options.catalogue_version or find_version(archive, release)
        path = release.catalogue(version)
        matched = match_catalogue(archive, path, targets, options.radius)
        spectra = read_spectra(archive, release.catalogue_spectra(version), matched)
        attributes = {
            "release": release.name,
            "catalogue": archive.location(path),
            "radius_arcsec": options.radius,
            "config_hash": options.config_hash,
        }
    write_catalogue(options.out, matched, spectra, attributes)
    n_rows, n_sources = (len(np.unique(values)) for values in (matched.row, matched.source))
    cli.log.info("%s: %d sources near %d of %d targets", options.out, n_sources, n_rows, len(targets["row"]))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
