"""Write the table of all shots, and the noise of a line in each beside it, where lines were looked for."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.plan import read_plan
from skyharvest.reduction.hetdex.release.merging import Source
from skyharvest.reduction.hetdex.release.survey_file import AVERAGES, write_limits, write_survey


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--reduction", type=Path, required=True, help="its directory, …/reduction/hetdex")
    parser.add_argument("--shots", nargs="*", default=[], metavar="SHOT", help="such as 20190103v012")
    parser.add_argument("--out", type=Path, required=True, help="release/survey/survey_NAME.h5 to write")
    parser.add_argument(
        "--no-limits", action="store_true", help="flux limits that are there are old: lines are not looked for"
    )
    return parser


def main(options: argparse.Namespace) -> None:
    """Write both."""
    layout, out = Layout(options.reduction), options.out
    plan = read_plan(layout.plan)
    write_survey([Source(layout.of_shot("shots", shot), shot) for shot in options.shots], out)
    searched = {shot: [] if options.no_limits else plan.ifus_of_shot(shot) for shot in options.shots}
    write_limits(layout, searched, out.with_name(AVERAGES))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
