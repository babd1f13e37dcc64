"""Assemble the cutouts of one NSIDE=16 pixel into ``crossmatch_legacysurvey.hdf5``.

Layout (n rows, a row per CSV row with a cutout; b bands, r radii; row i of one group belongs to row i of the other):

=================================================  ==========================================================
``/legacysurvey/region``, ``brickname``            of the home brick, whose pixels the cutout has
``/legacysurvey/ra``, ``dec``                      of the CSV row; degrees, ICRS
``/legacysurvey/x``, ``y``                         float64, pixels of the home brick's image, 0-based
``/legacysurvey/x0``, ``y0``                       int64, the cutout's first pixel on it
``/legacysurvey/n_bricks``                         bricks that its pixels are of
``/legacysurvey/band``                             (b,) the bands' letters
``/legacysurvey/coverage``                         (n, b) share of the cutout's pixels that a brick's image has
``/legacysurvey/image``                            (n, b, size, size) float32 nanomaggy, (y, x): North up, East left
``/legacysurvey/invvar``                           (n, b, size, size) float32 nanomaggy^-2
``/legacysurvey/maskbits``                         (n, size, size) integers: legacysurvey.org/dr10/bitmasks; -1 (its
                                                   attribute ``not_read``) where no file of them was read
``/legacysurvey/maskbits_read``                    (n,) bool: whether those of all bricks of its pixels were read
``/legacysurvey/image_read``, …                    (n, b) ditto, of every other product
``/legacysurvey/psfsize``, ``nexp``, ``model``, …  (n, b, size, size) if asked for
``/legacysurvey/aperture_radius``                  (r,) arcsec
``/legacysurvey/aperture_flux``, ``…_error``       (n, b, r) float64 nanomaggy:
`skyharvest.surveys.legacysurvey.photometry`
``/legacysurvey/aperture_good``                    (n, b, r) share of the aperture with good pixels
``/legacysurvey/aperture_magnitude``, ``…_error``  (n, b, r) AB
``/legacysurvey/wcs``                              (n,) ``CRPIX1``, …: the cutouts' WCS; attributes: its texts
``/<name>/row``, ``/<name>/*``                     the CSV row, and every CSV column
=================================================  ==========================================================

The attribute ``pixscale`` of ``/legacysurvey`` is in arcsec per pixel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.errors import MalformedFile
from skyharvest.formats import arrow, hdf5
from skyharvest.harvest import assembled
from skyharvest.surveys.legacysurvey.images import NOT_READ, PIXEL_ARCSEC, PRODUCTS
from skyharvest.targets.csv_columns import write_csv_columns

COLUMNS = {"ra": "deg", "dec": "deg", "x": "pixel", "y": "pixel", "x0": "pixel", "y0": "pixel", "n_bricks": None}
WHOLE = ("x0", "y0", "n_bricks")  # of these, whole numbers
PHOTOMETRY_ROWS = 64  # images that are held at once
RADII_ARCSEC = (1.0, 1.5, 3.5, 7.0)
"""Some of those of the survey's own ``apflux``: legacysurvey.org/dr10/catalogs."""


@dataclass
class _BrickRows:
    """What an extracted file holds for the pixel."""

    path: Path
    rows: Array  # CSV rows of its cutouts that are in the pixel
    at: Array  # their places in the file
    columns: dict[str, Array]
    cards: dict[str, str | float]
    bands: tuple[bytes, ...]
    products: dict[str, tuple[tuple[int, ...], np.dtype[Any]]]  # shape of a row, and type


def assemble_legacysurvey(
    pix16: int,
    extracted: Sequence[Path],
    out: Path,
    *,
    targets: Path,
    name: str,
    attributes: Mapping[str, Any],
    radii_arcsec: Sequence[float] = RADII_ARCSEC,
) -> int:
    """Assemble one NSIDE=16 pixel and return its number of rows.

    Parameters
    ----------
    pix16
        The pixel (NESTED) of the CSV's positions.
    extracted
        Extracted files of every brick that the pixel's targets are in, ``{region}_{brickname}.hdf5``.
    attributes
        Root attributes beside the pixel and the provenance.

    Raises
    ------
    MalformedFile
        If an extracted file is torn, or was made for other bands or sizes than the others. The message says to remove
        it.
    """
    table = arrow.rows_where(targets, "pix16", pix16)
    rows = arrow.to_numpy(table.column("row"))[0]
    pieces = []
    for path in extracted:
        with hdf5.reading(path, check=True) as file:
            pieces.append(_read(file, path, rows))
    # Where no brick has a cutout, any file tells what they would be.
    pieces = [piece for piece in pieces if len(piece.rows)] or pieces[:1]
    _check_alike(pieces)
    row = np.concatenate([np.zeros(0, np.int64), *(piece.rows for piece in pieces)])
    order = np.argsort(row, kind="stable")
    place = np.empty(len(order), np.int64)  # of each row of the pieces, one after another, in the assembled file
    place[order] = np.arange(len(order))
    with hdf5.create(out) as file:
        assembled.describe(file, "legacysurvey", name, pix16, targets=table, attributes=attributes)
        group = file.create_group("legacysurvey")
        group.attrs["pixscale"] = PIXEL_ARCSEC
        _write_columns(group, pieces, order)
        _copy_images(group, pieces, place)
        if "image" in group and "invvar" in group:
            _write_photometry(group, radii_arcsec)
        write_csv_columns(file.create_group(name), table, np.searchsorted(rows, row[order]))
    return len(order)


def _read(file: h5py.File, path: Path, rows: Array) -> _BrickRows:
    region, _, brickname = file.attrs["unit"].partition("_")
    of_file = file["row"][:]
    at = np.flatnonzero(np.isin(of_file, rows))
    bands = tuple(file["band"][:].tolist())
    columns = {
        "region": np.full(len(at), region.encode(), "S5"),
        "brickname": np.full(len(at), brickname.encode(), "S8"),
        **{key: np.zeros(0, np.int64 if key in WHOLE else np.float64) for key in COLUMNS},
        "coverage": np.zeros((0, len(bands))),
    }
    for product in (product for product in PRODUCTS if product in file):
        columns[f"{product}_read"] = np.zeros((0, len(bands)) if PRODUCTS[product].per_band else 0, bool)
    if len(at):
        columns |= {key: file[key][:][at] for key in columns if key in file}
    cards = {key: value.item() if isinstance(value, np.generic) else value for key, value in _attributes(file, "wcs")}
    products = {key: (file[key].shape[1:], file[key].dtype) for key in PRODUCTS if key in file}
    return _BrickRows(path, of_file[at], at, columns, cards, bands, products)


def _attributes(file: h5py.File, name: str) -> list[tuple[str, Any]]:
    return list(file[name].attrs.items()) if name in file else []


def _check_alike(pieces: Sequence[_BrickRows]) -> None:
    """Check that the files were made with one configuration."""
    for piece in pieces[1:]:
        first = pieces[0]
        shapes = [{key: shape for key, (shape, _) in one.products.items()} for one in (first, piece)]
        if piece.bands != first.bands or shapes[0] != shapes[1]:
            raise MalformedFile(
                f"{piece.path} has bands {piece.bands} and images {shapes[1]}, {first.path} {first.bands} and "
                f"{shapes[0]}: remove both, the next run makes them anew"
            )


def _write_columns(group: h5py.Group, pieces: Sequence[_BrickRows], order: Array) -> None:
    def stacked(key: str, empty: Any) -> Array:
        return np.concatenate([np.zeros(0, empty), *(piece.columns[key] for piece in pieces)])[order]

    for key, kind in (("region", "S5"), ("brickname", "S8")):
        hdf5.write_column(group, key, stacked(key, kind))
    for key, unit in COLUMNS.items():
        hdf5.write_column(group, key, stacked(key, np.int64 if key in WHOLE else np.float64), unit=unit)
    bands = pieces[0].bands if pieces else ()
    hdf5.write_column(group, "band", np.array(bands, "S1"))
    for key in ("coverage", *(f"{product}_read" for product in (pieces[0].products if pieces else ()))):
        parts = [piece.columns[key] for piece in pieces] or [np.zeros((0, len(bands)))]
        hdf5.write_column(group, key, np.concatenate(parts)[order])
    _write_wcs(group.create_group("wcs"), pieces, order)


def _write_wcs(group: h5py.Group, pieces: Sequence[_BrickRows], order: Array) -> None:
    """Write the cutouts' WCS: the home brick's, its reference pixel counted from the cutout's first."""
    numbers = dict.fromkeys(key for piece in pieces for key, value in piece.cards.items() if not isinstance(value, str))
    for key in numbers:
        parts = []
        for piece in pieces:
            start = {"CRPIX1": "x0", "CRPIX2": "y0"}.get(key)
            value = np.full(len(piece.rows), float(piece.cards.get(key, np.nan)))
            parts.append(value - piece.columns[start] if start else value)
        hdf5.write_column(group, key, np.concatenate(parts)[order])
    for piece in pieces:
        group.attrs.update({key: value for key, value in piece.cards.items() if isinstance(value, str)})


def _copy_images(group: h5py.Group, pieces: Sequence[_BrickRows], place: Array) -> None:
    """Copy every image, as it is compressed: a chunk is one image."""
    kinds: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
    for piece in pieces:
        for key, (shape, dtype) in piece.products.items():
            kinds[key] = shape, np.promote_types(dtype, kinds[key][1]) if key in kinds else dtype
    for key, (shape, dtype) in kinds.items():
        lead = (1,) * (len(shape) - 1)
        options = {"chunks": (*lead, *shape[-2:]), **hdf5.GZIP} if len(place) else {}
        dataset = group.create_dataset(key, (len(place), *shape), dtype, **options)
        if PRODUCTS[key].unit:
            dataset.attrs["unit"] = PRODUCTS[key].unit
        if PRODUCTS[key].pad == NOT_READ:
            dataset.attrs["not_read"] = NOT_READ
    start = 0
    for piece in pieces:
        with hdf5.reading(piece.path) as file:
            for key, (_, dtype) in piece.products.items():
                for k, at in enumerate(piece.at.tolist()):
                    _copy(file[key], at, group[key], int(place[start + k]), as_is=dtype == kinds[key][1])
        start += len(piece.rows)


def _copy(source: h5py.Dataset, at: int, dataset: h5py.Dataset, to: int, *, as_is: bool) -> None:
    if not as_is or source.chunks != dataset.chunks:
        dataset[to] = source[at]
        return
    for band in range(source.shape[1]) if source.ndim == 4 else (None,):
        middle = () if band is None else (band,)
        mask, data = source.id.read_direct_chunk((at, *middle, 0, 0))
        dataset.id.write_direct_chunk((to, *middle, 0, 0), data, mask)


def _write_photometry(group: h5py.Group, radii_arcsec: Sequence[float]) -> None:
    from skyharvest.surveys.legacysurvey.photometry import aperture_fluxes, magnitudes  # noqa: PLC0415 (photutils: 1.3 s)

    radii = np.asarray(radii_arcsec, np.float64)
    n, n_bands = group["image"].shape[:2]
    photometry = {name: np.full((n, n_bands, len(radii)), np.nan) for name in ("flux", "flux_error", "good")}
    x, y = (group[key][:] - group[f"{key}0"][:] for key in ("x", "y"))
    for first in range(0, n, PHOTOMETRY_ROWS):
        some = slice(first, first + PHOTOMETRY_ROWS)
        images = group["image"][some], group["invvar"][some]
        fluxes = aperture_fluxes(*images, x[some], y[some], radii / PIXEL_ARCSEC)
        for values, of_rows in zip(photometry.values(), fluxes, strict=True):
            values[some] = of_rows
    photometry["magnitude"], photometry["magnitude_error"] = magnitudes(photometry["flux"], photometry["flux_error"])
    hdf5.write_column(group, "aperture_radius", radii, unit="arcsec")
    units = {"flux": "nanomaggy", "flux_error": "nanomaggy", "magnitude": "mag(AB)", "magnitude_error": "mag"}
    for name, values in photometry.items():
        hdf5.write_column(group, f"aperture_{name}", values, unit=units.get(name))
