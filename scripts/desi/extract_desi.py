"""Extract, pixel by pixel, the DESI spectra that match a plan's targets, reading only their rows."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the library is

from skyharvest.archive.archive import Archive
from skyharvest.archive.download import downloaded
from skyharvest.core import cli
from skyharvest.core.errors import InputError
from skyharvest.core.settings import add_options
from skyharvest.harvest import extraction
from skyharvest.harvest.options import add_shared
from skyharvest.surveys.desi.about import SURVEY
from skyharvest.surveys.desi.batch import extract_pixels, files_of
from skyharvest.surveys.desi.release import CoaddFile, Release, load_release
from skyharvest.surveys.desi.settings import Settings
from skyharvest.surveys.desi.wanted import add_wanted_options, wanted_of


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument(
        "--pixel",
        action="append",
        nargs="+",
        required=True,
        metavar=("PIX64", "SURVEY/PROGRAM"),
        help="a pixel and its coadds, such as 27258 main/dark main/bright; may be given again",
    )
    add_shared(parser, "--download")
    add_wanted_options(parser)
    add_options(parser, Settings, targetid_radius="targetid_radius_arcsec")
    extraction.add_options(parser, SURVEY)
    return parser


def main(options: argparse.Namespace) -> None:
    """Extract all pixels, and write the list."""
    release = load_release(options.release)
    pixels = dict(coadds_of(release, *words) for words in options.pixel)
    wanted = wanted_of(options)
    with extraction.checked_archive(options) as (archive, check_absence):
        wanted = replace(wanted, check_absence=check_absence, targetid_radius_arcsec=options.targetid_radius)

        def at_hand(coadds: Sequence[CoaddFile]) -> AbstractContextManager[Archive]:
            return downloaded(archive, files_of(release, coadds, redshifts=wanted.redshifts), options.download)

        pixels_and_how = extract_pixels(
            archive, pixels, options.targets, options.extracted, wanted, at_hand=at_hand if options.download else None
        )
        extraction.extract_all(options, SURVEY, *pixels_and_how)


def coadds_of(release: Release, pixel: str, *kinds: str) -> tuple[int, list[CoaddFile]]:
    """Return a pixel's number and its coadds."""
    pairs = [kind.split("/") for kind in kinds]
    if not pixel.isdecimal() or not pairs or any(len(pair) != 2 for pair in pairs):
        raise InputError(f"--pixel {' '.join((pixel, *kinds))}: expected PIX64 SURVEY/PROGRAM [SURVEY/PROGRAM ...]")
    return int(pixel), [CoaddFile.of_release(release, survey, program, int(pixel)) for survey, program in pairs]


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
