"""Write a small simulated DESI release, a CSV of positions on it, and the truth: what the demo runs on."""

import argparse
import sys

from skyharvest.core import cli
from skyharvest.harvest.options import add_shared


def build_parser() -> argparse.ArgumentParser:
    """Return the program's command line."""
    parser = cli.parser(__doc__ or "")
    add_shared(parser, "--out", metavar="DIR", help="directory to write the release into")
    add_shared(parser, "--seed")
    return parser


def main(options: argparse.Namespace) -> None:
    """Write the release."""
    from skyharvest.simulate.desi.release import simulate  # noqa: PLC0415 (--help need not wait for it)

    simulate(options.out, options.seed)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
