"""Write a few simulated HETDEX cubes over positions of the demo's CSV, their index, and the truth behind them."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli


def build_parser() -> argparse.ArgumentParser:
    """Return the program's command line."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--csv", type=Path, required=True, help="targets.csv that simulate_release.py wrote")
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory to write the release into")
    made.add_argument("--seed", type=int, default=1, help="of the random numbers; the same seed gives the same bytes")
    return made


def main(options: argparse.Namespace) -> None:
    """Write the release."""
    from skyharvest.simulate.hetdex.release import simulate  # noqa: PLC0415 (--help need not wait for it)

    simulate(options.csv, options.out, options.seed)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
