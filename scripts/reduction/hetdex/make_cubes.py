"""Make the data cubes of a shot, as HETDEX's public releases have them, one for each IFU."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.reduction.hetdex.release.shot_cubes import make_cubes
from skyharvest.reduction.hetdex.settings import from_options, of_step
from skyharvest.reduction.hetdex.source_settings import Cubes, Flags
from skyharvest.reduction.hetdex.sources.ifu_fibers import add_shot_options, open_shot
from skyharvest.reduction.hetdex.sources.sky_faults import SkyFaults


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shot_options(parser)
    parser.add_argument("--out", type=Path, required=True, help="directory datacubes/SHOTID to write")
    for kind in (Cubes, Flags):
        add_options(parser, kind, *of_step(kind))
    return parser


def main(options: argparse.Namespace) -> None:
    """Make them."""
    cubes = from_options(Cubes, options)
    flags = from_options(Flags, options)
    make_cubes(open_shot(options), options.out, cubes, flags, SkyFaults.read(flags))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
