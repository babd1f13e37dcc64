"""Assemble the toy survey's spectra of one NSIDE=16 pixel into crossmatch_toy.hdf5."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.harvest.options import add_shared
from skyharvest.surveys.toy.assemble import assemble_toy
from skyharvest.targets.settings import Targets


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shared(parser, "--pix16", "--targets", "--release", "--config-hash", "--out")
    add_shared(parser, "--extracted", nargs=None)
    add_options(parser, Targets, "name")
    return parser


def main(options: argparse.Namespace) -> None:
    """Assemble, and say how much there is."""
    about = {"release": options.release, "config_hash": options.config_hash}
    n = assemble_toy(
        options.pix16, options.extracted, options.out, targets=options.targets, name=options.name, attributes=about
    )
    cli.log.info("%s: %d spectra", options.out, n)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
