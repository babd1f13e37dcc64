"""The cards of a FITS header.

Source: FITS Standard 4.0 (2018), §3.3 (blocks of 2,880 bytes), §4.1-4.2 (cards), §4.2.1.2 (CONTINUE).
"""

import re
from functools import lru_cache

Value = str | int | float | bool | None

BLOCK = 2880
CARD = 80
CONTINUE = "CONTINUE"

_NOT_TEXT = {code: "?" for code in range(256) if not chr(code).isprintable()}


def find_end(text: bytes) -> int | None:
    """Return the offset behind the END card of a header, or None if it is not in ``text``."""
    position = text.find(b"END" + b" " * 77)
    while position >= 0 and position % CARD:
        position = text.find(b"END" + b" " * 77, position + 1)
    return position + CARD if position >= 0 else None


def parse_cards(text: bytes) -> dict[str, Value]:
    """Return keyword → value of a header's cards, with CONTINUE strings joined; the last of repeated keywords counts.

    Control characters, which are not allowed in headers, become ``?``: names and units go to messages and HDF5.
    """
    cards: dict[str, Value] = {}
    last = ""
    for start in range(0, len(text) - CARD + 1, CARD):
        keyword, value = _parse_card(text[start : start + CARD])
        if keyword == CONTINUE:
            joined = cards.get(last)
            if isinstance(joined, str) and joined.endswith("&") and isinstance(value, str):
                cards[last] = joined[:-1] + value
        elif keyword:
            cards[keyword] = value
            last = keyword
    return cards


@lru_cache(maxsize=8192)  # files of one kind have nearly all of their cards in common
def _parse_card(raw: bytes) -> tuple[str, Value]:
    """Return the keyword and value of a card; the keyword is "" where the card is no such pair."""
    card = raw.decode("latin-1").translate(_NOT_TEXT)
    keyword = card[:8].rstrip()
    if keyword == CONTINUE:
        return keyword, _value(card[8:])
    return (keyword, _value(card[10:])) if card[8:10] == "= " else ("", None)


def _value(text: str) -> Value:
    text = text.strip()
    if text.startswith("'"):
        quoted = re.match(r"'((?:[^']|'')*)'", text)
        return quoted.group(1).replace("''", "'").rstrip() if quoted else text[1:]
    text = text.partition("/")[0].strip()
    if text in ("T", "F"):
        return text == "T"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text.replace("D", "E").replace("d", "e"))
    except ValueError:
        return text or None
