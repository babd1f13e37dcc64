"""Extract many pixels of DESI in one job: `skyharvest.harvest.batch` with coadds."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

import numpy as np

from skyharvest.archive.archive import Archive, Cost
from skyharvest.core.errors import MalformedFile
from skyharvest.formats import hdf5
from skyharvest.harvest.extracted import WHOLE
from skyharvest.harvest.journal import Line
from skyharvest.surveys.desi.about import SURVEY
from skyharvest.surveys.desi.extract import extract
from skyharvest.surveys.desi.release import CoaddFile, Release
from skyharvest.surveys.desi.selection import Selection
from skyharvest.surveys.desi.shown import ARMS
from skyharvest.surveys.desi.wanted import Positions, Wanted

log = logging.getLogger(__name__)


def extract_pixels(
    archive: Archive,
    pixels: Mapping[int, Sequence[CoaddFile]],
    plan_targets: Path,
    extracted: Path,
    wanted: Wanted,
    *,
    more: Sequence[tuple[Archive, Callable[[str], None] | None]] = (),
    at_hand: Callable[[Sequence[CoaddFile]], AbstractContextManager[Archive]] | None = None,
) -> tuple[dict[int, str], Callable[[int, Cost], list[Line]]]:
    """Return the request of each pixel, and what extracts one: `skyharvest.harvest.batch.Batch` takes them.

    Parameters
    ----------
    pixels
        pix64 → its coadds.
    more
        The same archive, opened again, each with its `Wanted.check_absence`: as many pixels more can be extracted at
        once, in threads, which share nothing.
    at_hand
        Gives, for the coadds of a pixel, an archive to read them from instead, until the pixel is done.
    """
    wanted_of = {pix64: replace(wanted, targets=Positions.of_pixel(plan_targets, pix64)) for pix64 in pixels}

    free: SimpleQueue[tuple[Archive, Callable[[str], None] | None]] = SimpleQueue()
    for each in ((archive, wanted.check_absence), *more):
        free.put(each)

    def extract_pixel(pix64: int, cost: Cost) -> list[Line]:
        coadds, each = pixels[pix64], free.get()
        own, check_absence = each
        how = replace(wanted_of[pix64], check_absence=check_absence)
        try:
            with own.metered(cost), at_hand(coadds) if at_hand else nullcontext(own) as source:
                selections = extract(source, coadds, SURVEY.path(extracted, pix64), how)
        finally:
            free.put(each)
        return journal_lines(pix64, selections, cost, wanted_of[pix64])

    return {pix64: wanted_of[pix64].digest(coadds) for pix64, coadds in pixels.items()}, extract_pixel


@contextmanager
def with_resolution(
    archive: Archive, pixels: Mapping[int, Sequence[CoaddFile]], plan_targets: Path, extracted: Path, wanted: Wanted
) -> Iterator[list[Path]]:
    """Give extracted files of pixels that have all that is wanted, such as the resolution matrices.

    Those that are there are used as they are; what they lack is read again from the archive, into files that are
    removed when the block ends.
    """
    with TemporaryDirectory(prefix="skyharvest-") as directory:
        again = {
            pix64: coadds for pix64, coadds in pixels.items() if not _is_whole(SURVEY.path(extracted, pix64), wanted)
        }
        if again:
            log.info("%d of %d pixels are read again from the archive", len(again), len(pixels))
        _, extract_pixel = extract_pixels(archive, again, plan_targets, Path(directory), wanted)
        for pix64 in again:
            extract_pixel(pix64, Cost())
        yield [SURVEY.path(Path(directory) if pix64 in again else extracted, pix64) for pix64 in pixels]


def _is_whole(path: Path, wanted: Wanted) -> bool:
    with suppress(FileNotFoundError, MalformedFile), hdf5.reading(path) as file:
        if WHOLE in file.attrs:
            return False
        return not wanted.resolution or not len(file["row"]) or "resolution" in file[ARMS[0]]
    return False


def files_of(release: Release, coadds: Sequence[CoaddFile], *, redshifts: bool) -> list[tuple[list[str], str]]:
    """Return the files of each coadd and its directory's checksums, as `skyharvest.archive.download` takes them.

    With ``redshifts`` the redrock files beside them, too.
    """
    return [
        (
            [coadd.path, coadd.redrock] if redshifts else [coadd.path],
            release.checksums(coadd.survey, coadd.program, coadd.pix64),
        )
        for coadd in coadds
    ]


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
        rows, rows_empty = (
            wanted.targets.row[np.unique(chosen.target[of])].tolist() if wanted.targets else []
            for of in (chosen.kept, ~chosen.kept)
        )
        lines.append(
            Line(
                now,
                pix64,
                chosen.file.survey,
                chosen.file.program,
                chosen.status,
                n_searched=chosen.n_fibers,
                n_spectra=int(chosen.kept.sum()),
                seconds=own[k].seconds + share[k] * seconds,
                requests=own[k].requests + requests[k],
                bytes=own[k].bytes + n_bytes[k],
                rows=tuple(rows),
                rows_empty=tuple(rows_empty),
            )
        )
    return lines


def _shares(total: int, share: Sequence[float]) -> list[int]:
    """Divide a whole number into whole shares that add up to it."""
    steps = [round(total * part) for part in accumulate(share)]
    return [after - before for before, after in pairwise([0, *steps[:-1], total])]
