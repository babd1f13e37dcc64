"""Products by amplifier: a FITS file for a unit, with images ``NAME_AMP`` and a table of how each amplifier stands.

An amplifier that could not be done is a row of the table ``AMPS`` with its reason, and has no images.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
from numpy.typing import NDArray

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import HarvestError, InputError, MalformedFile
from skyharvest.reduction.hetdex.layout import AMPS

DONE, FAILED = "done", "failed"
Value = float | int | str
TABLE = "AMPS"
_IN_ASCII = str.maketrans(
    {"Å": "Angstrom", "σ": "sigma", "″": "arcsec", "χ": "chi", "²": "2", "×": "x", "±": "+-", "…": "..."}
)
"""FITS has no other letters."""


class AmpFailed(HarvestError):
    """An amplifier could not be done, here or in an earlier step; the message says why."""


@dataclass
class AmpResult:
    """What a step has made of an amplifier.

    Attributes
    ----------
    arrays
        By name: letters, digits and underscores.
    values
        Numbers and words that say how it went, by name.
    failed
        Why there is nothing; empty if there is.
    """

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    failed: str = ""


def each_amp(do: Callable[[str], AmpResult]) -> dict[str, AmpResult]:
    """Return what a step makes of each amplifier; one that fails keeps its reason, and the others are done.

    Only what doing it again would not change is a reason: other errors end the job.
    """
    results = {}
    for amp in AMPS:
        try:
            results[amp] = do(amp)
        except (InputError, MalformedFile, AmpFailed) as error:
            results[amp] = AmpResult(failed=str(error))
    return results


def write_amps(path: Path, header: Mapping[str, Value], results: Mapping[str, AmpResult]) -> None:
    """Write a product.

    Parameters
    ----------
    path
        The file.
    header
        Cards of the primary header.
    results
        By amplifier.
    """
    amps = [amp for amp in AMPS if amp in results]
    assert len(amps) == len(results), f"found amplifiers {sorted(results)}; expected some of {AMPS}"
    columns: dict[str, NDArray[Any]] = {
        "amp": np.array(amps, "S2"),
        "state": np.array([FAILED if results[amp].failed else DONE for amp in amps], "S8"),
        "reason": _texts([results[amp].failed for amp in amps]),
    }
    for name in dict.fromkeys(name for amp in amps for name in results[amp].values):
        columns[name] = _column([results[amp].values.get(name) for amp in amps])
    with atomic_path(path) as temporary:
        temporary.unlink()  # fitsio makes its files itself
        with fitsio.FITS(str(temporary), "rw", clobber=True) as out:
            out.write(None, header=dict(header))
            out.write(list(columns.values()), names=list(columns), extname=TABLE)
            for amp in amps:
                for name, array in results[amp].arrays.items():
                    out.write(np.ascontiguousarray(array), extname=f"{name}_{amp}".upper())


def _texts(words: list[str]) -> NDArray[Any]:
    encoded = [word.translate(_IN_ASCII).encode("ascii", "replace") for word in words]
    return np.array(encoded, f"S{max(1, *map(len, encoded))}")


def _column(values: list[Value | None]) -> NDArray[Any]:
    """Return a column: words, or numbers with NaN where there is none."""
    if any(isinstance(value, str) for value in values):
        return _texts(["" if value is None else str(value) for value in values])
    return np.array([np.nan if value is None else value for value in values], "f8")


class AmpFile:
    """A product that is read.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    MalformedFile
        If it is no such product.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = fitsio.FITS(str(path))
            self.header = self._file[0].read_header()
            table = self._file[TABLE].read()
        except OSError as error:
            raise MalformedFile(f"{path}: found no product by amplifier ({error}); remove it and run again") from None
        self._rows = {text(row["amp"]): row for row in table}
        self._names = table.dtype.names

    def __enter__(self) -> "AmpFile":
        """Open it: nothing is left to do."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the file."""
        self._file.close()

    @property
    def states(self) -> dict[str, tuple[str, str]]:
        """State, `DONE` or `FAILED`, and reason of each amplifier."""
        return {amp: (text(row["state"]), text(row["reason"])) for amp, row in self._rows.items()}

    def values(self, amp: str) -> dict[str, Value]:
        """Return what is said of an amplifier: numbers and words."""
        row = self._rows[amp]
        return {name: _value(row[name]) for name in self._names if name not in ("amp", "state", "reason")}

    def check(self, amp: str) -> None:
        """Raise `AmpFailed` if an amplifier has not been done."""
        if amp not in self._rows:
            raise AmpFailed(f"{self.path} has no amplifier {amp}")
        state, reason = self.states[amp]
        if state != DONE:
            raise AmpFailed(reason)

    def optional_array(self, name: str, amp: str) -> NDArray[Any] | None:
        """Return an array of an amplifier as `array` does, but None if there is no such array."""
        self.check(amp)
        return self.array(name, amp) if f"{name}_{amp}".upper() in self._file else None

    def array(self, name: str, amp: str) -> NDArray[Any]:
        """Return an array of an amplifier, in the machine's byte order.

        Raises
        ------
        AmpFailed
            If the amplifier has not been done.
        MalformedFile
            If there is no such array.
        HarvestError
            If it cannot be read: the file is cut short, or the disk fails, which is no reason to give the amplifier up.
        """
        self.check(amp)
        extname = f"{name}_{amp}".upper()
        if extname not in self._file:
            raise MalformedFile(f"{self.path}: found no HDU {extname}; remove the file and run again")
        try:
            array = self._file[extname].read()
        except OSError as error:
            why = str(error).partition("\n")[0]
            raise HarvestError(
                f"{self.path}: HDU {extname} cannot be read ({why}); remove the file and run again"
            ) from None
        return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def text(value: Any) -> str:
    """Return a cell of a table, or a card, as text without blanks at its ends."""
    return value.decode("utf-8", "replace").strip() if isinstance(value, bytes) else str(value).strip()


def _value(value: Any) -> Value:
    return text(value) if isinstance(value, bytes | str | np.str_) else float(value)
