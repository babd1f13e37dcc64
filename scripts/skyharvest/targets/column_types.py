"""The type of a CSV's column: a number only where it gives back what the cells say, else text.

Identifiers look like numbers: ``9007199254740993.0`` has more digits than a float64, and ``12.10`` is not the
observation ``12.1``. Measurements are written by one format: all cells have the same decimals (``1.50``, ``0.25``), the
same number of digits, or no zeros at the end.
"""

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyharvest.formats import arrow
from skyharvest.targets.csv_text import BLANKS

_LEADING_ZERO = r"^-?0[0-9]+$"
_LONG = r"[0-9](\.?[0-9]){15}"  # 15 digits always survive as a float64
_LONG_INTEGER = r"^-?[0-9]{16,}$"
_NOT_ZERO = r"^[^e]*[1-9]"
_FRACTION = r"\.[0-9]*[1-9]"
_ENDS_IN_ZERO = r"\.[0-9]*[1-9][0-9]*0(e|$)"
_DIGITS = r"^[+-]?(?P<whole>[0-9]*)\.(?P<decimals>[0-9]*)"
_ONE_NUMBER = (  # ways to write it in which no identifier differs from another one
    (r"^([+-]?)\.", r"\10."),
    (r"^([+-]?[0-9]+)\.0*$", r"\1"),
    (r"^[+-]?[0.]+(e.*)?$", "0"),
)
_TINY = np.finfo(np.float64).tiny  # smaller numbers have fewer digits


def typed(text: pa.ChunkedArray, *, identifier: bool = False, position: bool = False) -> pa.ChunkedArray:
    """Return a column of text as int64, float64 or bool where every cell is one or blank, else as it is.

    Parameters
    ----------
    text
        All cells of the column, as they are in the CSV.
    identifier
        Every cell is known to be an integer; leading zeros are not kept.
    position
        It is RA or Dec: a number, however it is written.

    Returns
    -------
    pyarrow.ChunkedArray
        A blank cell (`BLANKS`) of a number or bool is a null. NaN is a number, and no integer.
    """
    cells = _without_blanks(text)
    if cells.null_count == len(cells):
        return text
    unsigned = _without_plus(cells)
    try:
        numbers = pc.cast(unsigned, pa.float64())
    except pa.ArrowInvalid:
        true = pc.equal(cells, "true")
        return true if pc.all(pc.or_(true, pc.equal(cells, "false"))).as_py() else text
    if not identifier and _any(unsigned, _LEADING_ZERO):
        return text  # 034 is not 34
    try:
        integers = pc.cast(unsigned, pa.int64())
    except pa.ArrowInvalid:
        # Not all are integers of 64 bits; those of more than 15 digits would not survive as floats.
        if _any(unsigned, _LONG_INTEGER) or not (position or _is_given_back(cells, numbers)):
            return text
        return numbers
    return text if unsigned is not cells and not identifier and _are_one(cells, integers) else integers


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of any type as text, numbers as short as they can be, and "" for nulls."""
    return pc.fill_null(pc.cast(column, pa.string()), "")


def as_numbers(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of text, all numbers and blanks (`first_no_number`), as float64, whatever digits get lost."""
    return pc.cast(_without_plus(_without_blanks(text)), pa.float64())


def first_no_number(text: pa.ChunkedArray) -> int | None:
    """Return where the first cell is that is neither a number nor blank; None if there is none."""
    try:
        as_numbers(text)
    except pa.ArrowInvalid:
        cells = text.to_pylist()
        return next(i for i, cell in enumerate(cells) if not _is_number(cell))
    return None


def _is_number(cell: str) -> bool:
    try:
        as_numbers(pa.chunked_array([[cell]], pa.string()))
    except pa.ArrowInvalid:
        return False
    return True


def _without_blanks(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the cells in lower case and without spaces around them, with nulls for `BLANKS`."""
    cells = pc.ascii_lower(pc.ascii_trim_whitespace(text))
    blank = pc.is_in(cells, pa.array(BLANKS, pa.string()))
    return pc.if_else(blank, pa.scalar(None, pa.string()), cells)


def _without_plus(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the cells without plus signs, which Arrow's integers do not have; themselves where there is none."""
    if not pc.any(pc.starts_with(cells, "+")).as_py():
        return cells
    return pc.replace_substring_regex(cells, r"^\+([0-9])", r"\1")


def _any(cells: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(cells, pattern)).as_py())


def _is_given_back(cells: pa.ChunkedArray, numbers: pa.ChunkedArray) -> bool:
    """Tell whether floats say all that the cells say: each all of its digits, no two of them the same, one format."""
    written = pc.match_substring_regex(cells, "[0-9]")  # and not: inf, nan
    cells, numbers = pc.filter(cells, written), pc.filter(numbers, written)
    shortest = pc.cast(numbers, pa.string())
    longer = pc.and_not(pc.not_equal(cells, shortest), pc.equal(cells, pc.binary_join_element_wise(shortest, ".0", "")))
    if not pc.any(longer).as_py():
        return True
    return (
        _are_exact(pc.filter(cells, longer), pc.filter(numbers, longer))
        and _are_of_one_format(cells)
        and not _are_one(cells, numbers)
    )


def _are_exact(cells: pa.ChunkedArray, numbers: pa.ChunkedArray) -> bool:
    """Tell whether each number, rounded to the digits of its cell or written as short as can be, is that cell."""
    values = arrow.to_numpy(numbers)[0]
    doubtful = arrow.to_numpy(pc.match_substring_regex(cells, _LONG))[0] | np.isinf(values)
    tiny = np.abs(values) < _TINY
    if tiny.any():
        doubtful |= tiny & arrow.to_numpy(pc.match_substring_regex(cells, _NOT_ZERO))[0]
    texts = pc.filter(cells, pa.array(doubtful.tolist())).to_pylist()
    return all(map(_is_exact, texts, values[doubtful].tolist()))


def _is_exact(cell: str, value: float) -> bool:
    whole, _, rest = cell.partition("e")
    if value == 0:
        return not any(digit in whole for digit in "123456789")
    if not np.isfinite(value):
        return False
    exact = Decimal(f"{whole.rstrip('0') if '.' in whole else whole}e{rest or 0}")
    rounded = f"{value:.{len(exact.as_tuple().digits) - 1}e}"
    return exact in (Decimal(rounded), Decimal(repr(value)))


def _are_of_one_format(cells: pa.ChunkedArray) -> bool:
    """Tell whether zeros at the end of decimals are due to a format: the same decimals or digits in all fractions."""
    if not _any(cells, _ENDS_IN_ZERO):
        return True
    fractions = pc.filter(cells, pc.match_substring_regex(cells, _FRACTION))
    parts = pc.extract_regex(fractions, _DIGITS)
    whole, decimals = (pc.struct_field(parts, name) for name in ("whole", "decimals"))
    digits = pc.utf8_ltrim(pc.binary_join_element_wise(whole, decimals, ""), "0")
    return any(pc.count_distinct(pc.binary_length(part)).as_py() == 1 for part in (decimals, digits))


def _are_one(cells: pa.ChunkedArray, numbers: pa.ChunkedArray) -> bool:
    """Tell whether cells with the same number are written in several ways that are not `_ONE_NUMBER`."""
    n_numbers = pc.count_distinct(numbers).as_py()
    if pc.count_distinct(cells).as_py() == n_numbers:
        return False
    for pattern, instead in _ONE_NUMBER:
        cells = pc.replace_substring_regex(cells, pattern, instead)
    if pa.types.is_floating(numbers.type):
        numbers = pc.add(numbers, 0.0)  # 0.0 and -0.0
    return bool(pc.count_distinct(cells).as_py() > pc.count_distinct(numbers).as_py())
