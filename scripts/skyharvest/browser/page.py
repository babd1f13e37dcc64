"""Pages to look at the spectra of one pixel with: ``healpix=N.html`` (`skyharvest.browser.site`)."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from skyharvest.browser import data
from skyharvest.browser.site import Json, PageKind, write
from skyharvest.browser.sources import PageSources, opened

PIXEL = PageKind.of_spectra(
    "pixel",
    home="Report",
    home_title="The report of this run",
    jump="TARGETID or CSV row",
    filter="qso z>2 zwarn=0",
)


def write_page(files: Mapping[str, Path], out: Path) -> int:
    """Write a page, its spectra, and the assets if they are not there; return the number of sources.

    Parameters
    ----------
    files
        Survey → its assembled file of the pixel.
    out
        The page. Spectra go to the directory of its name without ``.html``, assets to ``assets`` beside it.

    Raises
    ------
    MalformedFile, InputError
        As `skyharvest.browser.sources.opened` and `skyharvest.browser.site.write`.
    """
    with opened(files) as sources:
        page = data.page_data(sources)
        pixel = page["attributes"].get("healpix", "")
        write(
            out,
            PIXEL,
            page,
            _scripts(sources),
            title=f"HEALPix {pixel} · spectra",
            what=f"HEALPix {pixel}",
            origin=sources.origin.meta(),
        )
        return sources.n


def _scripts(sources: PageSources) -> Iterator[tuple[str, Json]]:
    for number in range(data.n_files(sources)):
        yield from data.files(sources, number).items()
