"""Write a simulated night of DESI's raw data, with all that its reduction needs, and the truth."""

import argparse
import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.core.atomic import atomic_path


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--root", type=Path, required=True, help="directory to write data/, calibration/, … into")
    parser.add_argument("--exposures", type=Path, required=True, help="CSV to write: the exposures that there are")
    return parser


def main(options: argparse.Namespace) -> None:
    """Write the night."""
    from skyharvest.simulate.desi_night.night import simulate  # noqa: PLC0415 (--help need not wait for it)

    exposures = simulate(options.root)
    with (
        atomic_path(options.exposures) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("NIGHT", "EXPID", "OBSTYPE", "CAMERAS"))
        writer.writerows((one.night, one.expid, one.obstype, " ".join(one.cameras)) for one in exposures)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
