"""Assemble the extracted spectra of one NSIDE=16 pixel into crossmatch_desi.hdf5."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.surveys.desi.assemble import Layout, assemble
from skyharvest.surveys.desi.release import load_release


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--pix16", type=int, required=True, help="NSIDE=16 NESTED pixel of the CSV's positions")
    made.add_argument("--targets", type=Path, required=True, metavar="TARGETS.parquet", help="from prepare_targets.py")
    made.add_argument("--extracted", type=Path, nargs="+", required=True, help="from extract_desi_coadd.py")
    made.add_argument("--out", type=Path, required=True, help="the file to write")
    made.add_argument("--name", default="chandra", help="HDF5 group that holds the CSV's own columns")
    made.add_argument("--release", required=True, help="a key of config/releases.yaml, such as dr1")
    made.add_argument("--radius", type=float, default=1.0, help="match radius that was used, arcsec (recorded)")
    made.add_argument("--config-hash", default="", help="of the run's configuration (recorded)")
    made.add_argument("--no-combine", action="store_true", help="leave out the combined spectrum")
    made.add_argument("--no-lsf", action="store_true", help="leave out its line-spread function")
    made.add_argument("--no-redshifts", action="store_true", help="leave out redrock's columns")
    made.add_argument("--arms", action="store_true", help="add the native arms")
    return made


def main(options: argparse.Namespace) -> None:
    """Assemble, and say how much there is."""
    release = load_release(options.release)
    layout = Layout(
        name=options.name,
        combine=not options.no_combine,
        lsf=not options.no_lsf,
        arms=options.arms,
        redshifts=not options.no_redshifts,
    )
    attributes = {
        "release": release.name,
        "specprod": release.specprod,
        "radius_arcsec": options.radius,
        "config_hash": options.config_hash,
    }
    n = assemble(options.pix16, options.targets, options.extracted, options.out, layout=layout, attributes=attributes)
    cli.log.info("%s: %d spectra", options.out, n)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
