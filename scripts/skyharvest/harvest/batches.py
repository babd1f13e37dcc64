"""Batches: the NSIDE=16 pixels that one job harvests, sized by work and not by number.

A batch is the plan's pixels in a HEALPix cell (NESTED), as large a cell as its work allows, and has the cell's name:
``2-106`` is pixel 106 of order 2 (NSIDE=4), ``4-1704`` an NSIDE=16 pixel alone, ``all`` the whole sky. So the name and
the plan say which pixels are meant; and where the CSV changes, the cells elsewhere stay as they are.
"""

from collections.abc import Iterable, Mapping

from skyharvest.core.errors import InputError

LAYOUT = 5
"""Number of the layout of what a batch leaves: with those of an earlier one, its pixels are assembled again. Extracted
files have one of their own, in what they were made for."""

ORDER = 4  # of NSIDE=16
WHOLE_SKY = "all"
PATTERN = rf"{WHOLE_SKY}|[0-{ORDER}]-\d+"
"""Of the names: a regular expression."""


def name_of(pix16: int | str, order: int = ORDER) -> str:
    """Return the name of the cell of an order that holds an NSIDE=16 pixel; that pixel alone, unless given."""
    return f"{order}-{int(pix16) >> 2 * (ORDER - order)}"


def pixels_of(name: str, pixels: Iterable[int]) -> list[int]:
    """Return which of some NSIDE=16 pixels are in a cell, in their order.

    Raises
    ------
    InputError
        If that is no cell's name.
    """
    if name == WHOLE_SKY:
        return list(pixels)
    order, _, cell = name.partition("-")
    if not (order.isdecimal() and int(order) <= ORDER and cell.isdecimal()):
        raise InputError(f"batch {name}: expected {WHOLE_SKY}, or order and pixel of a HEALPix cell, such as 2-106")
    shift = 2 * (ORDER - int(order))
    return [pix16 for pix16 in pixels if pix16 >> shift == int(cell)]


def divide(seconds: Mapping[int, float], limit: float) -> dict[str, list[int]]:
    """Return batches that take no longer than a limit, but for single pixels that do.

    Parameters
    ----------
    seconds
        NSIDE=16 pixel → how long it takes.

    Returns
    -------
    dict
        Name → its pixels, both in rising order of pixels.
    """
    batches: dict[str, list[int]] = {}
    _divide(sorted(seconds), seconds, limit, -1, batches)
    return batches


def _divide(
    pixels: list[int], seconds: Mapping[int, float], limit: float, order: int, batches: dict[str, list[int]]
) -> None:
    if not pixels:
        return
    if order == ORDER or sum(seconds[pix16] for pix16 in pixels) <= limit:
        batches[WHOLE_SKY if order < 0 else name_of(pixels[0], order)] = pixels
        return
    shift = 2 * (ORDER - order - 1)
    cells: dict[int, list[int]] = {}
    for pix16 in pixels:
        cells.setdefault(pix16 >> shift, []).append(pix16)
    for cell in cells.values():
        _divide(cell, seconds, limit, order + 1, batches)
