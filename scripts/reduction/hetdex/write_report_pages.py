"""Write the pages that reports are browsed with: that of a shot; or, when shots have theirs, the first page."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.browser.detections import Inputs, write_shot_page
from skyharvest.browser.shots import write_shots_page
from skyharvest.core import cli
from skyharvest.reduction.hetdex.layout import DETECTIONS_FILE, Layout


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--reduction", type=Path, required=True, help="its directory, …/reduction/hetdex")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--shot", help="its name, such as 20190103v012, of which there is a list of reports")
    which.add_argument("--shots", nargs="*", help="all shots, which have their pages")
    parser.add_argument(
        "--detections",
        type=Path,
        nargs="*",
        default=[],
        metavar="DIR",
        help="directories detections/SHOT/IFU of a shot",
    )
    parser.add_argument("--continuum", type=Path, nargs="*", default=[], help="continuum/SHOT.h5, if it is there")
    parser.add_argument("--out", type=Path, required=True, help="reports/pages/SHOT.html, or index.html there")
    return parser


def main(options: argparse.Namespace) -> None:
    """Write."""
    layout = Layout(options.reduction)
    if options.shot:
        files = [*(directory / DETECTIONS_FILE for directory in options.detections), *options.continuum]
        inputs = Inputs(options.shot, files, layout.reports(options.shot))
        cli.log.info("%s: %d detections", options.out, write_shot_page(inputs, options.out))
    else:
        shots = {shot: layout.reports(shot) for shot in options.shots}
        cli.log.info("%s: %d reports are missing", options.out, write_shots_page(shots, options.out))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
