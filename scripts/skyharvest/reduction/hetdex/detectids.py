"""Numbers of detections, which stay the same when shots are added, in whatever order they are reduced. Light.

A detectid is ``shotid · 100000 + ifuslot · 900 + k``: k counts the emission lines of an IFU from 0, its continuum
sources from 600. So ``detectid // 100000`` is the shot, by which files of reports are named, and a detectid is below
2⁵³: programs that take numbers for floating-point ones keep it.
"""

from skyharvest.core.errors import InputError

PER_SHOT, PER_IFU = 100_000, 900
FIRST_CONTINUUM = 600
MOST_LINES, MOST_CONTINUUM = FIRST_CONTINUUM, PER_IFU - FIRST_CONTINUUM
"""Of an IFU: more have no number."""
LAST_SLOT = PER_SHOT // PER_IFU - 1


def why_no_numbers(ifuslot: str) -> str:
    """Return why the detections of an IFU have no numbers; no text if they have."""
    if ifuslot.isdecimal() and int(ifuslot) <= LAST_SLOT:
        return ""
    return f"found ifuslot {ifuslot!r}; expected a number up to {LAST_SLOT:03d}"


def first_detectid(shotid: int, ifuslot: str, *, continuum: bool = False) -> int:
    """Return the first detectid of the lines of an IFU, or of its continuum sources.

    Raises
    ------
    InputError
        If the slot has no numbers.
    """
    if why := why_no_numbers(ifuslot):
        raise InputError(why)
    return shotid * PER_SHOT + int(ifuslot) * PER_IFU + (FIRST_CONTINUUM if continuum else 0)


def is_continuum(detectid: int) -> bool:
    """Tell whether a detection is a continuum source, and no line."""
    return detectid % PER_SHOT % PER_IFU >= FIRST_CONTINUUM
