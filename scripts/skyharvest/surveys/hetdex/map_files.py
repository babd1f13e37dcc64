"""Maps of HETDEX sources in HDF5 and FITS files."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skyharvest.core.atomic import atomic_path
from skyharvest.formats import hdf5
from skyharvest.formats.hdf5_spectra import spectra_dataset, write_rows
from skyharvest.surveys.hetdex.maps import ARRAYS, IMAGES, MapRequest, Maps

if TYPE_CHECKING:
    import h5py

FLUX_UNIT = "10**-17 erg/(s cm2)"
_NUMBERS = ("size_arcsec", "half_width", "gap", "continuum_width")  # attributes of a `MapRequest`


def write_maps(group: "h5py.Group", maps: Maps, *, compressed: bool = False) -> None:
    """Write maps into an HDF5 group, which `read_maps` reads.

    ================================  =========================================================================
    ``broad``, ``narrow``, ``line``   (n, size, size) float32 (y, x), 10⁻¹⁷ erg s⁻¹ cm⁻² per spaxel
    ``broad_error``, …                ditto
    ``coverage, narrow_coverage``     (n, size, size) float32, share of the band with good voxels
    ``wave``                          (n,) Å in air, where the line is
    ``x0``, ``y0``                    (n,) the cube's spaxel, 0-based, that is the map's first; < 0 off the cube
    ``on_cube``                       (n,) whether any of the map is on the cube
    ``wcs/CRPIX1``, …                 (n,) the numbers of the maps' WCS
    attributes of ``wcs``             its texts, the same for all
    attributes                        ``size_arcsec``; ``broad`` (2,), ``half_width``, ``gap``, ``continuum_width``: Å
    ================================  =========================================================================

    The WCS of map i is
    ``WCS(Header({**group["wcs"].attrs, **{card: values[i] for card, values in group["wcs"].items()}}))``.
    """
    request = maps.request
    for name in IMAGES:
        values = getattr(maps, name)
        unit = {} if name.endswith("coverage") else {"unit": FLUX_UNIT}
        dataset = spectra_dataset(group, name, len(values), values.shape[1:], np.float32, compressed=compressed, **unit)
        write_rows(dataset, slice(None), values)
    hdf5.write_column(group, "wave", maps.wave, unit="Angstrom", medium="air")
    for name in ("x0", "y0"):
        hdf5.write_column(group, name, getattr(maps, name), unit="spaxel")
    hdf5.write_column(group, "on_cube", maps.on_cube)
    group.attrs["broad"] = np.array(request.broad, np.float64)
    for name in _NUMBERS:
        group.attrs[name] = float(getattr(request, name))
    wcs = group.create_group("wcs")
    for card, value in maps.cards.items():
        if isinstance(value, str):
            wcs.attrs[card] = value
        else:
            hdf5.write_column(wcs, card, value)


def read_maps(group: "h5py.Group") -> Maps:
    """Read what `write_maps` has written."""
    wcs = group["wcs"]
    request = MapRequest(
        broad=(float(group.attrs["broad"][0]), float(group.attrs["broad"][1])),
        **{name: float(group.attrs[name]) for name in _NUMBERS},
    )
    texts = {card: str(value) for card, value in wcs.attrs.items()}
    return Maps(
        request,
        **{name: group[name][:] for name in ARRAYS},
        cards=texts | {card: values[:] for card, values in wcs.items()},
    )


def write_fits(path: Path, maps: Maps, i: int, about: Mapping[str, Any]) -> None:
    """Write the maps of one source as a FITS file: an image extension each, named like `IMAGES`, with its WCS.

    The file appears complete or not at all.

    Parameters
    ----------
    i
        Which of the sources; it is on the cube.
    about
        Cards of the primary header, beside the bands: keywords of up to 8 characters and their values. A value that is
        missing (None, NaN) is left undefined, and characters that FITS has not become ``?``.
    """
    from astropy.io import fits  # noqa: PLC0415 (0.8 s)

    request = maps.request
    primary = fits.PrimaryHDU()
    bands = {
        "WAVE": (maps.wave[i], "[Angstrom] where the line is, in air"),
        "NARROW": (request.half_width, "[Angstrom] half width of the narrow band"),
        "CONTGAP": (request.gap, "[Angstrom] from there to the continuum"),
        "CONTWID": (request.continuum_width, "[Angstrom] of it, on either side"),
        "BROAD1": (request.broad[0], "[Angstrom] first wavelength of the broad band"),
        "BROAD2": (request.broad[1], "[Angstrom] last wavelength of the broad band"),
    }
    for card, value in about.items():
        primary.header[card] = _card_value(value)
    for card, (value, comment) in bands.items():
        primary.header[card] = _card_value(value), comment
    hdus = fits.HDUList([primary])
    for name in IMAGES:
        hdu = fits.ImageHDU(getattr(maps, name)[i], name=name.upper())
        hdu.header.update(maps.cards_of(i))
        if not name.endswith("coverage"):
            hdu.header["BUNIT"] = FLUX_UNIT
        hdus.append(hdu)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        hdus.writeto(stream)


def _card_value(value: Any) -> Any:
    """Return a value in a form that a FITS card can hold."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return re.sub(r"[^ -~]", "?", value)
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
