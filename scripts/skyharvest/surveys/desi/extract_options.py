"""What the programs that extract have in common on their command lines."""

import argparse

from skyharvest.core.errors import InputError
from skyharvest.core.settings import add_options
from skyharvest.harvest.settings import Match
from skyharvest.surveys.desi.extract import Wanted
from skyharvest.surveys.desi.settings import Spectra


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_options(parser, Match, radius="radius_arcsec", report_radius="report_radius_arcsec")
    add_options(parser, Spectra, "redshifts")
    parser.add_argument(
        "--no-resolution", action="store_true", help="leave out the resolution matrices (79 %% of the bytes)"
    )
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
