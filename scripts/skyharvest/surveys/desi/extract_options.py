"""What the programs that extract have in common on their command lines."""

import argparse

from skyharvest.core.errors import InputError
from skyharvest.surveys.desi.extract import Wanted


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--radius", type=float, default=1.0, help="match radius, arcsec")
    parser.add_argument("--report-radius", type=float, default=3.0, help="fibers up to here are counted, arcsec")
    parser.add_argument(
        "--no-resolution", action="store_true", help="leave out the resolution matrices (79 %% of the bytes)"
    )
    parser.add_argument("--no-redshifts", action="store_true", help="do not read the redrock files")
    parser.add_argument(
        "--record-missing",
        action="store_true",
        help="record a coadd that is absent or malformed, with the reason, and use the others",
    )


def wanted(options: argparse.Namespace) -> Wanted:
    """Return what to extract, without targets."""
    if options.report_radius < options.radius or options.radius <= 0:
        raise InputError("--radius must be positive and --report-radius not smaller")
    return Wanted(
        radius_arcsec=options.radius,
        report_radius_arcsec=options.report_radius,
        resolution=not options.no_resolution,
        redshifts=not options.no_redshifts,
        record_missing=options.record_missing,
    )
