"""Count how many CSV rows have a spectrum within a radius, per healpix, from the HDF5 files alone."""

import argparse
import sys
from pathlib import Path

from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.core.settings import add_options
from skyharvest.products.count import count_csv, count_files, find_files, show
from skyharvest.targets.settings import Targets


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--max-arcsec", type=float, default=1.0, help="radius; the files hold what a run matched")
    parser.add_argument("--healpix", type=int, help="only this NSIDE=16 NESTED pixel of the CSV's positions")
    parser.add_argument(
        "--csv",
        type=Path,
        help="count all rows of this CSV, each against the spectra of its pixel; without it, the rows that the files "
        "hold. Files of the older layout (edr_sv3_ra, edr_sv3_dec) need it",
    )
    parser.add_argument(
        "--hdf5-root", type=Path, default=Path("results/desi_crossmatches"), help="what holds healpix=*/"
    )
    add_options(parser, Targets, "ra", "dec")
    return parser


def main(options: argparse.Namespace) -> None:
    """Count, and show the table."""
    if not options.max_arcsec >= 0:
        raise InputError("--max-arcsec must be 0 or more")
    files = find_files(options.hdf5_root, options.healpix)
    if options.csv is None:
        print(show(count_files(files, options.max_arcsec)))
        return
    from skyharvest.targets.table import read_targets  # noqa: PLC0415 (pyarrow is not imported without --csv)

    table = read_targets(options.csv, ra=options.ra, dec=options.dec).table
    pixel, ra, dec = (table.column(name).to_numpy() for name in ("pix16", "ra", "dec"))
    counts = count_csv(files, pixel, ra, dec, options.max_arcsec)
    counted = sum(count.csv_rows for count in counts.values())
    print(show(counts, len(pixel) - counted if options.healpix is None else None))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
