"""Plan a reduction: from the lists of all nights to units of work, with every frame used or left out with a reason."""

import argparse
import functools
import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.reduction.hetdex.frames import fplane
from skyharvest.reduction.hetdex.frames.known import Known
from skyharvest.reduction.hetdex.frames.planning import make_plan, tell, write_all
from skyharvest.reduction.hetdex.frames.tar_index import read_list
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.plan import Choice
from skyharvest.reduction.hetdex.settings import Bad, Settings


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--lists", type=Path, nargs="+", required=True, metavar="CSV", help="of index_night.py")
    add_options(parser, Settings, "fplane", "swaps", "calibration_from", "months", "nights", "shots")
    add_options(parser, Bad, bad_frames="frames", bad_amps="amps")
    out = "plan/plan.csv of the reduction to write; beside it go tables of observations, and ../frames/ with the lists"
    parser.add_argument("--plan", type=Path, required=True, help=out)
    parser.add_argument("--left-out", type=Path, required=True, help="CSV to write: frames that no unit uses, and why")
    return parser


def main(options: argparse.Namespace) -> None:
    """Plan, and write."""

    @functools.cache
    def slots_of(path: Path) -> Mapping[str, fplane.Slot]:
        return fplane.read(path)

    @functools.cache
    def plane(night: int) -> Mapping[str, fplane.Slot] | None:
        return slots_of(fplane.find(Path(options.fplane), night)) if options.fplane else None

    tables = (Path(path) if path else None for path in (options.bad_frames, options.bad_amps, options.swaps))
    known = Known.read(*tables)
    choice = Choice.of(
        options.months or None, options.nights or None, options.shots or None, options.calibration_from or ()
    )
    planned = make_plan(map(read_list, options.lists), choice, known, plane)
    write_all(planned, Layout(options.plan.parent.parent), options.plan, options.left_out)
    tell(planned)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
