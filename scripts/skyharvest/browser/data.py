"""What the spectrum browser shows of a pixel: a table of all sources, and spectra in files of some rows each.

A source is a row of the main file (of the survey whose role is ``sources``), or a CSV row that only files of the role
``spectra`` have; these come last.

A page that is opened from disk may not read files, but it may run scripts. So the spectra lie beside the page in
scripts that hand over JSON (`skyharvest.browser.encoding`). `ROWS_PER_FILE` spectra are one script: it loads in 10 ms
from a local disk, as one of a single spectrum does, and there are fewer files.
"""

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

from skyharvest.browser.encoding import columns, encode, json_values, rows_as_text, runs, text
from skyharvest.browser.site import Json
from skyharvest.browser.sources import OpenFile, PageSources
from skyharvest.core.arrays import Array
from skyharvest.products.spectra import read_spectra
from skyharvest.surveys.legacysurvey.colors import lupton, shown_planes, sky_noise

ROWS_PER_FILE = 16
NO_DATA = 205  # grey of pixels that no image has: the page's own
COMBINED = "combined"  # what pages call the kind of spectra ``spectrum``


def n_files(sources: PageSources) -> int:
    """Return the number of scripts that hold the spectra."""
    return math.ceil(sources.n / ROWS_PER_FILE)


def page_data(sources: PageSources) -> Json:
    """Return what a page holds itself: the table of sources, column by column, and what is the same for all spectra.

    TARGETIDs are text, for JavaScript's numbers hold 53 bits. What is not a number, or is not known, is None or empty.
    """
    main, table = sources.main, _table(sources)
    counts = [(f"n_{overlay.survey.name}", overlay) for overlay in sources.overlays]
    if sources.images is not None:
        counts.append(("n_images", sources.images))
    for name, part in counts:
        table[name] = [len(part.rows.get(row, ())) for row in table["row"]]
    return {
        "attributes": dict(sources.attributes),
        "releases": dict(sources.releases),
        "name": sources.csv.name.removeprefix("/"),
        "table": table,
        "grids": _grids(sources),
        "arms": list(sources.arms),
        "rows_per_file": dict.fromkeys(("spectra", "arms"), ROWS_PER_FILE),
        "csv_columns": columns(sources.csv),
        "main": None if main is None else _named(main) | {"columns": columns(main.group)},
        "overlays": [_named(overlay) | {"labels": overlay.shown.labels} for overlay in sources.overlays],
        "images": None if sources.images is None else _named(sources.images),
    }


def _named(part: OpenFile) -> Json:
    return {"survey": part.survey.name, "title": part.survey.title}


def _table(sources: PageSources) -> dict[str, list[Any]]:
    table: dict[str, list[Any]] = {"targetid": [], "row": [], "ra": [], "dec": []}
    texts = set()
    if sources.main is not None:
        group, names = sources.main.group, [name for name in sources.main.shown.columns if name in sources.main.group]
        table["targetid"] = [str(value) for value in group["targetid"][:].tolist()]
        table["row"] = sources.main.csv["row"][:].tolist()
        table |= {name: json_values(group[name][:]) for name in names}
        texts = {name for name in names if group[name].dtype.kind in "SO"}
    for overlay in sources.overlays:
        rows = overlay.alone
        if not rows:
            continue
        known = {"targetid": [""] * len(rows), "row": overlay.csv["row"][rows].tolist()}
        known |= {name: json_values(overlay.group[name][rows]) for name in ("ra", "dec")}
        for name, values in table.items():
            values.extend(known.get(name, ["" if name in texts else None] * len(rows)))
    return table


def _grids(sources: PageSources) -> dict[str, str]:
    """Return the wavelengths, float64 Å in vacuum, of every kind of spectrum."""
    datasets = {}
    for part in (sources.main, *sources.overlays):
        if part is None:
            continue
        wavelength = part.survey.reader.wavelength
        if part is sources.main:
            for kind in part.kinds:
                datasets[COMBINED if kind == "spectrum" else kind] = part.group[wavelength.format(kind=kind)]
        else:
            datasets[part.survey.name] = part.group[wavelength.format(kind="spectrum")]
    return {name: encode(dataset[:].astype(np.float64)) for name, dataset in datasets.items()}


def files(sources: PageSources, number: int) -> dict[str, Json]:
    """Return the content of the ``number``-th scripts: ``spectra``, and ``arms`` where the file has them.

    Returns
    -------
    dict
        ``spectra``: ``sources``, of each the main file's spectrum (``data``: float32 flux and ivar; ``mask``: `runs`),
        and as text the CSV's columns (``csv``) and, by the survey's name, the main file's; by the name of each overlay,
        by CSV row, its spectra (``data``: float32 flux and error); ``images``, by CSV row a PNG.
        ``arms``: ``sources``, of each a spectrum per arm, or none.
    """
    start, stop, n = number * ROWS_PER_FILE, min((number + 1) * ROWS_PER_FILE, sources.n), sources.n_main
    of_rows: list[Json] = []
    of_arms: list[Json] = []
    csv_rows: set[int] = set()
    if sources.main is not None and start < n:
        rows, main = slice(start, min(stop, n)), sources.main
        csv_rows.update(main.csv["row"][rows].tolist())
        as_text = zip(rows_as_text(main.csv, rows), rows_as_text(main.group, rows), strict=True)
        of_rows = [{"csv": csv, main.survey.name: of_survey} for csv, of_survey in as_text]
        if "spectrum" in main.kinds:
            for source, spectrum in zip(of_rows, _spectra(main, "spectrum", rows), strict=True):
                source.update(spectrum)
        arms = zip(*(_spectra(main, arm, rows) for arm in sources.arms), strict=True)
        of_arms = [dict(zip(sources.arms, of_row, strict=True)) for of_row in arms]
    for overlay in sources.overlays:
        alone = overlay.alone[max(0, start - n) : max(0, stop - n)]
        n += len(overlay.alone)
        if alone:
            csv_rows.update(overlay.csv["row"][alone].tolist())
            of_rows += [{"csv": csv} for csv in rows_as_text(overlay.csv, alone)]
            of_arms += [{} for _ in alone]
    spectra: Json = {"sources": of_rows}
    in_order = sorted(csv_rows)
    for overlay in sources.overlays:
        rows_of = overlay.rows
        spectra[overlay.survey.name] = {
            str(row): _overlaid(overlay, rows_of[row]) for row in in_order if row in rows_of
        }
    if sources.images is not None:
        group, rows_of = sources.images.group, sources.images.rows
        spectra["images"] = {str(row): _picture(group, rows_of[row]) for row in in_order if row in rows_of}
    return {"spectra": spectra, "arms": {"sources": of_arms}} if sources.arms else {"spectra": spectra}


def _spectra(main: OpenFile, kind: str, rows: slice) -> list[Json]:
    read = read_spectra(main.group, main.survey.reader, kind, np.arange(rows.start, rows.stop), wide=False)
    flux, ivar = (values.astype(np.float32, copy=False) for values in (read.flux, read.ivar))
    return [
        {"data": encode(f, i), "mask": runs(m.astype(np.int64))} for f, i, m in zip(flux, ivar, read.mask, strict=True)
    ]


def _overlaid(overlay: OpenFile, rows: Sequence[int]) -> list[Json]:
    """Return the spectra of a CSV row, each with the columns that name it."""
    spectra = []
    for k in rows:
        read = read_spectra(overlay.group, overlay.survey.reader, "spectrum", k, wide=False)
        labels = {name: text(overlay.group[name][k : k + 1])[0] for name in overlay.shown.labels}
        data = encode(*(values.astype(np.float32, copy=False) for values in (read.flux, read.error)))
        spectra.append(labels | {"data": data})
    return spectra


def _picture(group: h5py.Group, rows: Sequence[int]) -> Json:
    """Return the cutout of a CSV row; of several the one that covers most."""
    best = max(rows, key=lambda k: float(np.nanmean(group["coverage"][k]))) if "coverage" in group else rows[0]
    image, bands = group["image"][best], [name.strip() for name in text(group["band"][:])]
    picture = {
        "png": base64.b64encode(color_png(image, bands)).decode("ascii"),
        "size": image.shape[-1],
        "bands": [band for band, plane in zip(bands, image, strict=True) if np.isfinite(plane).any()],
        "pixscale": float(group.attrs["pixscale"]) if "pixscale" in group.attrs else None,
        "brickname": text(group["brickname"][best : best + 1])[0] if "brickname" in group else "",
    }
    if all(name in group for name in ("x", "y", "x0", "y0")):
        picture["at"] = [float(group[axis][best] - group[f"{axis}0"][best]) for axis in ("x", "y")]
    return picture


def color_png(image: Array, bands: Sequence[str]) -> bytes:
    """Return a cutout as PNG, North (the last row) up, in the colours of contact sheets.

    Parameters
    ----------
    image
        (band, size, size) nanomaggy; NaN where there is no image.
    bands
        Their names.

    Returns
    -------
    bytes
        A PNG of size x size pixels, RGB.
    """
    from PIL import Image  # noqa: PLC0415 (only where there are images)

    pixels = np.full((*image.shape[1:], 3), NO_DATA, np.uint8)
    planes, _ = shown_planes(image, bands)
    if planes:
        pixels = lupton(planes, sky_noise(planes), pixels)
    packed = io.BytesIO()
    Image.fromarray(pixels[::-1]).save(packed, "PNG", optimize=True)
    return packed.getvalue()
