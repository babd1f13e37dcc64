"""Read the assembled files of a run, in notebooks and other people's programs.

>>> from skyharvest.read import crossmatches, open_healpix, pixels
>>> pixels("results")                               # the NSIDE=16 pixels that there are
>>> with open_healpix("results", 1702) as pixel:    # or open_healpix("…/crossmatch_desi.hdf5")
...     table = pixel.table()                       # astropy: a row per spectrum, the CSV's columns beside it
...     best = pixel.spectra(table["primary"])      # flux, ivar, error, mask (n, wavelength)
>>> for pixel in crossmatches("results", "hetdex"): # one after another
...     collection = pixel.to_specutils()

Nothing is read but what is asked for. h5py and NumPy are enough; astropy, specutils and xarray are imported by the
methods that make their objects. docs/data-model.md says what the files hold.
"""

import difflib
import importlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats import hdf5
from skyharvest.surveys.desi.coadd import ARMS

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Rows = int | slice | Sequence[int] | npt.NDArray[Any] | None
"""Which rows: a number, a slice, numbers in any order, or a mask; None for all."""

SURVEYS = ("desi", "hetdex", "legacysurvey")
WIDE = 100  # numbers a row: what has more is a spectrum or an image, and no column of a table

# What is not row by row: the name of the axis that it gives the values of. (``wavelength`` is that in vacuum.)
_AXES = {
    "desi": {"spectrum_lambda": "wavelength", **{f"{arm}_lambda": f"{arm}_wavelength" for arm in ARMS}},
    "hetdex": {"spectrum_lambda_vacuum": "wavelength", "spectrum_lambda": "wavelength_air"},
    "legacysurvey": {"band": "band", "aperture_radius": "radius"},
}
_PIXELS = ("y_pixel", "x_pixel")
# Names of datasets, and their axes after the first one.
_DIMENSIONS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "desi": (
        (r"spectrum_(flux|ivar|mask|lsf_sigma)", ("wavelength",)),
        (r"([brz])_(flux|ivar|mask)", (r"\1_wavelength",)),
        (r"([brz])_resolution", (r"\1_diagonal", r"\1_wavelength")),
    ),
    "hetdex": ((r"(spectrum|optimal)_(flux|error|coverage)", ("wavelength",)), (r"maps/\w+", _PIXELS)),
    "legacysurvey": (
        (r"aperture_\w+", ("band", "radius")),
        (r"\w+", ("band",)),
        (r"\w+", _PIXELS),
        (r"\w+", ("band", *_PIXELS)),
    ),
}
# Kinds of spectra, and the option that makes them.
_KINDS: dict[str, dict[str, str]] = {
    "desi": {"spectrum": "combine: true", **dict.fromkeys(ARMS, "arms: true")},
    "hetdex": {"spectrum": "enabled: true", "optimal": "optimal: gaussian"},
    "legacysurvey": {},
}


@dataclass(frozen=True)
class Spectra:
    """Spectra on one grid; of a single row the arrays lack their first axis.

    Attributes
    ----------
    wavelength : (w,) float64
        Å, vacuum, for HETDEX as well.
    flux : (n, w) float32
        In ``unit``. HETDEX: NaN where there is none.
    ivar : (n, w) float32
        Inverse variance, 0 where there is no measurement. HETDEX: computed from the error.
    error : (n, w) float32
        NaN where there is no measurement. DESI: 1 / √ivar.
    mask : (n, w) int32, uint32 or bool
        0 = good. DESI: bits of desispec's ``specmask``; HETDEX: True where there is no flux.
    unit : str
        Of flux and error, as astropy reads it.
    lsf_sigma : (n, w) float32 or None
        DESI: width of the line-spread function, pixels of 0.8 Å.
    resolution : (n, ndiag, w) float32 or None
        DESI's native arms: diagonals of the resolution matrix.
    coverage : (n, w) float32 or None
        HETDEX: share of the aperture with good voxels.
    wavelength_air : (w,) float64 or None
        HETDEX: Å, air.
    """

    wavelength: Floats
    flux: Array
    ivar: Array
    error: Array
    mask: Array
    unit: str
    lsf_sigma: Array | None = None
    resolution: Array | None = None
    coverage: Array | None = None
    wavelength_air: Floats | None = None


class Crossmatch:
    """One assembled file, open for reading; ``len()`` is its number of rows.

    Parameters
    ----------
    path
        A ``crossmatch_{survey}.hdf5``.

    Attributes
    ----------
    path : Path
    survey : str
        ``desi``, ``hetdex`` or ``legacysurvey``: the group of what the survey has.
    csv : str
        The group of the CSV's columns, ``chandra`` in the embedded default.
    attributes : dict
        Root attributes: ``healpix``, ``release``, ``radius_arcsec``, versions, ….

    Raises
    ------
    InputError
        If there is no such file, or it is another kind of HDF5 file.
    MalformedFile
        If it is torn.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"{self.path} is no file; {_there(self.path.parent)}")
        try:
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            assembled = self.path.name in {_name(survey) for survey in SURVEYS}
            do = "remove it, the next run makes it anew" if assembled else f"expected a {_name('{survey}')}"
            raise MalformedFile(f"{self.path} is not a readable HDF5 file ({error}): {do}") from error
        self.survey, self.csv = self._groups()
        self.attributes = {name: _plain(value) for name, value in self._file.attrs.items()}
        self._n = len(self._file[self.csv]["row"])

    def _groups(self) -> tuple[str, str]:
        """Return the survey's group and the CSV's, which may have any name."""
        named = self.path.stem.removeprefix("crossmatch_")
        survey = next((name for name in (named, *SURVEYS) if name in SURVEYS and name in self._file), "")
        csv = next((name for name, item in self._file.items() if name != survey and "row" in _members(item)), "")
        if not (survey and csv):
            found = ", ".join(self._file) or "nothing"
            self._file.close()
            raise InputError(
                f"{self.path} holds {found}: expected a group of {', '.join(SURVEYS)} and that of the CSV's columns, "
                f"as in {_path(Path('{results}'), '{pix16}', '{survey}')}"
            )
        return survey, csv

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        # A process that gets a copy opens the file itself.
        return type(self), (self.path,)

    def __len__(self) -> int:
        return self._n

    def __repr__(self) -> str:
        return f"<{self.path}: {self._n} rows{'' if self._file else ', closed'}>"

    @property
    def pix16(self) -> int | None:
        """The NSIDE=16 NESTED pixel that the CSV's positions lie in; None if the file does not say."""
        return self.attributes.get("healpix")

    @property
    def names(self) -> list[str]:
        """What can be read: the survey's datasets by name, the CSV's columns as ``{csv}/{column}``."""
        return [*self._of_survey(), *(f"{self.csv}/{column}" for column in self._of_csv())]

    def _of_survey(self) -> dict[str, h5py.Dataset]:
        found: dict[str, h5py.Dataset] = {}

        def see(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                found[name] = item

        self._opened()[self.survey].visititems(see)
        return found

    def _of_csv(self) -> dict[str, h5py.Dataset]:
        """Return the CSV's columns by the names that they have in the CSV."""
        return hdf5.columns(self._opened()[self.csv])

    def _opened(self) -> h5py.File:
        if not self._file:
            raise InputError(f"{self.path} has been closed: open it again, or read what you need in the `with` block")
        return self._file

    def _dataset(self, name: str) -> h5py.Dataset:
        group = self._opened()[self.survey]
        if name in group and isinstance(group[name], h5py.Dataset):
            return group[name]
        of_csv = self._of_csv()
        column = name.removeprefix(f"{self.csv}/")
        if column in of_csv:
            return of_csv[column]
        raise InputError(f"{self.path} has no {name!r}; {_nearest(name, self.names)}")

    def __getitem__(self, name: str) -> Array:
        """Read a dataset: the survey's by its name, the CSV's by ``{csv}/{column}`` or, if that is another, by its own.

        Returns
        -------
        As stored; strings as ``str``, and a masked array for a CSV column of whole numbers with empty cells.

        Raises
        ------
        InputError
            If there is no such dataset. The message names the nearest ones.
        """
        return np.asanyarray(_values(self._dataset(name), None))

    def read(self, name: str, rows: Rows = None) -> Array:
        """Read some rows of a dataset, in the order of ``rows``; else as ``self[name]``.

        Raises
        ------
        IndexError
            If the file has not so many rows.
        """
        dataset = self._dataset(name)
        if rows is not None and not self._by_row(name):
            raise InputError(f"{self.path}: {name} is not row by row: it is the same for all")
        return np.asanyarray(_values(dataset, self._index(rows)))

    def _by_row(self, name: str) -> bool:
        return name not in _AXES[self.survey] or f"{self.csv}/" in name

    def _index(self, rows: Rows) -> Any:
        """Return row numbers: an integer, or (k,) int64; None for all rows."""
        if rows is None:
            return None
        if isinstance(rows, np.ma.MaskedArray):
            rows = rows.filled(False if rows.dtype.kind == "b" else self._n)
        try:
            index = np.arange(self._n)[list(rows) if isinstance(rows, tuple) else rows]
        except IndexError as error:
            raise IndexError(f"{self.path} has {self._n} rows: {error}") from None
        if np.ndim(index) > 1:
            raise IndexError(f"{self.path}: rows of shape {np.shape(index)}, expected a number or a list of them")
        return index

    def _aligned(self, *, wide: bool) -> dict[str, h5py.Dataset]:
        """Return what is row by row under the names that it has in a table."""
        axes = _AXES[self.survey]
        found = {
            name: item
            for name, item in self._of_survey().items()
            if name not in axes and item.ndim and len(item) == self._n and "wcs" not in name.split("/")
        }
        taken = {*found, *axes, *axes.values(), *_PIXELS}
        found |= {name if name not in taken else f"{name}_{self.csv}": item for name, item in self._of_csv().items()}
        return {name: item for name, item in found.items() if wide or np.prod(item.shape[1:]) <= WIDE}

    def _chosen(self, columns: Sequence[str] | None, *, wide: bool) -> dict[str, h5py.Dataset]:
        if columns is None:
            return self._aligned(wide=wide)
        known = self._aligned(wide=True)
        chosen = {}
        for name in [columns] if isinstance(columns, str) else columns:
            if name in _AXES[self.survey]:
                raise InputError(f"{self.path}: {name} is not row by row, and no column: it is pixel[{name!r}]")
            chosen[name] = known[name] if name in known else self._dataset(name)
        return chosen

    def table(self, columns: Sequence[str] | None = None, rows: Rows = None, *, wide: bool = False) -> Any:
        """Return columns as an astropy Table, the survey's and beside them the CSV's.

        Parameters
        ----------
        columns
            Names; by default all but spectra and images (more than `WIDE` numbers a row).
        rows
            Which rows.
        wide
            Spectra and images as well.

        Returns
        -------
        astropy.table.Table
            (n) rows with units; text as ``str``; ``row`` is that of the CSV. A CSV column with a name that the survey
            has as well has the group's name behind it, such as ``z_chandra``. Empty cells of whole numbers are masked.
            ``meta`` has the file's attributes.
        """
        from astropy.table import MaskedColumn, Table  # noqa: PLC0415 (only who wants a table needs it)

        index = self._index(rows)
        table = Table(meta=dict(self.attributes))
        for name, dataset in self._chosen(columns, wide=wide).items():
            values = _values(dataset, None if index is None else np.atleast_1d(index))
            if isinstance(values, np.ma.MaskedArray):
                values = MaskedColumn(values)
            table[name] = values
            table[name].unit = _unit(dataset)
        return table

    def spectra(self, rows: Rows = None, kind: str = "spectrum") -> Spectra:
        """Read spectra.

        Parameters
        ----------
        rows
            Which rows; of a single number the arrays are (w,).
        kind
            ``spectrum``; for HETDEX also ``optimal``; for DESI also ``b``, ``r`` or ``z``, the native arms.

        Raises
        ------
        InputError
            If the file has no such spectra. The message says which there are, and the option that makes them.
        """
        group, kinds = self._opened()[self.survey], _KINDS[self.survey]
        there = [name for name in kinds if f"{name}_flux" in group]
        if kind not in there:
            how = f"; {kinds[kind]!r} in the configuration makes them" if kind in kinds else ""
            raise InputError(f"{self.path} has no spectra {kind!r}; it has {_listed(there) or 'none'}{how}")
        index = self._index(rows)
        found = {
            what: _values(group[f"{kind}_{what}"], index)
            for what in ("flux", "ivar", "error", "mask", "lsf_sigma", "resolution", "coverage")
            if f"{kind}_{what}" in group
        }
        if "error" not in found:
            found["error"] = _inverse(np.sqrt(found["ivar"]), np.nan)
        else:
            found["ivar"] = _inverse(np.square(found["error"]), 0)
            found["ivar"][~np.isfinite(found["flux"])] = 0
            found["mask"] = ~np.isfinite(found["flux"])
        unit = str(group[f"{kind}_flux"].attrs["unit"])
        if self.survey == "hetdex":
            air, vacuum = group["spectrum_lambda"][:], group["spectrum_lambda_vacuum"][:]
            return Spectra(vacuum, unit=unit, wavelength_air=air, **found)
        return Spectra(group[f"{kind}_lambda"][:], unit=unit, **found)

    def to_specutils(self, rows: Rows = None, kind: str = "spectrum") -> Any:
        """Return spectra as specutils has them; needs specutils.

        Parameters
        ----------
        rows, kind
            As of `spectra`.

        Returns
        -------
        specutils.SpectrumCollection, or specutils.Spectrum of a single row
            Wavelengths in vacuum; the uncertainty is DESI's inverse variance, or HETDEX's standard deviation; the mask
            is True where pixels are not to be used; each spectrum's ``meta`` has the columns of its row.
        """
        specutils = _installed("specutils", "to_specutils")
        from astropy import units  # noqa: PLC0415 (comes with specutils)
        from astropy.nddata import InverseVariance, StdDevUncertainty  # noqa: PLC0415

        found = self.spectra(rows, kind)
        unit = units.Unit(found.unit)
        of_hetdex = self.survey == "hetdex"
        uncertainty = StdDevUncertainty(found.error, unit) if of_hetdex else InverseVariance(found.ivar, unit**-2)
        table = self.table(rows=rows)
        meta = [dict(zip(table.colnames, row, strict=True)) for row in table.iterrows()]
        single = found.flux.ndim == 1
        make = specutils.Spectrum if single else specutils.SpectrumCollection
        return make(
            flux=units.Quantity(found.flux, unit, copy=False),
            spectral_axis=units.Quantity(np.broadcast_to(found.wavelength, found.flux.shape), "Angstrom"),
            uncertainty=uncertainty,
            mask=found.mask != 0,
            meta=meta[0] if single else meta,
        )

    def to_xarray(self, columns: Sequence[str] | None = None, rows: Rows = None) -> Any:
        """Return columns, spectra and images as an xarray Dataset; needs xarray.

        Parameters
        ----------
        columns
            Names; by default everything.
        rows
            Which rows.

        Returns
        -------
        xarray.Dataset
            Dimension ``row``, with the CSV's row numbers as its coordinate: ``dataset.sel(row=17)`` are the spectra of
            CSV row 17; ``wavelength`` (Å, vacuum); ``band``, ``radius``, ``y_pixel``, ``x_pixel`` of images. Units and
            other attributes of datasets and file are kept.
        """
        xarray = _installed("xarray", "to_xarray")
        index = self._index(rows)
        index = None if index is None else np.atleast_1d(index)
        chosen = {"row": self._of_csv()["row"], **self._chosen(columns, wide=True)}
        variables = {}
        for name, dataset in chosen.items():
            attributes = {key: _plain(value) for key, value in dataset.attrs.items() if key != "null_value"}
            link = name.replace("/", "_")
            dimensions = ("row", *self._dimensions(dataset))
            variables[link] = (dimensions, _values(dataset, index), attributes)
        wanted = {dimension for dimensions, _, _ in variables.values() for dimension in dimensions}
        coordinates = {}
        for name, axis in _AXES[self.survey].items():
            dataset = self._opened()[self.survey].get(name)
            if dataset is not None and axis.removesuffix("_air") in wanted:
                attributes = {key: _plain(value) for key, value in dataset.attrs.items()}
                coordinates[axis] = (axis.removesuffix("_air"), _values(dataset, None), attributes)
        return xarray.Dataset(variables, coords=coordinates, attrs=dict(self.attributes)).set_coords("row")

    def _dimensions(self, dataset: h5py.Dataset) -> tuple[str, ...]:
        """Return the names of a dataset's axes after the first one."""
        group = self._opened()[self.survey]
        name = dataset.name.removeprefix(f"{group.name}/")
        n_axes = dataset.ndim - 1
        for pattern, axes in _DIMENSIONS[self.survey]:
            found = re.fullmatch(pattern, name)
            if found and len(axes) == n_axes and not (axes == ("band",) and dataset.shape[1] != len(group["band"])):
                return tuple(found.expand(axis) for axis in axes)
        return tuple(f"{name.rpartition('/')[2]}_{k}" for k in range(1, n_axes + 1))

    @property
    def image_names(self) -> list[str]:
        """What `images` reads: HETDEX's maps, the Legacy Surveys' images and masks."""
        return [
            name.removeprefix("maps/")
            for name, dataset in self._of_survey().items()
            if name not in _AXES[self.survey] and self._dimensions(dataset)[-2:] == _PIXELS
        ]

    def images(self, rows: Rows = None, names: Sequence[str] | None = None) -> dict[str, Array]:
        """Read images: HETDEX's maps, or the Legacy Surveys' cutouts.

        Parameters
        ----------
        rows
            Which rows; of a single number the first axis is dropped.
        names
            Some of `image_names`; by default all.

        Returns
        -------
        dict
            Name → (n, y, x), or (n, band, y, x) with the bands in ``self["band"]``.

        Raises
        ------
        InputError
            If the file has no images, or not these.
        """
        known = self.image_names
        if not known:
            how = "; they are made with `hetdex: {maps: {enabled: true}}`" if self.survey == "hetdex" else ""
            raise InputError(f"{self.path} has no images{how}")
        index = self._index(rows)
        group = self._opened()[self.survey]
        group = group.get("maps", group)
        made = {}
        for name in known if names is None else [names] if isinstance(names, str) else names:
            if name not in known:
                raise InputError(f"{self.path} has no image {name!r}; {_nearest(name, known)}")
            made[name] = _values(group[name], index)
        return made

    def wcs(self, row: int) -> Any:
        """Return the WCS of a row's images, as astropy has it.

        Raises
        ------
        InputError
            If the file has no images.
        """
        group = self._opened()[self.survey]
        group = group.get("maps/wcs", group.get("wcs"))
        if group is None:
            raise InputError(f"{self.path} has no WCS: it has no images")
        from astropy.io.fits import Header  # noqa: PLC0415
        from astropy.wcs import WCS  # noqa: PLC0415

        index = self._index(row)
        return WCS(Header({**group.attrs, **{card: values[index] for card, values in group.items()}}))


def open_healpix(
    path_or_root: str | os.PathLike[str], pix16: int | None = None, survey: str | None = None
) -> Crossmatch:
    """Open an assembled file.

    Parameters
    ----------
    path_or_root
        A file, or the results directory of a run.
    pix16
        The NSIDE=16 NESTED pixel, in a results directory.
    survey
        ``desi``, which is the default in a results directory, ``hetdex`` or ``legacysurvey``.

    Raises
    ------
    InputError
        If there is no such file. The message says what there is instead.
    MalformedFile
        If it is torn.
    """
    path = Path(path_or_root)
    if not path.is_dir():
        found = Crossmatch(path)
        for what, wanted, has in (("pixel", pix16, found.pix16), ("survey", survey, found.survey)):
            if wanted is not None and wanted != has:
                found.close()
                raise InputError(f"{path} is of {what} {has}, not {wanted}")
        return found
    survey = survey or SURVEYS[0]
    if pix16 is None or not _path(path, pix16, survey).is_file():
        there = pixels(path, survey)
        asked = "say which pixel to open" if pix16 is None else f"there is no {survey} file of pixel {pix16}"
        listed = _listed([str(pix) for pix in there]) or "none"
        raise InputError(f"{path}: {asked}; those of {survey} are {listed}")
    return Crossmatch(_path(path, pix16, survey))


def pixels(root: str | os.PathLike[str], survey: str = SURVEYS[0]) -> list[int]:
    """Return the NSIDE=16 NESTED pixels that a results directory has assembled files of, in rising order.

    Raises
    ------
    InputError
        If it has no directory ``{survey}_crossmatches``. The message says what there is instead.
    """
    directory = Path(root, f"{survey}_crossmatches")
    if survey not in SURVEYS:
        raise InputError(f"there is no survey {survey!r}; expected one of {', '.join(SURVEYS)}")
    if not directory.is_dir():
        raise InputError(f"{root} is no results directory with {directory.name}; {_there(Path(root))}")
    numbers = (re.fullmatch(r"healpix=(\d+)", path.name) for path in directory.iterdir())
    found = (int(number[1]) for number in numbers if number)
    return sorted(pix16 for pix16 in found if _path(Path(root), pix16, survey).is_file())


def crossmatches(root: str | os.PathLike[str], survey: str = SURVEYS[0]) -> Iterator[Crossmatch]:
    """Yield every assembled file of a results directory, open until the next one is asked for."""
    for pix16 in pixels(root, survey):
        with open_healpix(root, pix16, survey) as found:
            yield found


def _path(root: Path, pix16: int | str, survey: str) -> Path:
    return root / f"{survey}_crossmatches" / f"healpix={pix16}" / _name(survey)


def _name(survey: str) -> str:
    return f"crossmatch_{survey}.hdf5"


def _there(directory: Path) -> str:
    """Say what a directory has, and where assembled files are near it."""
    if not directory.is_dir():
        return f"{directory} does not exist"
    entries = sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))
    near = sorted({path.parent for path in (*directory.glob("*_crossmatches"), *directory.glob("*/*_crossmatches"))})
    near += [up.parent for up in (directory, *directory.parents) if up.name.endswith("_crossmatches")]
    hint = f": the results directory is {near[0]}" if near and near[0] != directory else ""
    return f"{directory} has {_listed(entries) or 'nothing in it'}{hint}"


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _nearest(name: str, known: Sequence[str]) -> str:
    wanted = name.lower().rpartition("/")[2]
    ends = {known_name.lower().rpartition("/")[2]: known_name for known_name in known}
    near = [ends[end] for end in difflib.get_close_matches(wanted, ends, 3)]
    return f"did you mean {' or '.join(near)}?" if near else f"it has {_listed(known)}"


def _installed(name: str, method: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ImportError(f"{method} needs {name}, which is not installed here: pip install {name}") from error


def _members(item: Any) -> Any:
    return item if isinstance(item, h5py.Group) else ()


def _plain(value: Any) -> Any:
    """Return an attribute as Python's own type where it is a scalar."""
    return value.item() if isinstance(value, np.generic) else value


def _unit(dataset: h5py.Dataset) -> Any:
    from astropy.units import Unit  # noqa: PLC0415

    text = dataset.attrs.get("unit")
    return None if text is None else Unit(str(text), parse_strict="silent")


def _values(dataset: h5py.Dataset, index: Any) -> Any:
    """Read rows of a dataset: one (an integer), some (in any order, with repetitions), or all (None)."""
    try:
        values = _rows(dataset, index)
    except OSError as error:
        raise MalformedFile(
            f"{dataset.file.filename}: {dataset.name} cannot be read ({error}): remove the file, the next run makes it "
            "anew"
        ) from error
    if dataset.dtype.kind in "SO":
        if np.ndim(values) == 0:
            return hdf5.text([values])[0]  # type: ignore[arg-type]
        return np.array(hdf5.text(values), np.str_)
    if "null_value" in dataset.attrs:
        null = dataset.attrs["null_value"]
        if dataset.dtype.kind == "i" and dataset.dtype.itemsize == 1:  # truth values with empty cells
            return np.ma.MaskedArray(values == 1, values == null)
        return np.ma.MaskedArray(values, values == null, fill_value=null)
    return values


def _rows(dataset: h5py.Dataset, index: Any) -> Any:
    if index is None:
        return dataset[()]
    if np.ndim(index) == 0:
        return dataset[int(index)]
    # HDF5 reads rising rows, each once.
    rising, place = np.unique(index, return_inverse=True)
    if len(rising) and rising[-1] - rising[0] == len(rising) - 1:
        return dataset[rising[0] : rising[-1] + 1][place]
    return dataset[rising][place]


def _inverse(values: Array, instead: float) -> Array:
    """Return 1 / values, in their own precision, and something else where they are not positive."""
    positive = values > 0
    return np.where(positive, 1 / np.where(positive, values, 1), instead).astype(values.dtype)
