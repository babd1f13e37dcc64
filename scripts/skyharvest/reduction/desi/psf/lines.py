"""Wavelengths of the lines of arc lamps, and of the night sky's light."""

import importlib.resources
from pathlib import Path

import numpy as np

from skyharvest.core.arrays import Floats
from skyharvest.core.errors import MalformedFile

ARC_LINES = "arc_lines/specex_linelist.txt"
"""In desispec's data: lines that its own fit takes."""


def read_lines(path: Path | None = None) -> Floats:
    """Return wavelengths of arc lines, Å in vacuum, rising; desispec's own list if none is given.

    A list has a line's name and its wavelength in each row; ``#`` begins a comment.

    Raises
    ------
    MalformedFile
        If a wavelength is no number.
    """
    source = path or importlib.resources.files("desispec") / "data" / ARC_LINES
    wave = []
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words or words[:2] == ["Ion", "wave"]:
            continue
        try:
            wave.append(float(words[1]))
        except (IndexError, ValueError) as error:
            raise MalformedFile(f"{path or ARC_LINES}: line {number} is {line!r}, expected a name and Å") from error
    return np.unique(wave)
