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
from skyharvest.harvest.extracted import write_list
from skyharvest.harvest.journal import Journal
from skyharvest.harvest.progress import Progress
from skyharvest.surveys.desi import extract_options
from skyharvest.surveys.desi.batch import extract_batch, files_of
from skyharvest.surveys.desi.extract import absence_check
from skyharvest.surveys.desi.release import Release, load_release


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    made = cli.parser(__doc__ or "")
    made.add_argument("--archive", required=True, metavar="ROOT", help="directory or URL that holds spectro/")
    made.add_argument("--release", required=True, help="a key of config/releases.yaml, such as dr1")
    made.add_argument("--targets", type=Path, required=True, metavar="PLAN_TARGETS.npy", help="from plan_desi.py")
    made.add_argument(
        "--pixel",
        action="append",
        nargs="+",
        required=True,
        metavar=("PIX64", "SURVEY/PROGRAM"),
        help="a pixel and its coadds, such as 27258 main/dark main/bright; may be given again",
    )
    made.add_argument(
        "--extracted", type=Path, required=True, metavar="DIR", help="where to write {group}/{pix64}.hdf5"
    )
    made.add_argument("--list", type=Path, metavar="CSV", help="written when all of them are there")
    made.add_argument(
        "--download", type=Path, metavar="DIR", help="download whole coadds to here first, verify them, and remove them"
    )
    made.add_argument("--journal", type=Path, metavar="CSV", help="append a line to it for every coadd dealt with")
    made.add_argument(
        "--plan", type=Path, metavar="PLAN.csv", help="say every half minute how far the journal has come with it"
    )
    made.add_argument(
        "--again",
        nargs="*",
        choices=["unreadable", "absent"],
        default=["unreadable"],
        help="read a pixel again although it is there, if a file of it was recorded as this",
    )
    made.add_argument(
        "--known",
        metavar="PATH",
        help="a file that the archive has for certain: where that is absent, too, nothing is recorded as absent",
    )
    extract_options.add(made)
    return made


def main(options: argparse.Namespace) -> None:
    """Extract all pixels, and write the list."""
    release = load_release(options.release)
    pixels = dict(coadds_of(release, *words) for words in options.pixel)
    wanted = extract_options.wanted(options)
    with extract_options.archive(options) as archive:
        if options.known:
            wanted = replace(wanted, check_absence=absence_check(archive, options.known))

        def at_hand(coadds: Sequence[str]) -> AbstractContextManager[Archive]:
            return downloaded(archive, files_of(release, coadds, redshifts=wanted.redshifts), options.download)

        lines = extract_batch(
            archive,
            pixels,
            options.targets,
            options.extracted,
            wanted,
            again=options.again,
            at_hand=at_hand if options.download else None,
            journal=Journal(options.journal),
            progress=Progress(options.journal, options.plan),
        )
    if options.list:
        write_list(options.list, lines)
    cli.log.info("%d spectra of %d pixels", sum(line[1] for line in lines), len(lines))


def coadds_of(release: Release, pixel: str, *kinds: str) -> tuple[int, list[str]]:
    """Return a pixel's number and the paths of its coadds."""
    pairs = [kind.split("/") for kind in kinds]
    if not pixel.isdecimal() or not pairs or any(len(pair) != 2 for pair in pairs):
        raise InputError(f"--pixel {' '.join((pixel, *kinds))}: expected PIX64 SURVEY/PROGRAM [SURVEY/PROGRAM ...]")
    return int(pixel), [release.coadd(survey, program, int(pixel)) for survey, program in pairs]


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
