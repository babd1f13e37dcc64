"""The file of a data cube, ``dex_cube_{shotid}_{ifuslot}.fits``, as HETDEX's public ones are laid out.

An empty primary HDU, then DATA, ERROR and MASK with the same cards: the WCS, and the row of ``/Shot`` under the names
that public cubes have (hetdex_api, ``hetdex_tools/interpolate.py``). Otherwise than there: the wavelengths' axis says
that it is in Å and in air, the reference pixel is the one that has that position (52.5 on both axes), and what is not
known is NaN in DATA and ERROR, and has no card. Compression is that of public cubes: RICE, tiles of (16, 32, 32).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import fitsio
import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.atomic import atomic_path
from skyharvest.reduction.hetdex.layout import Pairing
from skyharvest.reduction.hetdex.release.cube import MIDDLE, SPAXEL, Cube
from skyharvest.reduction.hetdex.stars.tangent import ARCSEC, Pointing
from skyharvest.reduction.hetdex.virus import GRID, GRID_STEP

UNIT = "10**-17 erg/(s cm2)"
COMPRESSION: dict[str, Any] = {"compress": "RICE", "tile_dims": (16, 32, 32)}
QUANTIZATION: dict[str, Any] = {"qlevel": 16.0, "qmethod": "SUBTRACTIVE_DITHER_2", "dither_seed": 1}
"""Steps of 1/16 of a tile's noise, as astropy has it, by which public cubes are written."""
_LEFT_OUT = ("darktime", "nstars_fit", "nstars_fit_fwhm")
_KEYS = {"response_4540": "RESPONSE"}


def name_of(shotid: int, ifuslot: str) -> str:
    """Return the name of a cube's file."""
    return f"dex_cube_{shotid}_{ifuslot}.fits"


def write_cube(path: Path, cube: Cube, cards: Iterable[tuple[str, Any]], *, compressed: bool = True) -> None:
    """Write a cube's file.

    Parameters
    ----------
    cards
        Of its images: `wcs_cards`, `shot_cards` and others.
    """
    header = [{"name": name, "value": value} for name, value in cards]
    with atomic_path(path) as temporary:
        temporary.unlink()  # fitsio makes its files itself
        with fitsio.FITS(str(temporary), "rw", clobber=True) as out:
            out.write(None)
            for name, image in (("DATA", cube.data), ("ERROR", cube.error), ("MASK", cube.mask)):
                has_unit = image.dtype.kind == "f"
                how = {**COMPRESSION, **(QUANTIZATION if has_unit else {})} if compressed else {}
                unit = [{"name": "BUNIT", "value": UNIT}] if has_unit else []
                out.write(image, extname=name, header=[*header, *unit], **how)


def wcs_cards(place: Pointing) -> Iterator[tuple[str, Any]]:
    """Give the cards of a cube's axes.

    Parameters
    ----------
    place
        Its middle, and the position angle of its x axis.
    """
    rotation = np.radians(360 - (place.pa + 90))  # as `tangent` has it
    cosine, sine = float(np.cos(rotation)), float(np.sin(rotation))
    yield "WCSAXES", 3
    yield from zip(("CRPIX1", "CRPIX2", "CRPIX3"), (MIDDLE + 1, MIDDLE + 1, 1.0), strict=True)
    yield from zip(("PC1_1", "PC1_2", "PC2_1", "PC2_2"), (cosine, sine, -sine, cosine), strict=True)
    yield from zip(("CDELT1", "CDELT2", "CDELT3"), (-SPAXEL * ARCSEC, SPAXEL * ARCSEC, GRID_STEP), strict=True)
    yield from zip(("CUNIT1", "CUNIT2", "CUNIT3"), ("deg", "deg", "Angstrom"), strict=True)
    yield from zip(("CTYPE1", "CTYPE2", "CTYPE3"), ("RA---TAN", "DEC--TAN", "AWAV"), strict=True)
    yield from zip(("CRVAL1", "CRVAL2", "CRVAL3"), (place.ra, place.dec, float(GRID[0])), strict=True)
    yield from (("LONPOLE", 180.0), ("RADESYS", "ICRS"), ("SPECBW", GRID_STEP))


def shot_cards(shot: Array, ifu: Pairing) -> Iterator[tuple[str, Any]]:
    """Give the cards that tell of which shot and IFU a cube is.

    Parameters
    ----------
    shot
        The row of ``/Shot``.
    """
    for name in ("ifuslot", "specid", "ifuid", "contid"):
        yield name.upper(), getattr(ifu, name)
    for name in shot.dtype.names or ():
        if name in _LEFT_OUT or name.startswith(("x", "y")):
            continue
        key = _KEYS.get(name, name.replace("_virus", "").upper())
        values = np.atleast_1d(shot[name]).tolist()
        for number, value in enumerate(values, 1):
            is_known = isinstance(value, bytes) or (np.isfinite(value) and value != -1)  # -1: see `shot_file`
            if is_known:
                said = value.decode("ascii", "replace") if isinstance(value, bytes) else value
                yield f"{key}{number}" if shot[name].shape else key, said
