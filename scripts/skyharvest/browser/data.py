"""What the spectrum browser shows of a pixel: a table of all sources, and spectra in files of some rows each.

A source is a spectrum of DESI's file, or a CSV row that HETDEX alone has spectra of; these come last.

A browser cannot read HDF5, and a page that is opened from disk may not read files, but it may run scripts. So the
spectra lie beside the page in scripts that hand over JSON. Numbers of spectra are in it as they are in the file:
little-endian float32, the bytes of equal significance together, zlib, base64 (`encode`). That is 70 kB for flux and
inverse variance of a real spectrum, of 62 kB; without zlib it would be 83 kB. `ROWS_PER_FILE` spectra are one script:
it loads in 10 ms from a local disk, as one of a single spectrum does, and there are fewer files.
"""

import base64
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from skyharvest.browser.images import color_png
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats import hdf5
from skyharvest.surveys import SURVEYS
from skyharvest.surveys.desi.coadd import ARMS

Array = npt.NDArray[Any]
Json = dict[str, Any]

ROWS_PER_FILE = 16
COMBINED, HETDEX = "combined", "hetdex"  # names of grids, beside the arms'
TABLE = (
    *("ra", "dec", "z", "zerr", "zwarn", "deltachi2", "spectype", "subtype"),
    *("survey", "program", "separation_arcsec", "primary"),
)
DESI_DATASETS = ("targetid", "ra", "dec")
HETDEX_DATASETS = ("ra", "dec", "spectrum_lambda_vacuum", "spectrum_flux", "spectrum_error", "shotid", "ifuslot")
IMAGE_DATASETS = ("image", "band")
_LEVEL = 6  # of zlib: higher ones gain nothing


@dataclass(frozen=True)
class Beside:
    """A file of another survey whose rows are found by CSV row.

    Attributes
    ----------
    group
        The survey's.
    csv
        The group of the CSV's columns.
    rows
        CSV row → rows of the file.
    """

    group: h5py.Group
    csv: h5py.Group
    rows: dict[int, list[int]]


@dataclass(frozen=True)
class Sources:
    """The files of a pixel, open.

    Attributes
    ----------
    desi, hetdex, images
        What there is of DESI's, HETDEX's and the Legacy Surveys' files.
    name
        The group of the CSV's columns.
    alone
        Of CSV rows that DESI has no spectrum of, the first row in HETDEX's file each; ascending.
    kinds
        What spectra DESI's file has: `COMBINED` and names of arms.
    attributes
        The root's: of the pixel, and of the first file.
    releases
        Survey → its release, where a file names it.
    """

    name: str
    alone: list[int]
    kinds: tuple[str, ...]
    attributes: Mapping[str, Any]
    releases: Mapping[str, str]
    desi: Beside | None = None
    hetdex: Beside | None = None
    images: Beside | None = None

    @property
    def n_desi(self) -> int:
        """The number of DESI's spectra, which come first."""
        return len(self.desi.group["targetid"]) if self.desi is not None else 0

    @property
    def n(self) -> int:
        """The number of sources."""
        return self.n_desi + len(self.alone)

    @property
    def arms(self) -> tuple[str, ...]:
        """The native arms that are in the file."""
        return tuple(kind for kind in self.kinds if kind != COMBINED)

    @property
    def n_files(self) -> int:
        """The number of scripts that hold the spectra."""
        return math.ceil(self.n / ROWS_PER_FILE)


@contextmanager
def opened(crossmatch: Path | None, hetdex: Path | None = None, images: Path | None = None) -> Iterator[Sources]:
    """Open the files of a pixel: DESI's, HETDEX's or both, and the Legacy Surveys' where given.

    Raises
    ------
    MalformedFile
        If a file lacks what its layout has; says what.
    InputError
        If the files are of different pixels or CSV files, or there is neither DESI's nor HETDEX's.
    """
    if crossmatch is None and hetdex is None:
        raise InputError("there are no spectra to show: give DESI's file of the pixel, HETDEX's, or both")
    given = [
        (survey, path, datasets)
        for survey, path, datasets in (
            ("desi", crossmatch, DESI_DATASETS),
            ("hetdex", hetdex, HETDEX_DATASETS),
            ("legacysurvey", images, IMAGE_DATASETS),
        )
        if path is not None
    ]
    with ExitStack() as stack:
        found: dict[str, Beside] = {}
        first: h5py.File | None = None
        releases = {}
        for survey, path, datasets in given:
            file = stack.enter_context(hdf5.reading(path))
            group, name = _groups(file, path, survey)
            _need(group, path, *datasets)
            if first is None:
                first, first_path, first_name = file, path, name
            elif file.attrs.get("healpix") != first.attrs.get("healpix"):
                raise InputError(
                    f"{path} is of HEALPix pixel {file.attrs.get('healpix')}, {first_path} of "
                    f"{first.attrs.get('healpix')}: give files of the same pixel"
                )
            elif [*file[name]] != [*first[first_name]]:
                raise InputError(
                    f"{path} and {first_path} have different columns of the CSV file: run the workflow again, which "
                    "makes both anew"
                )
            if "release" in file.attrs:
                releases[survey] = str(_plain(file.attrs["release"]))
            rows: dict[int, list[int]] = {}
            for k, row in enumerate(file[name]["row"][:].tolist()):
                rows.setdefault(row, []).append(k)
            found[survey] = Beside(group, file[name], rows)
        assert first is not None  # one of two was given
        desi, of_hetdex = found.get("desi"), found.get("hetdex")
        covered = desi.rows if desi else {}
        yield Sources(
            name=first_name,
            alone=sorted(found[0] for row, found in of_hetdex.rows.items() if row not in covered) if of_hetdex else [],
            kinds=_kinds(desi.group, first_path) if desi else (),
            attributes={key: _plain(value) for key, value in first.attrs.items()},
            releases=releases,
            desi=desi,
            hetdex=of_hetdex,
            images=found.get("legacysurvey"),
        )


def _groups(file: h5py.File, path: Path, survey: str) -> tuple[h5py.Group, str]:
    if survey not in file:
        raise MalformedFile(f"{path} has no group /{survey}; it has {', '.join(file) or 'nothing'}: is it that file?")
    named = [name for name in file if name != survey and isinstance(file[name], h5py.Group) and "row" in file[name]]
    if len(named) != 1:
        raise MalformedFile(
            f"{path} has {len(named)} groups with a column `row` beside /{survey}, expected one, the CSV's: remove it, "
            "the next run makes it anew"
        )
    return file[survey], named[0]


def _need(group: h5py.Group, path: Path, *names: str) -> None:
    missing = [name for name in names if name not in group]
    if missing:
        raise MalformedFile(f"{path} has no {group.name}/{missing[0]}: remove it, the next run makes it anew")


def _kinds(desi: h5py.Group, path: Path) -> tuple[str, ...]:
    kinds = []
    for kind, prefix in ((COMBINED, "spectrum"), *((arm, arm) for arm in ARMS)):
        if f"{prefix}_flux" in desi:
            _need(desi, path, f"{prefix}_lambda", f"{prefix}_ivar", f"{prefix}_mask")
            kinds.append(kind)
    return tuple(kinds)


def encode(*arrays: Array) -> str:
    """Return arrays of one type, one after the other: bytes of equal significance together, zlib, base64.

    What undoes it is ``decode`` in ``assets/data.js``.
    """
    joined = np.concatenate([np.ravel(array) for array in arrays])
    joined = joined.astype(joined.dtype.newbyteorder("<"), copy=False)
    planes = joined.view(np.uint8).reshape(len(joined), joined.dtype.itemsize).T.tobytes()
    return base64.b64encode(zlib.compress(planes, _LEVEL)).decode("ascii")


def runs(mask: Array) -> list[list[int]]:
    """Return where a mask is not 0, as ``[start, stop, value]``, half-open, of equal values.

    Parameters
    ----------
    mask
        (n,) integers.
    """
    edges = np.flatnonzero(np.diff(mask)) + 1
    starts, stops = np.append(0, edges), np.append(edges, len(mask))
    return [[int(a), int(b), int(mask[a])] for a, b in zip(starts, stops, strict=True) if a < b and mask[a]]


def page_data(sources: Sources) -> Json:
    """Return what a page holds itself: the table of sources, column by column, and what is the same for all spectra.

    TARGETIDs are text, for JavaScript's numbers hold 53 bits. What is not a number, or is not known, is None or empty.
    """
    table = _table(sources)
    rows = table["row"]
    for name, beside in (("n_hetdex", sources.hetdex), ("n_images", sources.images)):
        if beside is not None:
            table[name] = [len(beside.rows.get(row, ())) for row in rows]
    csv = [beside.csv for beside in (sources.desi, sources.hetdex) if beside is not None]
    return {
        "attributes": dict(sources.attributes),
        "releases": {SURVEYS[survey].title: release for survey, release in sources.releases.items()},
        "name": sources.name,
        "table": table,
        "grids": _grids(sources),
        "arms": list(sources.arms),
        "rows_per_file": ROWS_PER_FILE,
        "csv_columns": _columns(csv[0]),
        "desi_columns": _columns(sources.desi.group) if sources.desi is not None else [],
    }


def _table(sources: Sources) -> dict[str, list[Any]]:
    table: dict[str, list[Any]] = {"targetid": [], "row": [], "ra": [], "dec": []}
    texts = set()
    if sources.desi is not None:
        desi = sources.desi.group
        table["targetid"] = [str(value) for value in desi["targetid"][:].tolist()]
        table["row"] = sources.desi.csv["row"][:].tolist()
        table |= {name: _values(desi[name][:]) for name in TABLE if name in desi}
        texts = {name for name in TABLE if name in desi and desi[name].dtype.kind in "SO"}
    if sources.hetdex is not None and sources.alone:
        rows = sources.alone
        known = {"targetid": [""] * len(rows), "row": sources.hetdex.csv["row"][rows].tolist()}
        known |= {name: _values(sources.hetdex.group[name][rows]) for name in ("ra", "dec")}
        for name, values in table.items():
            values.extend(known.get(name, ["" if name in texts else None] * len(rows)))
    return table


def _grids(sources: Sources) -> dict[str, str]:
    """Return the wavelengths, float64 Å in vacuum, of every kind of spectrum."""
    datasets = {}
    if sources.desi is not None:
        desi = sources.desi.group
        datasets = {kind: desi["spectrum_lambda" if kind == COMBINED else f"{kind}_lambda"] for kind in sources.kinds}
    if sources.hetdex is not None:
        datasets[HETDEX] = sources.hetdex.group["spectrum_lambda_vacuum"]
    return {kind: encode(dataset[:].astype(np.float64)) for kind, dataset in datasets.items()}


def _items(group: h5py.Group) -> dict[str, h5py.Dataset]:
    """Return the columns of a group; the spectra's wavelengths are none, even where there are as many rows."""
    n = len(group["row"] if "row" in group else group["targetid"])
    return {
        name: item
        for name, item in group.items()
        if isinstance(item, h5py.Dataset) and item.shape == (n,) and not name.endswith("_lambda")
    }


def _columns(group: h5py.Group) -> list[list[str]]:
    """Return name and unit of the columns of a group."""
    return [
        [str(item.attrs.get("column", name)), str(item.attrs.get("unit", ""))] for name, item in _items(group).items()
    ]


def _shown(group: h5py.Group, rows: slice | list[int]) -> list[list[str]]:
    """Return the columns of a group as text, row by row; what is null or no number is empty."""
    columns = []
    for item in _items(group).values():
        values, null = item[rows], item.attrs.get("null_value")
        if values.dtype.kind in "SO":
            columns.append([value.strip() for value in _text(values)])
        else:
            empty = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
            if null is not None:
                empty |= values == null
            columns.append(["" if none else str(value) for value, none in zip(values, empty, strict=True)])
    return [list(row) for row in zip(*columns, strict=True)]


def files(sources: Sources, number: int) -> dict[str, Json]:
    """Return the content of the ``number``-th scripts: ``spectra``, and ``arms`` where the file has them.

    Returns
    -------
    dict
        ``spectra``: ``sources``, of each the combined spectrum (``data``: float32 flux and ivar; ``mask``: `runs`),
        ``csv`` and ``desi``, its columns as text, of what is not HETDEX's alone; ``hetdex``, by CSV row the spectra of
        every shot (``data``: float32 flux and error); ``images``, by CSV row a PNG.
        ``arms``: ``sources``, of each a spectrum per arm, or none.
    """
    start, stop, n = number * ROWS_PER_FILE, min((number + 1) * ROWS_PER_FILE, sources.n), sources.n_desi
    alone = sources.alone[max(0, start - n) : max(0, stop - n)]
    of_rows: list[Json] = []
    of_arms: list[Json] = []
    rows_wanted: list[int] = []
    if sources.desi is not None and start < n:
        rows, desi = slice(start, min(stop, n)), sources.desi.group
        rows_wanted += sources.desi.csv["row"][rows].tolist()
        shown = zip(_shown(sources.desi.csv, rows), _shown(desi, rows), strict=True)
        of_rows = [{"csv": csv, "desi": columns} for csv, columns in shown]
        if COMBINED in sources.kinds:
            for source, spectrum in zip(of_rows, _spectra(desi, "spectrum", rows), strict=True):
                source.update(spectrum)
        arms = zip(*(_spectra(desi, arm, rows) for arm in sources.arms), strict=True)
        of_arms = [dict(zip(sources.arms, of_row, strict=True)) for of_row in arms]
    if sources.hetdex is not None and alone:
        rows_wanted += sources.hetdex.csv["row"][alone].tolist()
        of_rows += [{"csv": csv} for csv in _shown(sources.hetdex.csv, alone)]
        of_arms += [{} for _ in alone]
    made: Json = {"sources": of_rows}
    wanted = sorted(set(rows_wanted))
    if sources.hetdex is not None:
        found = sources.hetdex.rows
        made["hetdex"] = {str(row): _hetdex(sources.hetdex.group, found[row]) for row in wanted if row in found}
    if sources.images is not None:
        found = sources.images.rows
        made["images"] = {str(row): _picture(sources.images.group, found[row]) for row in wanted if row in found}
    return {"spectra": made, "arms": {"sources": of_arms}} if sources.arms else {"spectra": made}


def _spectra(desi: h5py.Group, prefix: str, rows: slice) -> list[Json]:
    flux, ivar = (desi[f"{prefix}_{kind}"][rows].astype(np.float32, copy=False) for kind in ("flux", "ivar"))
    mask = desi[f"{prefix}_mask"][rows]
    return [{"data": encode(f, i), "mask": runs(m)} for f, i, m in zip(flux, ivar, mask, strict=True)]


def _hetdex(group: h5py.Group, rows: Sequence[int]) -> list[Json]:
    return [
        {
            "shotid": str(group["shotid"][k]),
            "ifuslot": _text(group["ifuslot"][k : k + 1])[0],
            "data": encode(
                *(group[f"spectrum_{kind}"][k].astype(np.float32, copy=False) for kind in ("flux", "error"))
            ),
        }
        for k in rows
    ]


def _picture(group: h5py.Group, rows: Sequence[int]) -> Json:
    """Return the cutout of a CSV row; of several the one that covers most."""
    best = max(rows, key=lambda k: float(np.nanmean(group["coverage"][k]))) if "coverage" in group else rows[0]
    image, bands = group["image"][best], [name.strip() for name in _text(group["band"][:])]
    made = {
        "png": base64.b64encode(color_png(image, bands)).decode("ascii"),
        "size": image.shape[-1],
        "bands": [band for band, plane in zip(bands, image, strict=True) if np.isfinite(plane).any()],
        "pixscale": float(group.attrs["pixscale"]) if "pixscale" in group.attrs else None,
        "brickname": _text(group["brickname"][best : best + 1])[0] if "brickname" in group else "",
    }
    if all(name in group for name in ("x", "y", "x0", "y0")):
        made["at"] = [float(group[axis][best] - group[f"{axis}0"][best]) for axis in ("x", "y")]
    return made


def _text(values: Array) -> list[str]:
    """Return strings as `store.text` does, but what is no UTF-8 is shown all the same."""
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values.tolist()]


def _values(values: Array) -> list[Any]:
    """Return a column as JSON values."""
    if values.dtype.kind in "SO":
        return [value.strip() for value in _text(values)]
    if values.dtype.kind == "f":
        return [value if math.isfinite(value) else None for value in values.tolist()]
    made: list[Any] = values.tolist()
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else value if isinstance(value, str) else str(value)
