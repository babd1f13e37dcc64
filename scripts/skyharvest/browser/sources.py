"""The files of a pixel whose spectra a page shows, open, and which rows of them belong to which CSV row."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py

from skyharvest.browser.encoding import plain
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats import hdf5
from skyharvest.harvest import assembled
from skyharvest.harvest.origin import Origin
from skyharvest.harvest.shown import BrowserDescription
from skyharvest.harvest.survey import Survey
from skyharvest.surveys import SURVEYS


@dataclass(frozen=True)
class OpenFile:
    """An assembled file, open.

    Attributes
    ----------
    group, csv
        What the survey has, and the CSV's columns beside it.
    rows
        CSV row → rows of the file.
    kinds
        The kinds of spectra that it has.
    alone
        The first row of each CSV row that none of the files before it has; ascending. Of a survey of spectra alone.
    """

    survey: Survey
    group: h5py.Group
    csv: h5py.Group
    rows: dict[int, list[int]]
    kinds: tuple[str, ...]
    alone: list[int] = field(default_factory=list)

    @property
    def shown(self) -> BrowserDescription:
        """What the survey says that pages take from its file."""
        assert self.survey.browser is not None
        return self.survey.browser


@dataclass(frozen=True)
class PageSources:
    """The files of a pixel.

    Attributes
    ----------
    main
        The file whose rows are the first sources.
    overlays
        Files of spectra that are drawn over the others; what they have alone comes last.
    images
        The file of images.
    attributes
        The root's, of the first file.
    releases
        Title of a survey → its release, where a file names it.
    origin
        Of which CSV, and of which settings of each survey, the files are.
    """

    main: OpenFile | None
    overlays: tuple[OpenFile, ...]
    images: OpenFile | None
    attributes: Mapping[str, Any]
    releases: Mapping[str, str]
    origin: Origin

    @property
    def n_main(self) -> int:
        """The number of sources of the main file, which come first."""
        return len(self.main.csv["row"]) if self.main is not None else 0

    @property
    def n(self) -> int:
        """The number of sources."""
        return self.n_main + sum(len(overlay.alone) for overlay in self.overlays)

    @property
    def csv(self) -> h5py.Group:
        """The CSV's columns, of the first file with spectra."""
        return (self.main or self.overlays[0]).csv

    @property
    def arms(self) -> tuple[str, ...]:
        """The kinds of spectra that the main file has beside ``spectrum``: native arms."""
        return tuple(kind for kind in self.main.kinds if kind != "spectrum") if self.main is not None else ()


@contextmanager
def opened(files: Mapping[str, Path]) -> Iterator[PageSources]:
    """Open the files of a pixel.

    Parameters
    ----------
    files
        Survey → its assembled file.

    Raises
    ------
    MalformedFile
        If a file lacks what its layout has; says what.
    InputError
        If the files are of other surveys, pixels or CSV files than they should be, or none has spectra.
    """
    shown = {name: survey.browser for name, survey in SURVEYS.items() if survey.browser is not None}
    of_spectra = [name for name, browser in shown.items() if browser.role != "images"]
    if not set(of_spectra) & set(files):
        titles = " or ".join(SURVEYS[name].title for name in of_spectra)
        raise InputError(f"there are no spectra to show: give the pixel's file of {titles}, or several")
    with ExitStack() as stack:
        main: OpenFile | None = None
        overlays: list[OpenFile] = []
        images: OpenFile | None = None
        releases, seen = {}, set[int]()
        config_hashes: dict[str, str] = {}
        first: h5py.File | None = None
        for name in (name for name in shown if name in files):
            file = stack.enter_context(hdf5.reading(files[name]))
            part = _open(file, files[name], SURVEYS[name])
            first = first or file
            _check_alike(file, first)
            config_hashes[name] = str(file.attrs.get("config_hash", ""))
            if "release" in file.attrs:
                releases[part.survey.title] = str(plain(file.attrs["release"]))
            if part.shown.role == "images":
                images = images or part
            elif part.shown.role == "sources" and main is None:
                main = part
            else:
                part.alone.extend(sorted(rows[0] for row, rows in part.rows.items() if row not in seen))
                overlays.append(part)
            if part.shown.role != "images":
                seen.update(part.rows)
        assert first is not None  # there is one with spectra
        attributes = {key: plain(value) for key, value in first.attrs.items()}
        origin = Origin(str(first.attrs.get("csv_sha256", "")), config_hashes)
        yield PageSources(main, tuple(overlays), images, attributes, releases, origin)


def _open(file: h5py.File, path: Path, survey: Survey) -> OpenFile:
    group, csv = assembled.groups(file, path)
    if file.attrs["survey"] != survey.name:
        raise InputError(f"{path} is of survey {file.attrs['survey']}, expected {survey.name}")
    layout = survey.reader
    kinds = tuple(kind for kind in layout.kinds if f"{kind}_flux" in group)
    rows: dict[int, list[int]] = {}
    for k, row in enumerate(csv["row"][:].tolist()):
        rows.setdefault(row, []).append(k)
    part = OpenFile(survey, group, csv, rows, kinds)
    needed = [*part.shown.datasets, *part.shown.labels]
    for kind in kinds if part.shown.role == "sources" else ("spectrum",) if part.shown.role == "spectra" else ():
        needed += [layout.wavelength.format(kind=kind), f"{kind}_flux", f"{kind}_{layout.uncertainty}"]
    missing = [name for name in needed if name not in group]
    if missing:
        raise MalformedFile(f"{path} has no {group.name}/{missing[0]}: remove it, the next run makes it anew")
    return part


def _check_alike(file: h5py.File, first: h5py.File) -> None:
    """Check that two files are of the same pixel and the same CSV file."""
    path, other = file.filename, first.filename
    pixel, expected = (one.attrs.get("healpix") for one in (file, first))
    if pixel != expected:
        raise InputError(f"{path} is of HEALPix pixel {pixel}, {other} of {expected}: give files of the same pixel")
    csv, expected = (one.attrs.get("csv_sha256", "") for one in (file, first))
    if csv != expected:
        raise InputError(
            f"{path} and {other} are of different CSV files (SHA-256 {csv or 'unknown'} and {expected or 'unknown'}), "
            "in which the same row is another source: run the workflow again, which makes both anew"
        )
