"""Write a simulated month of HETDEX's raw frames, with all that its reduction needs, and the truth."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli

PLANS = ("demo", "bench", "sources", "focal_plane", "trouble")


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--root", type=Path, required=True, help="directory to write raw/, fplane/, … into")
    parser.add_argument(
        "--plan",
        choices=PLANS,
        default="demo",
        help="what there is: a night of two IFUs; one of four, with biases in number; one of four, whose lines "
        "are looked for, with three shots that have none; one of all 78; much that goes wrong",
    )
    return parser


def main(options: argparse.Namespace) -> None:
    """Write the month."""
    from skyharvest.simulate.hetdex_month import plan  # noqa: PLC0415 (--help need not wait for it)
    from skyharvest.simulate.hetdex_month.month import simulate  # noqa: PLC0415

    simulate(options.root, getattr(plan, options.plan)())


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
