"""Extract many pixels of DESI in one job: `skyharvest.harvest.batch` with coadds."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

from skyharvest.archive.archive import Archive, Cost
from skyharvest.harvest.batch import extract_units
from skyharvest.harvest.extracted import Listed
from skyharvest.harvest.journal import Journal, Line
from skyharvest.harvest.plan import extracted_path
from skyharvest.harvest.progress import Progress
from skyharvest.surveys.desi.extract import Positions, Selection, Wanted, extract
from skyharvest.surveys.desi.release import Release, parse_coadd_name, redrock_beside


def extract_batch(
    archive: Archive,
    pixels: Mapping[int, Sequence[str]],
    plan_targets: Path,
    extracted: Path,
    wanted: Wanted,
    *,
    again: Collection[str] = ("unreadable",),
    at_hand: Callable[[Sequence[str]], AbstractContextManager[Archive]] | None = None,
    journal: Journal | None = None,
    progress: Progress | None = None,
) -> list[Listed]:
    """Extract pixels into a file each. What an earlier, unfinished job has made is kept.

    Parameters
    ----------
    archive
        Where the coadds are.
    pixels
        pix64 → its coadds, as `skyharvest.surveys.desi.extract.extract` takes them.
    plan_targets
        ``plan_targets.npy``.
    extracted
        The directory ``desi/extracted``.
    wanted
        What to read; its targets are set here, pixel by pixel.
    again
        A pixel with a file of this status (``absent``, ``unreadable``) is not kept: it may do better now.
    at_hand
        Gives, for the coadds of a pixel, an archive to read them from instead, until the pixel is done.
    journal, progress
        Are told of every pixel that is finished or failed.

    Returns
    -------
    list of Listed
        A line of the batch's list for each pixel.

    Raises
    ------
    ArchiveUnavailable, HarvestError
        When all pixels have been tried, and some failed: the former if trying again may help. The message names them.
    """
    wanted_of = {pix64: replace(wanted, targets=Positions.of_pixel(plan_targets, pix64)) for pix64 in pixels}

    def extract_pixel(pix64: int, cost: Cost) -> list[Line]:
        coadds = pixels[pix64]
        with archive.metered(cost), at_hand(coadds) if at_hand else nullcontext(archive) as source:
            selections = extract(source, coadds, extracted_path(extracted, pix64), wanted_of[pix64])
        return journal_lines(pix64, selections, cost, wanted_of[pix64])

    return extract_units(
        {pix64: wanted_of[pix64].digest(coadds) for pix64, coadds in pixels.items()},
        lambda pix64: extracted_path(extracted, pix64),
        extract_pixel,
        kind="pixel",
        again=again,
        journal=journal,
        progress=progress,
    )


def files_of(release: Release, coadds: Sequence[str], *, redshifts: bool) -> list[tuple[list[str], str]]:
    """Return the files of each coadd and its directory's checksums, as `skyharvest.archive.download` takes them.

    Parameters
    ----------
    release
        Says where the checksums are.
    coadds
        Paths relative to the archive's root.
    redshifts
        Whether the redrock files beside them are wanted, too.
    """
    wanted = []
    for path in coadds:
        place = parse_coadd_name(path)
        assert place is not None
        wanted.append(([path, redrock_beside(path)] if redshifts else [path], release.checksums(*place)))
    return wanted


def journal_lines(pix64: int, selections: Sequence[Selection], cost: Cost, wanted: Wanted) -> list[Line]:
    """Return the journal's lines of a pixel that has been extracted.

    What the pixel took beyond the reading of its single coadds, as their downloads, is shared out by their fibers.
    """
    fibers = [chosen.n_fibers for chosen in selections]
    share = [n / sum(fibers) if sum(fibers) else 1 / len(fibers) for n in fibers]
    own = [chosen.cost for chosen in selections]
    seconds = cost.seconds - sum(each.seconds for each in own)
    requests = _shares(cost.requests - sum(each.requests for each in own), share)
    n_bytes = _shares(cost.bytes - sum(each.bytes for each in own), share)
    now = time.time()
    lines = []
    for k, chosen in enumerate(selections):
        survey, program, _ = parse_coadd_name(chosen.path) or ("", "", pix64)
        rows = wanted.targets.row[np.unique(chosen.target)].tolist() if wanted.targets else []
        lines.append(
            Line(
                now,
                pix64,
                survey,
                program,
                chosen.status,
                n_searched=chosen.n_fibers,
                n_spectra=len(chosen.fiber),
                seconds=own[k].seconds + share[k] * seconds,
                requests=own[k].requests + requests[k],
                bytes=own[k].bytes + n_bytes[k],
                rows=tuple(rows),
            )
        )
    return lines


def _shares(total: int, share: Sequence[float]) -> list[int]:
    """Divide a whole number into whole shares that add up to it."""
    steps = [round(total * part) for part in accumulate(share)]
    return [after - before for before, after in pairwise([0, *steps[:-1], total])]
