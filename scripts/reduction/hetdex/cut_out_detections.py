"""Write the cutouts of a shot's emission lines: pieces of the detectors' images, spectra, and pictures on the sky."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options
from skyharvest.reduction.hetdex.settings import from_options, of_step
from skyharvest.reduction.hetdex.source_settings import Cutouts
from skyharvest.reduction.hetdex.sources.cutouts_file import write_cutouts
from skyharvest.reduction.hetdex.sources.ifu_fibers import add_shot_options, open_shot


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shot_options(parser)
    parser.add_argument(
        "--multifits", type=Path, nargs="+", required=True, help="directories science/SHOT/expNN/IFU of the shot"
    )
    parser.add_argument(
        "--detections", type=Path, nargs="+", required=True, help="directories detections/SHOT/IFU of the shot"
    )
    parser.add_argument("--out", type=Path, required=True, help="im2D/im2D_SHOTID.h5 to write")
    add_options(parser, Cutouts, *of_step(Cutouts))
    return parser


def main(options: argparse.Namespace) -> None:
    """Write the file."""
    how = from_options(Cutouts, options)
    write_cutouts(open_shot(options), options.multifits, options.detections, options.out, how)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
