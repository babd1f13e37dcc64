"""Extract the spectra of a pairing's fibers in an exposure, without cosmic rays and sky: its multifits."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.settings import add_options, describe
from skyharvest.reduction.hetdex.settings import Background, Cosmics, Extract, Sky
from skyharvest.reduction.hetdex.spectra.reduced_amp import HowToReduce
from skyharvest.reduction.hetdex.spectra.science import ScienceInputs, extract_exposure

SECTIONS = (Background, Cosmics, Extract, Sky)


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--frames", type=Path, required=True, help="list of the pairing's frames in the month")
    parser.add_argument("--shot", required=True, metavar="DATEvOBS", help="the shot, such as 20190103v012")
    parser.add_argument("--exposure", required=True, metavar="expNN", help="the exposure, such as exp01")
    parser.add_argument("--bias", type=Path, required=True, help="the month's bias of the pairing")
    parser.add_argument("--trace", type=Path, required=True, help="its traces")
    parser.add_argument("--flat", type=Path, required=True, help="directory with its pixel flats")
    parser.add_argument("--wavelength", type=Path, required=True, help="its twilight calibration")
    parser.add_argument("--amp-to-amp", type=Path, required=True, help="the month's comparison of amplifiers")
    parser.add_argument("--ifucen", type=Path, help="directory of fiber positions (default: positions are NaN)")
    parser.add_argument("--out", type=Path, required=True, help="directory to write")
    for section in SECTIONS:
        add_options(parser, section, *describe(section))
    return parser


def main(options: argparse.Namespace) -> None:
    """Extract, and write the directory."""
    background, cosmics, extract, sky = (
        {key: getattr(options, key) for key in describe(section)} for section in SECTIONS
    )
    how = HowToReduce(Background(**background), Cosmics(**cosmics), Extract(**extract), Sky(**sky))
    inputs = ScienceInputs(
        frames=options.frames,
        bias=options.bias,
        trace=options.trace,
        flat=options.flat,
        wavelength=options.wavelength,
        amp_to_amp=options.amp_to_amp,
        ifucen=options.ifucen,
    )
    extract_exposure(inputs, options.shot, int(options.exposure.removeprefix("exp")), options.out, how)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
