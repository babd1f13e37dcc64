"""What became of every row of the CSV, each exactly once. Of what is true of a row, the first counts.

====================  ==================================================================================
``matched``           at least one spectrum, or an image
``no_spectrum``       DESI: a fiber is within the match radius, but it has no data, or is one of sky
``coadd_unreadable``  one or more are there, but malformed on two readings; nothing was found in the others
``no_fiber``          at least one coadd was searched, none has a fiber within the match radius
``no_spectrum``       HETDEX: at least one cube was searched, none has usable voxels around the position
``no_image``          its brick's images were read, none has data around the position
``coadd_absent``      none could be searched: the release lists them, the archive has none of them
``not_selected``      the release lists coadds there, but none of those that the configuration selects
``not_covered``       no coadd of the release touches the row's match circle; no cube is near; it is in no brick
``rejected``          the row has no usable position; the reason is in ``targets/rejected.csv``
====================  ==================================================================================

(``cube_unreadable``, ``cube_absent``, ``brick_unreadable`` and ``brick_absent`` ditto.)
"""

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from skyharvest.core.arrays import Array, Bools, Floats, Ints
from skyharvest.core.atomic import atomic_path
from skyharvest.core.csv_file import write_rows
from skyharvest.core.errors import MalformedFile
from skyharvest.core.words import counted
from skyharvest.formats import hdf5
from skyharvest.harvest.extracted import read_files
from skyharvest.harvest.manifest import Manifest, csv_of, meaning_of
from skyharvest.harvest.not_selected import NotSelected, read_not_selected
from skyharvest.harvest.plan import Unit
from skyharvest.harvest.remarks import remarks
from skyharvest.harvest.survey import Survey
from skyharvest.targets import targetids


@dataclass
class Ledger:
    """The ledger's columns, all of the length of the CSV, and what was noticed on the way.

    Attributes
    ----------
    status : (n,) str
    n_spectra, n_within, pix64, missing : (n,) int64
        ``pix64`` is -1 for rejected rows.
    nearest_arcsec : (n,) float64
        Of the fibers within the report radius, or of the centres of the cubes; NaN where there is none.
    more
        `Survey.more_columns`, (n,) int64 each.
    files
        Number of coadds or cubes by status.
    left_out
        Rows for which only files are listed that the configuration does not select.
    rounded
        CSV row without a fiber of its TARGETID → TARGETID of a fiber that it was probably rounded from.
    unreadable
        ``coadd`` (or ``cube``) and ``reason`` of each malformed one.
    incomplete
        ``coadd``, ``without`` and ``reason`` of each one that was read without some part.
    csv_sha256, config_hash, pixels
        Of the run: `skyharvest.harvest.manifest.Manifest`.
    """

    survey: Survey
    status: npt.NDArray[np.str_]
    n_spectra: Ints
    nearest_arcsec: Floats
    n_within: Ints
    pix64: Ints
    missing: Ints
    more: dict[str, Ints] = field(default_factory=dict)
    files: Counter[str] = field(default_factory=Counter)
    unreadable: list[dict[str, str]] = field(default_factory=list)
    left_out: NotSelected = field(default_factory=NotSelected)
    rounded: dict[int, int] = field(default_factory=dict)
    incomplete: list[dict[str, str]] = field(default_factory=list)
    csv_sha256: str = ""
    config_hash: str = ""
    pixels: dict[int, int] = field(default_factory=dict)

    def manifest(self, release: str) -> Manifest:
        """Return what belongs to the run."""
        rows = len(self.status)
        return Manifest(self.survey.name, release, self.csv_sha256, self.config_hash, rows, self.pixels)


def account(
    *,
    targets: Path,
    rejected: Path,
    plan_targets: Path,
    extracted: Path,
    crossmatches: Path,
    name: str,
    survey: Survey,
    not_selected: Path | None = None,
    config_hash: str,
) -> Ledger:
    """Follow every CSV row through the files of a finished run.

    Parameters
    ----------
    extracted, crossmatches
        The directories ``desi/extracted`` and ``desi_crossmatches``.
    not_selected
        ``plan_not_selected.json``, of a survey with choices.
    config_hash
        That the assembled files are to have.

    Raises
    ------
    MalformedFile
        If the files do not agree with one another: a row missing or there twice, an extracted file of another plan,
        other numbers of spectra in the assembled files than in the extracted ones, an assembled file of another CSV or
        other settings.
    """
    accepted = pq.read_table(targets.absolute(), columns=["row", "pix16", "pix64"])
    row = accepted.column("row").to_numpy()
    refused = _rejected_rows(rejected)
    n = int((accepted.schema.metadata or {})[b"n_rows"])
    if not np.array_equal(np.sort(np.concatenate([row, refused])), np.arange(n)):
        raise MalformedFile(
            f"{targets} and {rejected} together do not hold every one of {n} CSV rows once: run `snakemake targets`"
        )

    ledger = Ledger(
        survey,
        status=np.full(n, "not_covered", f"U{max(map(len, survey.statuses))}"),
        n_spectra=np.zeros(n, np.int64),
        nearest_arcsec=np.full(n, np.inf),
        n_within=np.zeros(n, np.int64),
        pix64=np.full(n, -1, np.int64),
        missing=np.zeros(n, np.int64),
        left_out=read_not_selected(not_selected) if not_selected else NotSelected(),
        more={name: np.zeros(n, np.int64) for name in survey.more_columns},
        csv_sha256=csv_of(accepted.schema),
        config_hash=config_hash,
    )
    ledger.pix64[row] = accepted.column("pix64").to_numpy()
    searched, absent, unreadable, empty = (np.zeros(n, np.int64) for _ in range(4))
    torn = np.zeros(n, bool)
    for unit, planned in _by_unit(np.load(plan_targets, allow_pickle=False), survey):
        with _reading(survey.path(extracted, unit)) as file:
            of_targets = hdf5.read_table(file["targets"])
            files = read_files(file)
        at = of_targets["row"]
        if not np.array_equal(at, planned):
            raise MalformedFile(
                f"{survey.path(extracted, unit)} was made for another plan: remove it, the next run makes it anew"
            )
        ledger.n_spectra[at] += of_targets["n_spectra"]
        ledger.n_within[at] += of_targets[survey.near]
        for column, counts in ledger.more.items():
            counts[at] += of_targets[column]
        ledger.nearest_arcsec[at] = np.fmin(ledger.nearest_arcsec[at], of_targets["nearest_arcsec"])
        if "likely_targetid" in of_targets:
            rounded = of_targets["likely_targetid"]
            some = rounded != targetids.NONE
            ledger.rounded |= dict(zip(at[some].tolist(), rounded[some].tolist(), strict=True))
        if survey.empty:
            empty[at] += of_targets["n_empty"]
        for counter, status in ((searched, "read"), (absent, "absent"), (unreadable, "unreadable")):
            counter[at] += files.status.count(status)
        # That a neighbour's file is unreadable leaves nothing open: most rows need none of it.
        own = [
            s for s, kind in zip(files.status, files.kind, strict=True) if survey.kind_columns or kind == survey.kind
        ]
        torn[at] |= "unreadable" in own
        ledger.files.update(files.status)
        for path, status, reason in zip(files.path, files.status, files.reason, strict=True):
            if status == "unreadable":
                ledger.unreadable.append({survey.file: path, "reason": reason})
        ledger.incomplete += [
            {survey.file: path, "without": without, "reason": reason}
            for path, without, reason in zip(files.path, files.without, files.reason, strict=True)
            if without
        ]
    ledger.rounded = {row: ledger.rounded[row] for row in sorted(ledger.rounded) if ledger.n_spectra[row] == 0}
    ledger.missing = absent + unreadable
    ledger.nearest_arcsec[np.isinf(ledger.nearest_arcsec)] = np.nan

    ledger.status[sorted(ledger.left_out.rows)] = "not_selected"
    ledger.status[absent > 0] = f"{survey.file}_absent"
    ledger.status[searched > 0] = survey.unmatched
    ledger.status[torn] = f"{survey.file}_unreadable"
    if survey.empty:
        ledger.status[empty > 0] = survey.empty
    ledger.status[ledger.n_spectra > 0] = "matched"
    ledger.status[refused] = "rejected"
    _check_assembled(
        ledger,
        row,
        accepted.column("pix16").to_numpy(),
        planned=searched + ledger.missing > 0,
        crossmatches=crossmatches,
        name=name,
    )
    return ledger


@contextmanager
def _reading(path: Path) -> Iterator[h5py.File]:
    """Open a file of the run; `MalformedFile` where it has been removed since."""
    try:
        with hdf5.reading(path) as file:
            yield file
    except FileNotFoundError:
        raise MalformedFile(f"{path} is not there any more: run again, the next run makes it anew") from None


def _rejected_rows(rejected: Path) -> Ints:
    limit = csv.field_size_limit(sys.maxsize)  # a row may be there because a cell of it is huge
    try:
        with rejected.open(newline="", encoding="utf-8") as stream:
            return np.array([int(line["row"]) for line in csv.DictReader(stream)], np.int64)
    finally:
        csv.field_size_limit(limit)


def _by_unit(plan: Array, survey: Survey) -> Iterator[tuple[Unit, Ints]]:
    """Yield each unit of the plan with the CSV rows that it is searched for."""
    units, starts = np.unique(survey.units(plan), return_index=True)
    # Of an empty plan np.split still makes one part.
    yield from zip(units.tolist(), np.split(plan["row"], starts[1:]), strict=False)


def _check_assembled(ledger: Ledger, row: Ints, pix16: Ints, *, planned: Bools, crossmatches: Path, name: str) -> None:
    """Compare the spectra that the assembled files hold with those that were extracted, CSV row by CSV row."""
    assembled = np.zeros(len(ledger.status), np.int64)
    meaning = {"csv_sha256": ledger.csv_sha256, "config_hash": ledger.config_hash}
    for pixel in np.unique(pix16[planned[row]]).tolist():
        path = ledger.survey.crossmatch(crossmatches, pixel)
        with _reading(path) as file:
            found = meaning_of(file.attrs)
            if found != meaning:
                raise MalformedFile(f"{path} is of another run ({found}): remove it, the next run makes it anew")
            rows = file[f"{name}/row"][:]
        np.add.at(assembled, rows, 1)
        ledger.pixels[pixel] = len(rows)
    wrong = np.flatnonzero(assembled != ledger.n_spectra)
    if len(wrong):
        raise MalformedFile(
            f"{crossmatches}: CSV row {wrong[0]} has {assembled[wrong[0]]} spectra in the assembled files and "
            f"{ledger.n_spectra[wrong[0]]} in the extracted ones ({len(wrong)} rows differ): run again; if "
            "that does not help, remove the assembled files of this run, the next run makes them anew"
        )


def write_ledger(ledger: Ledger, path: Path) -> None:
    """Write ``ledger.csv``: a line per CSV row, in order. What does not apply is empty."""
    nearest = [f"{value:.5f}" if np.isfinite(value) else "" for value in ledger.nearest_arcsec.tolist()]
    pixels = [str(pixel) if pixel >= 0 else "" for pixel in ledger.pix64.tolist()]
    lines = zip(
        range(len(ledger.status)),
        ledger.status.tolist(),
        ledger.n_spectra.tolist(),
        nearest,
        ledger.n_within.tolist(),
        pixels,
        ledger.missing.tolist(),
        *(counts.tolist() for counts in ledger.more.values()),
        strict=True,
    )
    write_rows(path, ledger.survey.columns, lines)


def summarise(ledger: Ledger, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the totals; those by status add up to the CSV's rows, which is asserted."""
    counts = Counter(ledger.status.tolist())
    statuses, files = ledger.survey.statuses, ledger.survey.files
    assert set(counts) <= set(statuses)
    assert sum(counts.values()) == len(ledger.status)
    rounded = {str(row): str(targetid) for row, targetid in ledger.rounded.items()}  # JSON's numbers are rounded, too
    return {
        "survey": ledger.survey.name,
        **about,
        "rows": len(ledger.status),
        "status": {status: counts[status] for status in statuses},
        ledger.survey.product: int(ledger.n_spectra.sum()),
        files: {state: ledger.files[state] for state in ("read", "absent", "unreadable")},
        **{name: int(counts.sum()) for name, counts in ledger.more.items()},
        "without": dict(Counter(part for bad in ledger.incomplete for part in bad["without"].split("; "))),
        f"unreadable_{files}": ledger.unreadable,
        f"incomplete_{files}": ledger.incomplete,
        **({"rounded_targetids": rounded} if rounded else {}),
        **({"not_selected": ledger.left_out.totals()} if ledger.survey.choices else {}),
    }


def write_summary(summary: Mapping[str, Any], path: Path) -> None:
    """Write ``summary.json``."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def n_files(count: int, survey: Survey) -> str:
    """Return a number of a survey's files, as the ledger counts them: ``1 coadd``, ``2 coadds``."""
    return counted(count, survey.files.removesuffix("s"))


def show(summary: Mapping[str, Any], survey: Survey) -> str:
    """Return the summary as the table that a run ends with."""
    rows, file, files = summary["rows"], survey.file, survey.files
    lines = [f"{summary['survey']:<18}{'rows':>9}{'share':>9}"]
    for status, count in summary["status"].items():
        lines.append(f"{status:<18}{count:>9,}{count / rows if rows else 0:>9.1%}")
    lines += [
        f"{'all CSV rows':<18}{rows:>9,}",
        "",
        f"{survey.product:<18}{summary[survey.product]:>9,}",
        *(f"{f'{files} {state}':<18}{count:>9,}" for state, count in summary[files].items()),
    ]
    lines += [f"{name:<18}{summary[name]:>9,}" for name in survey.more_columns if summary[name]]
    lines += [f"read without {part}: {n_files(count, survey)}" for part, count in summary.get("without", {}).items()]
    for bad in summary[f"unreadable_{files}"]:
        lines.append(f"unreadable: {bad[file]}: {bad['reason']}")
    return "\n".join([*lines, *remarks(summary)])
