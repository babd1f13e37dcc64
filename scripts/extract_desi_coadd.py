"""Extract from DESI coadds the spectra that match a list of positions, or all of them, reading only their rows."""

import argparse
import sys
from pathlib import Path

import numpy as np

from skyharvest import cli
from skyharvest.archive import Archive
from skyharvest.errors import InputError
from skyharvest.extract import Positions, Wanted, extract
from skyharvest.plan import NO_TARGETID, targets_of_pixel


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument(
        "--coadd",
        action="append",
        required=True,
        metavar="PATH_OR_URL",
        help="a coadd file; may be given again; relative to --archive if that is given. "
        "The redrock file is looked for beside it",
    )
    made.add_argument("--out", type=Path, required=True, metavar="OUT.hdf5", help="the file to write")
    made.add_argument("--archive", default=".", metavar="ROOT", help="directory or URL that the coadds are relative to")
    made.add_argument("--connections", type=int, default=1, help="open connections to the archive, at most")
    made.add_argument("--server-notes", type=Path, help="a file to remember in what the archive's server can do")
    made.add_argument("--targets", type=Path, metavar="CSV_OR_PARQUET", help="positions; without it every spectrum")
    made.add_argument("--pix64", type=int, help="the pixel whose targets are wanted, for --targets plan_targets.npy")
    made.add_argument("--ra", default="RA_DESI", help="column of a CSV with the right ascension, degrees")
    made.add_argument("--dec", default="DEC_DESI", help="column of a CSV with the declination, degrees")
    made.add_argument("--radius", type=float, default=1.0, help="match radius, arcsec")
    made.add_argument("--report-radius", type=float, default=3.0, help="fibers up to here are counted, arcsec")
    made.add_argument(
        "--no-resolution", action="store_true", help="leave out the resolution matrices (79 %% of the bytes)"
    )
    made.add_argument("--no-redshifts", action="store_true", help="do not read the redrock files")
    made.add_argument(
        "--record-missing",
        action="store_true",
        help="record a coadd that is absent or malformed, with the reason, and use the others",
    )
    return made


def main(options: argparse.Namespace) -> None:
    """Extract, and say how much was found."""
    if options.report_radius < options.radius or options.radius <= 0:
        raise InputError("--radius must be positive and --report-radius not smaller")
    wanted = Wanted(
        targets=load_positions(options) if options.targets else None,
        radius_arcsec=options.radius,
        report_radius_arcsec=options.report_radius,
        resolution=not options.no_resolution,
        redshifts=not options.no_redshifts,
        record_missing=options.record_missing,
    )
    with Archive(options.archive, connections=max(1, options.connections), notes=options.server_notes) as archive:
        selections = extract(archive, options.coadd, options.out, wanted)
    spectra = sum(len(chosen.fiber) for chosen in selections)
    states = [chosen.status for chosen in selections]
    cli.log.info("%s: %d spectra of %d coadds (%s)", options.out, spectra, len(states), ", ".join(states))


def load_positions(options: argparse.Namespace) -> Positions:
    """Read the targets from the plan's binary list, from ``targets.parquet``, or from a CSV."""
    path: Path = options.targets
    if path.suffix == ".npy":
        if options.pix64 is None:
            raise InputError(f"{path} holds the targets of every pixel: say which with --pix64")
        rows = targets_of_pixel(path, options.pix64)
        by_id = len(rows) > 0 and bool((rows["targetid"] != NO_TARGETID).all())
        return Positions(rows["row"], rows["ra"], rows["dec"], rows["targetid"] if by_id else None)
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq  # noqa: PLC0415 (jobs of the workflow do without)

        table = pq.read_table(path, columns=["row", "ra", "dec"])
    else:
        from skyharvest.targets import read_targets  # noqa: PLC0415

        table = read_targets(path, ra=options.ra, dec=options.dec).table
    return Positions(*(np.asarray(table.column(name).to_numpy()) for name in ("row", "ra", "dec")))


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
