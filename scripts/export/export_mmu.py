"""Write the spectra whose fibers lie in one NSIDE=16 pixel in the layout of the Multimodal Universe."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.export.mmu import export_mmu
from skyharvest.surveys.desi.release import load_release


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--pix16", type=int, required=True, help="NSIDE=16 NESTED pixel of the fibers")
    made.add_argument(
        "--crossmatches",
        type=Path,
        nargs="+",
        required=True,
        metavar="CROSSMATCH_DESI.hdf5",
        help="from assemble_desi.py",
    )
    made.add_argument("--name", default="chandra", help="HDF5 group that holds the CSV's own columns")
    made.add_argument("--release", required=True, help="a key of config/releases.yaml, such as dr1")
    made.add_argument("--config-hash", default="", help="of the run's configuration (recorded)")
    made.add_argument("--out", type=Path, required=True, help="the file to write")
    return made


def main(options: argparse.Namespace) -> None:
    """Export, and say how much there is."""
    release = load_release(options.release)
    attributes = {"release": release.name, "specprod": release.specprod, "config_hash": options.config_hash}
    n = export_mmu(options.pix16, options.crossmatches, options.out, name=options.name, attributes=attributes)
    cli.log.info("%s: %d targets", options.out, n)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
