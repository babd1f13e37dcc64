"""Harvest a batch of DESI: extract the spectra that match targets, reading only their rows, and assemble them."""

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
from skyharvest.core.settings import add_options
from skyharvest.harvest import job
from skyharvest.harvest.options import add_shared
from skyharvest.surveys.desi.about import SURVEY
from skyharvest.surveys.desi.assemble import Layout, assemble
from skyharvest.surveys.desi.batch import extract_pixels, files_of
from skyharvest.surveys.desi.release import CoaddFile, load_release
from skyharvest.surveys.desi.settings import Settings, Spectra
from skyharvest.surveys.desi.wanted import add_wanted_options, wanted_of
from skyharvest.targets.settings import Targets


def build_parser() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = cli.parser(__doc__ or "")
    add_shared(parser, "--download")
    add_wanted_options(parser)
    add_options(parser, Settings, targetid_radius="targetid_radius_arcsec")
    add_options(parser, Targets, "name")
    add_options(parser, Spectra, "combine", "lsf", "arms")
    job.add_options(parser, SURVEY)
    return parser


def main(options: argparse.Namespace) -> None:
    """Harvest all pixels of the batch, and write its list."""
    release = load_release(options.release, archive=options.archive)
    work = job.Job.of(SURVEY, options)
    pixels = {
        pix64: [CoaddFile.of_release(release, *kind, pix64, options.archive) for kind in work.plan.files[pix64]]
        for pix64 in work.units
    }
    layout = Layout(
        name=options.name,
        combine=not options.no_combine,
        lsf=not options.no_lsf,
        arms=options.arms,
        redshifts=not options.no_redshifts,
    )
    attributes = {
        "release": release.name,
        "specprod": release.specprod,
        "radius_arcsec": options.radius,
        "config_hash": options.config_hash,
    }

    def assemble_pixel(pix16: int, extracted: list[Path], out: Path, made_from: str) -> int:
        about = attributes | {"made_from": made_from}
        return assemble(pix16, options.targets, extracted, out, layout=layout, attributes=about)

    with work.checked_archives(work.at_once) as [(archive, check_absence), *more]:
        wanted = replace(
            wanted_of(options),
            lsf=layout.lsf and layout.combine,
            resolution=layout.lsf and layout.arms,
            record_missing=True,
            check_absence=check_absence,
            targetid_radius_arcsec=options.targetid_radius,
        )

        def at_hand(coadds: Sequence[CoaddFile]) -> AbstractContextManager[Archive]:
            return downloaded(archive, files_of(release, coadds, redshifts=wanted.redshifts), work.scratch)

        plan_targets = work.beside_plan("plan_targets.npy")
        requests, extract = extract_pixels(
            archive,
            pixels,
            plan_targets,
            options.extracted,
            wanted,
            more=more,
            at_hand=at_hand if options.download else None,
        )
        work.run(requests, extract, assemble_pixel, at_once=work.at_once)


if __name__ == "__main__":
    sys.exit(cli.run(main, build_parser()))
