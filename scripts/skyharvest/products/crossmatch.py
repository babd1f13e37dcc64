"""One assembled file, read by rows and columns."""

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from skyharvest.core.arrays import Array
from skyharvest.core.errors import HarvestError, InputError, MalformedFile
from skyharvest.harvest import assembled
from skyharvest.harvest.shown import PIXELS
from skyharvest.products import spectra as of_spectra
from skyharvest.products.spectra import Spectra
from skyharvest.products.values import installed, listed, nearest, plain, unit_of, values_of
from skyharvest.surveys import SURVEYS

Rows = int | slice | Sequence[int] | npt.NDArray[Any] | None
"""Which rows: a number, a slice, numbers in any order, or a mask; None for all."""

ROW = "row"
"""The dataset, in the group of the CSV's columns, with the 0-based numbers of the CSV rows."""
WIDE = 100  # numbers a row: what has more is a spectrum or an image, and no column of a table


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
        One of `skyharvest.surveys.SURVEYS`, such as ``desi``: the group of what the survey has.
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
            raise InputError(f"{self.path} is no file; {near_by(self.path.parent)}")
        try:
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            ours = re.fullmatch(r"crossmatch_\w+\.hdf5", self.path.name)
            do = "remove it, the next run makes it anew" if ours else "expected a crossmatch_{survey}.hdf5"
            raise MalformedFile(f"{self.path} is not a readable HDF5 file ({error}): {do}") from error
        try:
            group, csv = assembled.groups(self._file, self.path)
            self.survey, self.csv = (part.name.removeprefix("/") for part in (group, csv))
            self._layout = SURVEYS[self.survey].reader
        except KeyError:
            self._file.close()
            raise InputError(f"{self.path} is of survey {self.survey}, expected one of {', '.join(SURVEYS)}") from None
        except HarvestError:
            self._file.close()
            raise
        self.attributes = {name: plain(value) for name, value in self._file.attrs.items()}
        self._n = len(csv["row"])

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
        """What can be read: the survey's datasets, ``row``, and the CSV's columns as ``{csv}/{column}``."""
        return [*self._of_survey(), ROW, *(f"{self.csv}/{column}" for column in self._of_csv())]

    def _of_survey(self) -> dict[str, h5py.Dataset]:
        datasets: dict[str, h5py.Dataset] = {}

        def see(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                datasets[name] = item

        self._group.visititems(see)
        return datasets

    def _of_csv(self) -> dict[str, h5py.Dataset]:
        """Return the CSV's columns by the names that they have in the CSV."""
        return assembled.csv_columns(self._opened()[self.csv])

    def _row(self) -> h5py.Dataset:
        """Return the numbers of the CSV rows."""
        return self._opened()[self.csv][ROW]

    def _opened(self) -> h5py.File:
        if not self._file:
            raise InputError(f"{self.path} has been closed: open it again, or read what you need in the `with` block")
        return self._file

    @property
    def _group(self) -> h5py.Group:
        return self._opened()[self.survey]

    def _dataset(self, name: str) -> h5py.Dataset:
        item = self._group.get(name)
        if isinstance(item, h5py.Dataset):
            return item
        of_csv = self._of_csv()
        column = name.removeprefix(f"{self.csv}/")
        if name == ROW or (column == ROW and ROW not in of_csv):
            return self._row()
        for known in (column, name):
            if known in of_csv:
                return of_csv[known]
        raise InputError(f"{self.path} has no {name!r}; {nearest(name, self.names)}")

    def __getitem__(self, name: str) -> Array:
        """Read a dataset: the survey's by its name, the CSV's by ``{csv}/{column}`` or, if that is another, by its own.

        ``row`` is the 0-based number of the CSV row; ``{csv}/row`` is the CSV's own column of that name, if it has one.

        Returns
        -------
        As stored; strings as ``str``, and a masked array for a CSV column of whole numbers with empty cells.

        Raises
        ------
        InputError
            If there is no such dataset. The message names the nearest ones.
        """
        return np.asanyarray(values_of(self._dataset(name), None))

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
        return np.asanyarray(values_of(dataset, self._index(rows)))

    def _by_row(self, name: str) -> bool:
        return name not in self._layout.axes or f"{self.csv}/" in name

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
        axes = self._layout.axes
        columns = {
            name: item
            for name, item in self._of_survey().items()
            if name not in axes and item.ndim and len(item) == self._n and "wcs" not in name.split("/")
        }
        columns[ROW] = self._row()
        taken, of_csv = {*columns, *axes, *axes.values(), *PIXELS}, self._of_csv()
        for name, item in of_csv.items():
            columns[self._beside(name, taken, of_csv)] = item
        return {name: item for name, item in columns.items() if wide or np.prod(item.shape[1:]) <= WIDE}

    def _beside(self, name: str, taken: Collection[str], others: Collection[str]) -> str:
        """Return a name with the group's name behind it if it is taken, and again if another has that already."""
        unique = name
        while unique in taken or (unique != name and unique in others):
            unique = f"{unique}_{self.csv}"
        return unique

    def scalars(self) -> dict[str, np.dtype[Any]]:
        """Return which of the survey's datasets have one value in each row, with their types."""
        return {
            name: dataset.dtype
            for name, dataset in self._of_survey().items()
            if name not in self._layout.axes and dataset.shape == (self._n,) and "wcs" not in name.split("/")
        }

    def _chosen(self, columns: Sequence[str] | None, *, wide: bool) -> dict[str, h5py.Dataset]:
        if columns is None:
            return self._aligned(wide=wide)
        known = self._aligned(wide=True)
        chosen = {}
        for name in [columns] if isinstance(columns, str) else columns:
            if name in self._layout.axes:
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
            (n) rows with units; text as ``str``; ``row`` is the number of the CSV row. A CSV column with a name that
            is there already has the group's name behind it, such as ``z_chandra`` or ``row_chandra``. Blank cells of
            whole numbers are masked.
            ``meta`` has the file's attributes.
        """
        from astropy.table import MaskedColumn, Table  # noqa: PLC0415 (only who wants a table needs it)

        index = self._index(rows)
        table = Table(meta=dict(self.attributes))
        for name, dataset in self._chosen(columns, wide=wide).items():
            values = values_of(dataset, None if index is None else np.atleast_1d(index))
            if isinstance(values, np.ma.MaskedArray):
                values = MaskedColumn(values)
            table[name] = values
            table[name].unit = unit_of(dataset)
        return table

    def spectra(self, rows: Rows = None, kind: str = "spectrum", *, wide: bool = True) -> Spectra:
        """Read spectra.

        Parameters
        ----------
        rows
            Which rows; of a single number the arrays are (w,).
        kind
            ``spectrum``; for HETDEX also ``optimal``; for DESI also ``b``, ``r`` or ``z``, the native arms.
        wide
            Whether to read the resolution, and what else there is beside flux, its uncertainty and mask.

        Raises
        ------
        InputError
            If the file has no such spectra. The message says which there are, and the option that makes them.
        """
        return of_spectra.read_spectra(self._group, self._layout, kind, self._index(rows), wide=wide)

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
        installed("specutils", "to_specutils")
        return of_spectra.to_specutils(self.spectra(rows, kind), self._layout, self.table(rows=rows))

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
        xarray = installed("xarray", "to_xarray")
        index = self._index(rows)
        index = None if index is None else np.atleast_1d(index)
        chosen = {ROW: self._row(), **self._chosen(columns, wide=True)}
        variables: dict[str, Any] = {}
        for name, dataset in chosen.items():
            attributes = {key: plain(value) for key, value in dataset.attrs.items() if key != "null_value"}
            dimensions = (ROW, *self._dimensions(dataset))
            link = name.replace("/", "_")
            if link != name:
                link = self._beside(link, {*variables, *chosen}, ())
            variables[link] = (dimensions, values_of(dataset, index), attributes)
        wanted = {dimension for dimensions, _, _ in variables.values() for dimension in dimensions}
        coordinates = {}
        for name, axis in self._layout.axes.items():
            dataset = self._group.get(name)
            if dataset is not None and axis.removesuffix("_air") in wanted:
                attributes = {key: plain(value) for key, value in dataset.attrs.items()}
                coordinates[axis] = (axis.removesuffix("_air"), values_of(dataset, None), attributes)
        return xarray.Dataset(variables, coords=coordinates, attrs=dict(self.attributes)).set_coords(ROW)

    def _dimensions(self, dataset: h5py.Dataset) -> tuple[str, ...]:
        """Return the names of a dataset's axes after the first one."""
        group, n_axes = self._group, dataset.ndim - 1
        name = dataset.name.removeprefix(f"{group.name}/")
        for pattern, axes in self._layout.dimensions:
            match = re.fullmatch(pattern, name)
            if match and len(axes) == n_axes and not (axes == ("band",) and dataset.shape[1] != len(group["band"])):
                return tuple(match.expand(axis) for axis in axes)
        return tuple(f"{name.rpartition('/')[2]}_{k}" for k in range(1, n_axes + 1))

    @property
    def image_names(self) -> list[str]:
        """What `images` reads: HETDEX's maps, the Legacy Surveys' images and masks."""
        return [
            name.removeprefix(f"{self._layout.image_group}/")
            for name, dataset in self._of_survey().items()
            if name not in self._layout.axes and self._dimensions(dataset)[-2:] == PIXELS
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
            option = self._layout.image_option
            how = f"; they are made with `{option}`" if option else ""
            raise InputError(f"{self.path} has no images{how}")
        index = self._index(rows)
        group = self._images()
        images = {}
        for name in known if names is None else [names] if isinstance(names, str) else names:
            if name not in known:
                raise InputError(f"{self.path} has no image {name!r}; {nearest(name, known)}")
            images[name] = values_of(group[name], index)
        return images

    def _images(self) -> h5py.Group:
        return self._group.get(self._layout.image_group or self._group.name, {})

    def wcs(self, row: int) -> Any:
        """Return the WCS of a row's images, as astropy has it.

        Raises
        ------
        InputError
            If the file has no images.
        """
        group = self._images().get("wcs")
        if group is None:
            raise InputError(f"{self.path} has no WCS: it has no images")
        from astropy.io.fits import Header  # noqa: PLC0415
        from astropy.wcs import WCS  # noqa: PLC0415

        index = self._index(row)
        return WCS(Header({**group.attrs, **{card: values[index] for card, values in group.items()}}))


def near_by(directory: Path) -> str:
    """Say what a directory has, and where assembled files are near it."""
    if not directory.is_dir():
        return f"{directory} does not exist"
    entries = sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))
    near = sorted({path.parent for path in (*directory.glob("*_crossmatches"), *directory.glob("*/*_crossmatches"))})
    near += [up.parent for up in (directory, *directory.parents) if up.name.endswith("_crossmatches")]
    hint = f": the results directory is {near[0]}" if near and near[0] != directory else ""
    return f"{directory} has {listed(entries) or 'nothing in it'}{hint}"
