"""What earlier runs have done of a plan's batches, and which of that is to be done again, whatever Snakemake knows.

Light: it is imported whenever the workflow is parsed.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skyharvest.core.atomic import atomic_path
from skyharvest.harvest.plan import Plan, Unit, lines_of, recorded

if TYPE_CHECKING:
    from skyharvest.harvest.survey import Survey

TAKEN_UP = " taken up again"
"""What follows the digest in that file where a job that was broken off is to go on, and to keep what is there."""


def done_for(listed: Path) -> Path:
    """Return the file beside a batch's list that says what the batch was done for; it is no rule's output."""
    return listed.with_suffix(".digest")


class Done:
    """Which batches of a plan are well, and which are to be done again. Each is asked once: what a run finds is final.

    Parameters
    ----------
    survey, plan
        What is harvested.
    batches
        Name of each batch → its NSIDE=16 pixels.
    extracted, assembled
        Directories of what batches make.
    pixel_files
        Names of what stands in the directory of an NSIDE=16 pixel.
    digest
        Returns what a batch of these pixels is to be done for: `skyharvest.harvest.rules.Harvest.digest`.
    meaning
        Attributes that the assembled files are to have.
    again
        Columns of a batch's list, ``n_{again}`` and ``n_beside_{again}``, that are to be zero: `unreadable`, `absent`.
    begun
        Whether the run has begun: then a batch that is to be done again no longer says that it was done.
    """

    def __init__(
        self,
        survey: "Survey",
        plan: Plan,
        batches: Mapping[str, list[int]],
        *,
        extracted: Path,
        assembled: Path,
        pixel_files: Collection[str],
        digest: Callable[[list[int]], str],
        meaning: Mapping[str, str],
        again: Sequence[str],
        begun: bool = False,
    ) -> None:
        self.survey, self.plan, self.batches = survey, plan, batches
        self.extracted, self.assembled, self.pixel_files = extracted, assembled, pixel_files
        self.digest, self.meaning, self.again, self.begun = digest, meaning, again, begun
        self._stale: dict[str, bool] = {}

    @property
    def stale(self) -> set[str]:
        """Those of the batches asked so far that are to be done again."""
        return {batch for batch, stale in self._stale.items() if stale}

    def is_to_do(self, batch: str) -> bool:
        """Tell whether a batch is to be done, for the first time or again."""
        return self.is_stale(batch) or not self._list_of(batch).exists()

    def is_stale(self, batch: str) -> bool:
        """Tell whether a batch that was done is to be done again."""
        if batch not in self._stale:
            listed, pixels = self._list_of(batch), self.batches[batch]
            stale = listed.exists() and (
                not all(self._is_assembled(pix16, listed) for pix16 in pixels)
                or is_stale(self.survey, listed, self.digest(pixels), self.plan.units(pixels), self.again)
            )
            self._judge(batch, stale=stale)
        return self._stale[batch]

    def want_extracted(self) -> None:
        """Have those batches done again that lack an extracted file: a new ledger needs them all."""
        for batch in self.batches:
            if not self.is_to_do(batch) and not all(path.exists() for path in self._extracted_by(batch)):
                self._judge(batch, stale=True)

    def n_bare(self) -> int:
        """Return how many units are to be dealt with again whose spectra or images are not kept."""
        of_batches = (self._extracted_by(batch) for batch in self.batches if self.is_to_do(batch))
        there = {path for paths in of_batches for path in paths if path.exists()}
        return sum(map(recorded().is_bare, there)) if there else 0

    def _list_of(self, batch: str) -> Path:
        return self.survey.listed(self.extracted, batch)

    def _extracted_by(self, batch: str) -> list[Path]:
        return [self.survey.path(self.extracted, unit) for unit in self.plan.units(self.batches[batch])]

    def _judge(self, batch: str, *, stale: bool) -> None:
        self._stale[batch] = stale
        if stale and self.begun:
            done_for(self._list_of(batch)).unlink(missing_ok=True)

    def _is_assembled(self, pix16: int, listed: Path) -> bool:
        """Tell whether a pixel of a batch that was done has its files, made from what the batch has extracted.

        They are looked into if one of them, or of the extracted ones, is newer than the list: another batch may have
        extracted a unit again, and a person may have had this file made alone, of another CSV.
        """
        path = self.survey.crossmatch(self.assembled, pix16)
        if not all(path.with_name(name).exists() for name in self.pixel_files):
            return False
        extracted = [self.survey.path(self.extracted, unit) for unit in self.plan.searched[pix16]]
        there = [path, *(one for one in extracted if one.exists())]
        if max(one.stat().st_mtime_ns for one in there) <= listed.stat().st_mtime_ns:
            return True
        return bool(recorded().is_assembled_from(path, extracted, self.meaning))


def is_stale(survey: "Survey", listed: Path, digest: str, units: Iterable[Unit], again: Sequence[str]) -> bool:
    """Tell whether a batch's list is not what a run that does it now would leave.

    So it is if it was done for other targets or settings, if its list counts a file that is to be tried again, or if
    another batch has extracted one of its units for something else since.

    Parameters
    ----------
    listed
        The batch's list.
    digest, again
        As `Done` has them.
    units
        Of the batch.
    """
    lines = {line["unit"]: line for line in lines_of(listed)}
    done = done_for(listed)
    if not done.exists() or done.read_text(encoding="utf-8").removesuffix(TAKEN_UP) != digest:
        return True
    if any(line[name] not in ("", "0") for line in lines.values() for name in line if name.endswith(tuple(again))):
        return True
    written = listed.stat().st_mtime_ns
    extracted = listed.parents[1]
    for unit in units:
        file = survey.path(extracted, unit)
        try:
            is_newer = file.stat().st_mtime_ns > written
        except FileNotFoundError:
            continue  # it is made when it is needed
        if is_newer and recorded().request_of(file) != lines[str(unit)]["request"]:
            return True
    return False


def note_begun(lists: Path, stale: Collection[str], taken_up: Collection[Path], *, forced: bool) -> None:
    """Say beside each list how its batch's job is to go on: keep what is there, or read all again.

    A job whose batch says that it was done, and lacks nothing, reads all of it again, as a person wants who forces it.
    So where Snakemake or `Done` has another reason for the job, that is not to be said.

    Parameters
    ----------
    lists
        Directory of the batches' lists.
    stale
        Batches that are to be done again because something is not well.
    taken_up
        Real paths of outputs of jobs that an earlier run began, and did not end. Whether these are done again is
        Snakemake's to say.
    forced
        Whether a person forces the jobs.
    """
    for done in lists.glob("*.digest"):
        listed = done.with_suffix(".csv")
        before = done.read_text(encoding="utf-8")
        if not forced and (not listed.exists() or done.stem in stale):
            done.unlink(missing_ok=True)
            continue
        is_taken_up = not forced and listed.resolve() in taken_up
        if (now := before.removesuffix(TAKEN_UP) + TAKEN_UP * is_taken_up) != before:
            with atomic_path(done) as temporary:
                temporary.write_text(now, encoding="utf-8")
