"""Assemble the extracted spectra of one NSIDE=16 pixel into crossmatch_desi.hdf5."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.harvest.options import add_shared
from skyharvest.harvest.settings import Match
from skyharvest.surveys.desi.assemble import Layout, assemble
from skyharvest.surveys.desi.release import load_release
from skyharvest.surveys.desi.settings import Spectra
from skyharvest.targets.settings import Targets


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shared(parser, "--pix16", "--targets", "--extracted", "--out", "--release", "--config-hash")
    add_options(parser, Targets, "name")
    add_options(parser, Match, radius="radius_arcsec")
    add_options(parser, Spectra, "combine", "lsf", "redshifts", "arms")
    return parser


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
