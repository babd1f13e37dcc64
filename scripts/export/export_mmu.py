"""Write the spectra whose fibers lie in one NSIDE=16 pixel in the layout of the Multimodal Universe."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.export.mmu import export_mmu
from skyharvest.harvest.options import add_shared
from skyharvest.surveys.desi.release import load_release
from skyharvest.targets.settings import Targets


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shared(parser, "--pix16", help="NSIDE=16 NESTED pixel of the fibers")
    add_shared(parser, "--release", "--out")
    add_shared(parser, "--archive", required=False, default="", help="where the release was read from")
    parser.add_argument(
        "--crossmatches",
        type=Path,
        nargs="+",
        required=True,
        metavar="CROSSMATCH_DESI.hdf5",
        help="assembled files",
    )
    add_options(parser, Targets, "name")
    return parser


def main(options: argparse.Namespace) -> None:
    """Export, and say how much there is."""
    release = load_release(options.release, archive=options.archive)
    attributes = {"release": release.name, "specprod": release.specprod}
    n = export_mmu(options.pix16, options.crossmatches, options.out, name=options.name, attributes=attributes)
    cli.log.info("%s: %d targets", options.out, n)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
