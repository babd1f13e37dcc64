"""Assemble the cutouts of one NSIDE=16 pixel into crossmatch_legacysurvey.hdf5."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.core import cli
from skyharvest.surveys.legacysurvey.assemble import RADII_ARCSEC, assemble_legacysurvey


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--pix16", type=int, required=True, help="NSIDE=16 NESTED pixel of the CSV's positions")
    made.add_argument("--targets", type=Path, required=True, metavar="TARGETS.parquet", help="from prepare_targets.py")
    made.add_argument("--extracted", type=Path, nargs="+", required=True, help="from extract_legacysurvey.py")
    made.add_argument("--radii", type=float, nargs="+", default=RADII_ARCSEC, help="of the apertures, arcsec")
    made.add_argument("--contact-sheet", type=Path, metavar="PNG", help="draw all cutouts there as well")
    made.add_argument("--out", type=Path, required=True, help="the file to write")
    made.add_argument("--name", default="chandra", help="HDF5 group that holds the CSV's own columns")
    made.add_argument("--release", required=True, help="a key of config/releases.yaml, such as dr10 (recorded)")
    made.add_argument("--config-hash", default="", help="of the run's configuration (recorded)")
    return made


def main(options: argparse.Namespace) -> None:
    """Assemble, and say how much there is."""
    n = assemble_legacysurvey(
        options.pix16,
        options.extracted,
        options.out,
        targets=options.targets,
        name=options.name,
        attributes={"release": options.release, "config_hash": options.config_hash},
        radii_arcsec=options.radii,
    )
    cli.log.info("%s: %d cutouts", options.out, n)
    if options.contact_sheet:
        from skyharvest.surveys.legacysurvey.contact_sheet import make_sheet  # noqa: PLC0415 (Pillow)

        make_sheet(options.out, options.contact_sheet, name=options.name)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
