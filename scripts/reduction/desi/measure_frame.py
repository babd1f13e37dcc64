"""Measure how good a camera's exposure is: what each step has made of it, against limits, as YAML. It fails nothing."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.reduction.desi.exposure_table import read_table
from skyharvest.reduction.desi.qa.definitions import FILES
from skyharvest.reduction.desi.qa.limits import DEFAULT, read_limits
from skyharvest.reduction.desi.qa.measured import write_frame


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--table", type=Path, required=True, help="exposure table of the night")
    parser.add_argument("--expid", type=int, required=True, help="which exposure of it")
    parser.add_argument("--camera", required=True, help="such as b0")
    for name in FILES:
        parser.add_argument(f"--{name}", type=Path, help=f"the {name}-… file, if there is one")
    parser.add_argument("--missing", nargs="+", default=[], metavar="STEP", help="steps that have not been done")
    parser.add_argument("--limits", type=Path, help=f"YAML with limits other than those of {DEFAULT.name}")
    parser.add_argument("--out", type=Path, required=True, help="qa-CAMERA-EXPID.yaml to write")
    return parser


def main(options: argparse.Namespace) -> None:
    """Measure, and write."""
    from skyharvest.reduction.desi.qa.measure import Exposed, measure  # noqa: PLC0415 (--help need not wait for it)

    exposures = {one.expid: one for one in read_table(options.table)}
    if options.expid not in exposures:
        raise InputError(f"{options.table} has no exposure {options.expid}")
    given = {name: getattr(options, name.replace("-", "_")) for name in FILES}
    files = {name: path for name, path in given.items() if path is not None}
    one = Exposed(exposures[options.expid], options.camera, files, options.missing)
    write_frame(measure(one, read_limits(options.limits)), options.out)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
