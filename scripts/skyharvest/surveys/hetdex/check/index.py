"""What is asked of a release's table of cubes before a run, and which cube the other questions are about."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from skyharvest.archive.archive import is_url
from skyharvest.core.arrays import Array
from skyharvest.core.errors import Absent, InputError, MalformedFile
from skyharvest.core.words import counted
from skyharvest.formats.byte_source import Source
from skyharvest.formats.fits_file import FitsFile
from skyharvest.formats.fits_hdu import HDU
from skyharvest.harvest import check
from skyharvest.harvest.check import ADAPTED, AS_ASSUMED, FAILS, NOTE, Asking, EnoughAsked, Finding, Work
from skyharvest.surveys.hetdex.index import NEEDED, Index, cubes_of, lacking_columns, stored_columns
from skyharvest.surveys.hetdex.plan import CUBE_BYTES, REACH, CubePlan, make_plan

REPORT = f"{check.REPORT}; if HETDEX's file is wrong, tell github.com/HETDEX/dexcube/issues, too"
UNREADABLE = "every cube like this would be recorded as unreadable"
ROWS_BYTES = 6_000_000  # of a table behind a server, which has some 40 MB
PIECES = 12  # that these bytes lie in, all over the table
SPECTRUM_BYTES = 13_000  # of flux, error and coverage, 1036 float32 each
DEGREES = ("", "deg", "degree", "degrees")


@dataclass
class Listed:
    """Rows of the table of cubes.

    Attributes
    ----------
    cubes
        Of the rows that were read.
    n_read, n_rows
        Rows that were read, and that the table has.
    plan
        For these cubes and the CSV's rows; None if the settings fit no cube.
    """

    cubes: Index
    n_read: int
    n_rows: int
    plan: CubePlan | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all rows were read."""
        return self.n_read == self.n_rows

    @property
    def share(self) -> str:
        """Which rows these are, in words."""
        return f"all {self.n_rows:,} rows" if self.is_whole else f"{self.n_read:,} of {self.n_rows:,} rows"


def columns_of_index(asking: Asking) -> Iterator[Finding]:
    """Ask for the table's columns, and read all rows or, behind a server, some from all over it."""
    path = asking.release.index()
    question, about, assumed = "columns of the index", asking.archive.location(path), ", ".join(NEEDED)
    try:
        with asking.archive.open(path) as source:
            hdu, stored, cubes, n_read = _read(source, some=is_url(about))
    except Absent:
        asking.archive.refuse_other_compression(path)
        means, change = "there is no list of cubes: nothing can be planned", "hetdex.archive, or hetdex.release"
        yield asking.found(FAILS, question, about, assumed="a table", seen="no file", means=means, change=change)
        raise EnoughAsked from None
    except MalformedFile as error:
        means = "nothing can be planned"
        yield asking.found(FAILS, question, about, assumed=assumed, seen=str(error), means=means, change=REPORT)
        raise EnoughAsked from None
    asking.shared["listed"] = Listed(cubes, n_read, hdu.n_rows)
    seen = ", ".join(stored[name] for name in NEEDED)
    means = "names are taken in any case"
    yield asking.compare(question, str(hdu), assumed=assumed, seen=seen, otherwise=ADAPTED, means=means)
    if lacking := lacking_columns(stored):
        yield _without(asking, hdu, lacking)
    yield from _rows(asking, hdu, stored)


def _read(source: Source, *, some: bool) -> tuple[HDU, dict[str, str], Index, int]:
    """Return the table, its columns, the cubes of the rows that were read, and how many rows these are."""
    fits = FitsFile(source)
    hdu = fits.table_with(NEEDED)
    stored = stored_columns(hdu)
    total = hdu.n_rows * hdu.row_bytes
    if not some or total <= ROWS_BYTES:
        spans = [(0, hdu.n_rows)]
    else:
        n_each = ROWS_BYTES // PIECES // hdu.row_bytes
        firsts = np.linspace(0, hdu.n_rows - n_each, PIECES).astype(int).tolist()
        spans = [(first, first + n_each) for first in firsts]
    begin, n_bytes = hdu.data_start, hdu.row_bytes
    data = b"".join(fits.source.read([(begin + first * n_bytes, begin + stop * n_bytes) for first, stop in spans]))
    return hdu, stored, cubes_of(hdu, data, stored), len(data) // hdu.row_bytes


def _without(asking: Asking, hdu: HDU, lacking: Sequence[str]) -> Finding:
    """Return what it means that columns are missing."""
    means, change = "they are left empty in the results", ""
    if "fwhm_virus" in lacking and asking.section["optimal"]:
        means += "; without fwhm_virus, the seeing, there are no optimal spectra"
        change = f"hetdex.optimal: null, or {REPORT}"
    if "field" in lacking and asking.section["fields"]:
        means, change = "no cube is of a field that is asked for", "hetdex.fields: null"
        verdict = FAILS
    else:
        verdict = ADAPTED
    return asking.found(
        verdict,
        "other columns of the index",
        str(hdu),
        assumed=", ".join(lacking),
        seen="not there, or of another kind",
        means=means,
        change=change,
    )


def _rows(asking: Asking, hdu: HDU, stored: dict[str, str]) -> Iterator[Finding]:
    """Yield what the rows say: their number, units, flags."""
    listed: Listed = asking.shared["listed"]
    question, assumed = "rows of the index", "11-digit shotid, ifuslot, position"
    n_bad = listed.n_read - len(listed.cubes)
    seen = f"so in {listed.share}"
    if n_bad:
        yield asking.found(
            NOTE,
            question,
            str(hdu),
            assumed=assumed,
            seen=f"{n_bad:,} of {listed.n_read:,} name no cube and place, or one twice",
            means="these rows are left out, with a warning",
        )
    else:
        yield asking.found(AS_ASSUMED, question, str(hdu), assumed=assumed, seen=seen)
    units = {name: hdu.columns[stored[name]].unit for name in ("ra_cen", "dec_cen")}
    odd = {name: unit for name, unit in units.items() if unit.strip().lower() not in DEGREES}
    if odd:
        yield asking.found(
            FAILS,
            "units of the index",
            f"{hdu}, TUNIT of {', '.join(odd)}",
            assumed="degrees",
            seen=", ".join(f"{name}: {unit}" for name, unit in odd.items()),
            means="positions are taken for degrees: cubes would be looked for at wrong places",
            change=REPORT,
        )
    flag = listed.cubes["flag"]
    least, most = (float(pick(flag)) if np.isfinite(flag).any() else np.nan for pick in (np.nanmin, np.nanmax))
    is_share = bool(0 <= least <= most <= 1)
    selects = asking.section["min_flag"] is not None
    yield asking.found(
        AS_ASSUMED if is_share else FAILS if selects else NOTE,
        "flags of the index",
        f"{hdu}, column {stored['flag']}",
        assumed="0 (bad) to 1 (good)",
        seen=f"{least:g} to {most:g}",
        means="" if is_share else "hetdex.min_flag would choose wrong cubes" if selects else "nothing depends on it",
        change=f"hetdex.min_flag: null, and {REPORT}" if selects and not is_share else "",
    )


def cubes_near_targets(asking: Asking) -> Iterator[Finding]:
    """Plan, in memory, with the rows that were read."""
    listed: Listed = asking.shared["listed"]
    targets = dict(asking.read_targets())
    section = asking.section
    question, about = "cubes near the CSV's positions", asking.archive.location(asking.release.index())
    assumed = f"some, within {REACH:g} arcsec"
    try:
        plan = make_plan(listed.cubes, targets, min_flag=section["min_flag"], fields=section["fields"])
    except InputError as error:
        verdict = FAILS if listed.is_whole else NOTE
        means = "nothing can be planned" if listed.is_whole else f"so in {listed.share}; others may have it"
        change = "hetdex.fields"
        yield asking.found(verdict, question, about, assumed=assumed, seen=str(error), means=means, change=change)
        return
    listed.plan = plan
    seen = f"{counted(len(plan.cubes), 'cube')} in {listed.share}, for {counted(plan.n_covered, 'position')}"
    if plan.n_covered:
        yield asking.found(AS_ASSUMED, question, about, assumed=assumed, seen=seen)
        return
    left_out = len(plan.left_out.rows)
    means = "there is nothing to harvest" if listed.is_whole else "rows that were not read may have some"
    if left_out:
        means = f"only cubes that hetdex.fields or hetdex.min_flag leaves out are near ({left_out:,} positions)"
    yield asking.found(
        NOTE, question, about, assumed=assumed, seen=seen, means=f"{means}; what follows is asked of another cube"
    )


def candidates(listed: Listed, most: int) -> Array:
    """Return rows of cubes to ask about, those first that a position of the CSV is nearest to the centre of."""
    if listed.plan is not None and len(listed.plan.targets):
        targets = listed.plan.targets[np.argsort(listed.plan.targets["separation_arcsec"], kind="stable")]
        keys = [(int(shotid), bytes(slot)) for shotid, slot in zip(targets["shotid"], targets["ifuslot"], strict=True)]
        of_key = {(int(cube["shotid"]), bytes(cube["ifuslot"])): k for k, cube in enumerate(listed.plan.cubes)}
        return np.asarray(listed.plan.cubes[[of_key[key] for key in list(dict.fromkeys(keys))[:most]]])
    return np.asarray(listed.cubes[np.linspace(0, len(listed.cubes) - 1, min(most, len(listed.cubes))).astype(int)])


def work(asking: Asking) -> Work:
    """Return how much a run reads and writes: of all rows of the table, as far as those that were read tell."""
    listed: Listed = asking.shared["listed"]
    size = asking.shared.get("cube_bytes", CUBE_BYTES)
    if listed.plan is None:
        return Work(files="no cubes", rows="0 CSV rows", n_files=0, round_trips=0, moved=0, kept=0)
    more = listed.n_rows / max(listed.n_read, 1)
    n_cubes = round(len(listed.plan.cubes) * more)
    about = "" if listed.is_whole else "about "
    n_spectra = round(len(listed.plan.targets) * more)
    return Work(
        files=f"{about}{counted(n_cubes, 'cube')}",
        rows=f"{about}{min(round(listed.plan.n_covered * more), listed.plan.n_accepted):,} CSV rows",
        n_files=n_cubes,
        round_trips=2,
        moved=n_cubes * size,
        kept=n_spectra * SPECTRUM_BYTES,
    )
