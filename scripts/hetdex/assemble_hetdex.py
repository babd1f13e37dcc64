"""Assemble the extracted HETDEX spectra of one NSIDE=16 pixel into crossmatch_hetdex.hdf5."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.surveys.hetdex.assemble import assemble_hetdex


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--pix16", type=int, required=True, help="NSIDE=16 NESTED pixel of the CSV's positions")
    made.add_argument("--targets", type=Path, required=True, metavar="TARGETS.parquet", help="from prepare_targets.py")
    made.add_argument(
        "--plan-targets", type=Path, required=True, metavar="PLAN_TARGETS.npy", help="from plan_hetdex.py"
    )
    made.add_argument("--plan-cubes", type=Path, required=True, metavar="PLAN_CUBES.npy", help="from plan_hetdex.py")
    made.add_argument("--extracted", type=Path, nargs="+", required=True, help="from extract_hetdex.py")
    made.add_argument("--out", type=Path, required=True, help="the file to write")
    made.add_argument("--name", default="chandra", help="HDF5 group that holds the CSV's own columns")
    made.add_argument("--release", required=True, help="a key of config/releases.yaml, such as pdr1 (recorded)")
    made.add_argument("--radius", type=float, default=3.5, help="of the aperture that was used, arcsec (recorded)")
    made.add_argument("--fits", type=Path, metavar="DIR", help="write each source's maps there as well")
    made.add_argument("--config-hash", default="", help="of the run's configuration (recorded)")
    return made


def main(options: argparse.Namespace) -> None:
    """Assemble, and say how much there is."""
    n = assemble_hetdex(
        options.pix16,
        options.extracted,
        options.out,
        targets=options.targets,
        plan_targets=options.plan_targets,
        plan_cubes=options.plan_cubes,
        name=options.name,
        attributes={
            "release": options.release,
            "aperture_radius_arcsec": options.radius,
            "config_hash": options.config_hash,
        },
        fits=options.fits,
    )
    cli.log.info("%s: %d spectra", options.out, n)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
