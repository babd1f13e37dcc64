"""What of a results directory belongs to earlier runs, once a run has ended: moved aside, not mixed and not deleted.

A run with a CSV that was corrected, other programs or another radius leaves files of pixels that it no longer searches,
and exports and pages that it did not make again. They are moved to ``superseded/{time}/``, below which they have the
paths that they had; ``superseded/moved.csv`` has a line for each: ``time, path, why``. What was extracted stays: it is
asked for by what it was made from, and spares reading the archive again.
"""

import csv
import re
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from skyharvest.harvest.manifest import Manifest, read_manifests
from skyharvest.harvest.origin import origin_of
from skyharvest.harvest.rules import Harvest

SUPERSEDED = "superseded"
EXPORTS = {"export_fits": "*.fits", "export_mmu": "*.hdf5"}
"""Directory of an export → its files of an NSIDE=16 pixel, each of which says what it is of."""

_PIXEL = re.compile(r"healpix=(\d+)")


@dataclass(frozen=True)
class Moved:
    """What was moved: its path below the results, and why."""

    path: Path
    why: str


def supersede(
    results: Path, harvests: Mapping[str, Harvest[Any]], csv_sha256: str, config_hashes: Mapping[str, str]
) -> list[Moved]:
    """Move what does not belong to the runs that have ended, if one of them is of this CSV and these settings.

    Parameters
    ----------
    harvests
        By survey, also those that are not asked for: what is there of the same CSV stays.
    csv_sha256, config_hashes
        Of the configuration's CSV, and of each survey's settings.

    Raises
    ------
    OSError
        If something cannot be moved.
    """
    manifests = read_manifests(results, harvests)
    current = {
        name: manifest
        for name, manifest in manifests.items()
        if manifest.csv_sha256 == csv_sha256
        and (not harvests[name].enabled or manifest.config_hash == config_hashes[name])
    }
    if not current:
        return []
    # Of these settings, but not run to an end yet: what was made of it this time is not judged.
    under_way = {name for name in manifests if name not in current and manifests[name].csv_sha256 == csv_sha256}
    found = [
        *_of_another_csv(
            results, {name: harvests[name] for name in harvests if name not in current}, manifests, csv_sha256
        ),
        *(moved for name, manifest in current.items() for moved in _assembled(results, harvests[name], manifest)),
        *_products(results, harvests, csv_sha256),
        *(_exports(results, current) if "desi" not in under_way else ()),
        *_pages(results, current, under_way),
    ]
    if found:
        _move(results, found)
    return found


def remove_old_lists(harvest: Harvest[Any]) -> None:
    """Remove the lists of batches that a survey's plan does not have any more: their pixels are in others now."""
    plan = Path(harvest.root, "plan.csv")
    batches = harvest.batches_of(harvest.survey.read_plan(plan)) if plan.exists() else {}
    for path in Path(harvest.list_of("")).parent.glob("*.*"):
        if path.stem not in batches and not path.name.startswith("."):
            path.unlink(missing_ok=True)


def _of_another_csv(
    results: Path, harvests: Mapping[str, Harvest[Any]], manifests: Mapping[str, Manifest], csv_sha256: str
) -> Iterator[Moved]:
    """Yield results of surveys whose last run was of another CSV; if it did not end, its files tell."""
    why = "its rows are those of another CSV"
    for name, harvest in harvests.items():
        manifest = manifests.get(name)
        if manifest is not None and manifest.csv_sha256 != csv_sha256:
            for path in (Path(harvest.assembled), *map(Path, harvest.account)):
                if path.exists():
                    yield Moved(path.relative_to(results), why)
        elif manifest is None:
            for pixel, directory in _pixels(Path(harvest.assembled)):
                path = Path(harvest.assembled_file(pixel))
                origin = origin_of(path, name) if path.exists() else None
                if origin is None or origin.csv_sha256 != csv_sha256:
                    yield Moved(directory.relative_to(results), why)


def _assembled(results: Path, harvest: Harvest[Any], manifest: Manifest) -> Iterator[Moved]:
    """Yield the pixels that a run did not search, and files beside those that it assembled."""
    for pixel, directory in _pixels(Path(harvest.assembled)):
        if pixel not in manifest.pixels:
            yield Moved(directory.relative_to(results), "no row is searched for in this pixel any more")
            continue
        for path in sorted(directory.iterdir()) if harvest.enabled else ():
            is_being_written = path.name.startswith(".")
            if path.name not in harvest.pixel_files and not is_being_written:
                yield Moved(path.relative_to(results), "the settings do not ask for it any more")


def _products(results: Path, harvests: Mapping[str, Harvest[Any]], csv_sha256: str) -> Iterator[Moved]:
    """Yield products that name rows of another CSV."""
    for harvest in harvests.values():
        for path in (Path(harvest.root, name) for name in harvest.products_by_row):
            if path.exists():
                origin = origin_of(path, harvest.name)
                if origin is None or origin.csv_sha256 != csv_sha256:
                    yield Moved(path.relative_to(results), "its rows are those of another CSV")


def _exports(results: Path, manifests: Mapping[str, Manifest]) -> Iterator[Moved]:
    """Yield exports that were not made from what is there."""
    why = "it was exported from results of another CSV or other settings"

    def belongs(path: Path) -> bool:
        origin = origin_of(path, "desi")
        return origin is not None and origin.belongs(manifests)

    for kind, pattern in EXPORTS.items():
        for _, directory in _pixels(results / kind):
            files = sorted(directory.glob(pattern))
            stale = [path for path in files if not belongs(path)]
            for path in [directory] if len(stale) == len(files) else stale:
                yield Moved(path.relative_to(results), why)
    hats = results / "export_hats"
    if hats.exists() and not belongs(hats):
        yield Moved(hats.relative_to(results), why)


def _pages(results: Path, manifests: Mapping[str, Manifest], under_way: Collection[str]) -> Iterator[Moved]:
    """Yield pages of pixels that were not made from what is there, with their spectra, and such a report."""
    report = results / "report"
    why = "it shows results of another CSV or other settings"
    for page in sorted(report.glob("*.html")):
        origin = origin_of(page)
        if origin is not None and (origin.belongs(manifests) or set(under_way) & set(origin.config_hashes)):
            continue
        beside = report / "figures" if page.name == "index.html" else page.with_suffix("")
        for path in (page, beside):
            if path.exists():
                yield Moved(path.relative_to(results), why)


def _pixels(directory: Path) -> list[tuple[int, Path]]:
    """Return the NSIDE=16 pixels that a directory has directories ``healpix=N`` of, in order."""
    paths = directory.iterdir() if directory.is_dir() else ()
    return sorted((int(number[1]), path) for path in paths if (number := _PIXEL.fullmatch(path.name)) and path.is_dir())


def _move(results: Path, found: list[Moved]) -> None:
    now = datetime.now(UTC)
    record = results / SUPERSEDED / "moved.csv"
    place, number = record.with_name(now.strftime("%Y-%m-%dT%H%M%S")), 2
    while place.exists():
        place, number = place.with_name(f"{place.name.partition('_')[0]}_{number}"), number + 1
    place.mkdir(parents=True)
    with record.open("a", newline="", encoding="utf-8") as stream:
        lines = csv.writer(stream, lineterminator="\n")
        if stream.tell() == 0:
            lines.writerow(("time", "path", "why"))
        for moved in found:
            to = place / moved.path
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(results / moved.path, to)  # a survey's directory may be a link to another disk
            lines.writerow((now.isoformat(timespec="seconds"), to.relative_to(results), moved.why))


def show(results: Path, moved: list[Moved]) -> str:
    """Return what a run that has moved something ends with."""
    lines = [
        f"{len(moved):,} files or directories of earlier runs do not belong to this one. They are in "
        f"{results / SUPERSEDED} now, listed in moved.csv there:"
    ]
    kinds = Counter((one.path.parts[0], one.why) for one in moved)
    return "\n".join([*lines, *(f"  {count:,} in {place}: {why}" for (place, why), count in kinds.items())])
