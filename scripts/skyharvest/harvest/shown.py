"""What the report, the spectrum browser and the reader show of a survey: parts of its description.

Rules ask for these while Snakemake parses them: nothing heavy is imported here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class ReportDescription:
    """A survey's section in the report. The defaults serve every survey.

    Attributes
    ----------
    result
        What a matched CSV row has: ``a spectrum``.
    words
        Status of the ledger → what it means, as far as the status alone does not say it.
    nearest
        What ``nearest_arcsec`` of the ledger is the distance to: ``fiber``.
    facts, figures, pictures, tables
        What the section shows, in this order: keys of `skyharvest.report.sections.FACTS`, `FIGURES`, `PICTURES` and
        `TABLES`. Each figure is a file of the report; pictures are there where a run has made them.
    file_states
        The states of files whose numbers the fact ``files`` gives.
    columns
        Column of the assembled files → its type (``f8``, ``i8``, ``U``), as far as the figures need them.
    constants
        Datasets of the assembled files that do not go by rows, such as names of bands.
    header_bytes, row_bytes
        Size of one of the archive's files as a whole: so much, and so much for each row that was searched. 0 where
        that is not known.
    fetched_whole
        Whether the archive's files can only be fetched whole.
    """

    result: str = "a spectrum"
    words: Mapping[str, str] = field(default_factory=dict)
    nearest: str = "object"
    facts: tuple[str, ...] = ("files",)
    figures: tuple[str, ...] = ("steps", "sky", "distances", "pixels")
    pictures: tuple[str, ...] = ()
    tables: tuple[str, ...] = ("pixels", "missing")
    file_states: tuple[str, ...] = ("read", "absent", "unreadable")
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: tuple[str, ...] = ()
    header_bytes: int = 0
    row_bytes: int = 0
    fetched_whole: bool = False


@dataclass(frozen=True)
class BrowserDescription:
    """What the pages of spectra take from a survey's assembled file.

    Attributes
    ----------
    role
        ``sources``: each row of the file is a row of the page's table, with all its columns and a ``targetid``;
        ``spectra``: spectra of a CSV row, drawn over the others; rows that no earlier survey has come last; ``images``:
        a picture of a CSV row. Of ``sources`` and ``images`` a page has one survey, the first.
    datasets
        What the file must have beside spectra and labels.
    columns
        ``sources``: columns of the page's table, where the file has them.
    labels
        ``spectra``: columns that together name one of several spectra of a source.
    """

    role: Literal["sources", "spectra", "images"]
    datasets: tuple[str, ...] = ("ra", "dec")
    columns: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReaderDescription:
    """How the survey's group of an assembled file is laid out.

    Attributes
    ----------
    axes
        Dataset that does not go by rows → the axis that it gives the values of. ``wavelength`` is that in vacuum.
    dimensions
        Patterns of datasets' names, and the names of their axes after the first one; the first that fits counts.
    kinds
        Kind of spectra (``{kind}_flux`` and so on) → the option that makes them.
    wavelength, wavelength_air
        Dataset of the wavelengths (Å) of a kind of spectra; the second is empty where there is none.
    uncertainty
        Whether spectra come with their inverse variance or with their error.
    image_group
        Group of the images, with their ``wcs``; empty: the survey's own.
    image_option
        The option that makes images; empty where there is none.
    """

    axes: Mapping[str, str] = field(default_factory=dict)
    dimensions: tuple[tuple[str, tuple[str, ...]], ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    wavelength: str = "{kind}_lambda"
    wavelength_air: str = ""
    uncertainty: Literal["ivar", "error"] = "ivar"
    image_group: str = ""
    image_option: str = ""


PIXELS = ("y_pixel", "x_pixel")
"""Axes of images."""
