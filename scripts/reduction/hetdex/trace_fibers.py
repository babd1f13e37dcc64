"""Find where the fibres of a pairing's amplifiers are, and the profile of their light, from a month's twilights."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.reduction.hetdex.settings import Background, Trace
from skyharvest.reduction.hetdex.trace_step import trace_fibers

KEYS = (
    "min_frames",
    "most_frames",
    "level_least",
    "level_most",
    "saturated_most",
    "degree",
    "groups_y",
    "groups_x",
    "least_light",
    "faint_light",
)
OF_BACKGROUND = ("level_unit", "sci_least", "sci_most", "bri_most", "edge", "blocks", "least_pixels")
BY_CLASS = ("distance_sci", "distance_bri", "distance_twi", "terms_sci", "terms_bri", "terms_twi")


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--frames", type=Path, required=True, help="list of the pairing's frames of the month")
    parser.add_argument("--bias", type=Path, required=True, help="its bias file")
    parser.add_argument("--bad-fibers", type=Path, help="table of fibres that are dead, missing or not to be used")
    parser.add_argument("--out", type=Path, required=True, help="trace file to write")
    add_options(parser, Trace, *KEYS)
    add_options(parser.add_argument_group("scattered light"), Background, *OF_BACKGROUND, *BY_CLASS)
    return parser


def main(options: argparse.Namespace) -> None:
    """Trace, and write it."""
    trace_fibers(
        options.frames,
        options.bias,
        options.out,
        Trace(**{key: getattr(options, key) for key in KEYS}),
        Background(**{key: getattr(options, key) for key in (*OF_BACKGROUND, *BY_CLASS)}),
        options.bad_fibers,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
