"""Which bits of HETDEX's masks a person names. Light: the configuration is checked with it at parse time."""

import difflib
from collections.abc import Sequence

from skyharvest.core.errors import InputError
from skyharvest.formats.hetdex_mask import MASK_BITS

KNOWN = sum(MASK_BITS.values())
LARGEST = 1 << 30
"""Of the numbers of bits: a release may have bits that have no name yet."""
ANY = -1
"""Every bit, known or not."""


def mask_bits(names: str | int | Sequence[str | int]) -> int:
    """Return the bits that are named, as one number.

    Parameters
    ----------
    names
        A name of `MASK_BITS` in any case, a number (also as text), or a list of these. A number is a sum of named bits,
        or one bit that has no name: 16384, 32768, ….
        ``any`` and ``all`` are every bit.

    Returns
    -------
    int
        The bits, 0 for an empty list; `ANY` for every bit.

    Raises
    ------
    InputError
        If a name or number is no bit; says which is nearest.
    """
    if not isinstance(names, str | int):
        bits = 0
        for name in names:
            bits |= mask_bits(name)
        return bits
    word = str(names).strip().upper()
    if word in ("ANY", "ALL"):
        return ANY
    if word in MASK_BITS:
        return MASK_BITS[word]
    if word.isascii() and word.isdigit() and len(word) <= len(str(LARGEST)) and 0 < int(word) <= LARGEST:
        number = int(word)
        if number <= KNOWN or number.bit_count() == 1:
            return number
    nearest = difflib.get_close_matches(word, MASK_BITS, n=1)
    numbers = f"1 to {KNOWN}, or one bit above, such as {KNOWN + 1}"
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"expected any, {', '.join(MASK_BITS)}, or {numbers}"
    raise InputError(f"{names!r} is no bit of a mask; {hint}")
