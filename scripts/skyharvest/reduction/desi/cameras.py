"""Names of cameras, amplifiers, and the field's short words for sets of them."""

import re
from collections.abc import Iterable

from skyharvest.core.errors import InputError

ARMS = ("b", "r", "z")
FIBERS_OF_CAMERA = 500

_CAMWORD = re.compile(r"(?:[abrz]\d+)*")
_BADAMP = re.compile(r"[brz]\d[A-D]", re.IGNORECASE)


def decode_camword(camword: str) -> frozenset[str]:
    """Return the cameras of a word: ``a01b5`` is b0, r0, z0, b1, r1, z1, b5. As desispec's function of this name.

    Raises
    ------
    InputError
        If it is no such word.
    """
    if not _CAMWORD.fullmatch(camword):
        raise InputError(f"{camword!r} is no camword: expected a, b, r or z and spectrographs 0 to 9, such as a0123b5")
    return frozenset(
        f"{arm}{spectrograph}"
        for letter, spectrographs in re.findall(r"([abrz])(\d+)", camword)
        for spectrograph in spectrographs
        for arm in (ARMS if letter == "a" else letter)
    )


def create_camword(cameras: Iterable[str]) -> str:
    """Return the word of some cameras: those of which all arms are there first, as desispec writes it."""
    given = set(cameras)
    of_arm = {arm: {camera[1] for camera in given if camera[0] == arm} for arm in ARMS}
    whole = set.intersection(*of_arm.values())
    words = {"a": whole} | {arm: spectrographs - whole for arm, spectrographs in of_arm.items()}
    return "".join(f"{letter}{''.join(sorted(some))}" for letter, some in words.items() if some)


def parse_badamps(text: str) -> dict[str, str]:
    """Return the bad amplifiers of each camera: ``b7D;z8A`` is ``{"b7": "D", "z8": "A"}``; commas are the same.

    Raises
    ------
    InputError
        If it is no such list.
    """
    made: dict[str, str] = {}
    for word in filter(None, re.split(r"[,;\s]+", text)):
        if not _BADAMP.fullmatch(word):
            raise InputError(f"{word!r} is no amplifier: expected a camera and A, B, C or D, such as b7D")
        camera, amp = word[:2].lower(), word[2].upper()
        made[camera] = "".join(sorted({*made.get(camera, ""), amp}))
    return made
