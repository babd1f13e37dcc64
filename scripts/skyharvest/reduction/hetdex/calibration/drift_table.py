"""The table of what drifts over months: `skyharvest.reduction.hetdex.calibration.drift` measures it. Light."""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from skyharvest.core.csv_file import write_rows
from skyharvest.core.errors import MalformedFile

NAN = float("nan")


@dataclass(frozen=True)
class Row:
    """How an amplifier stands in a month, and how that differs from its first month.

    Attributes
    ----------
    ifu, amp, month
        Which one: pairing, amplifier, YYYYMM.
    reference
        The month that it is compared with; 0 if it failed.
    reason
        Why nothing, or not all, is known.
    bias_level, bias_change
        Level of the overscan, ADU, and change.
    wave_change
        Å, median of living fibers' pixels: by how much wavelengths are larger.
    wave_stretch
        Å: the same at the last fifth of columns minus that at the first.
    trace_change
        Pixels, median: by how much traces are higher.
    f2f_change
        Scatter of the relative change of fibers' throughputs.
    amp_to_amp, amp_to_amp_change
        Throughput over the field's, median of wavelengths, and relative change.
    """

    ifu: str
    amp: str
    month: int
    reference: int = 0
    reason: str = ""
    bias_level: float = NAN
    bias_change: float = NAN
    wave_change: float = NAN
    wave_stretch: float = NAN
    trace_change: float = NAN
    f2f_change: float = NAN
    amp_to_amp: float = NAN
    amp_to_amp_change: float = NAN


NUMBERS: Mapping[str, tuple[str, str]] = {
    "bias_change": ("ADU", "level of the overscan"),
    "wave_change": ("Å", "zero point of wavelengths"),
    "wave_stretch": ("Å", "length of spectra"),
    "trace_change": ("pixels", "place of traces"),
    "f2f_change": ("", "fiber to fiber, scatter of its change"),
    "amp_to_amp_change": ("", "amplifier to amplifier"),
}
"""Unit and meaning of what may drift."""


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write a table."""
    names = [field.name for field in fields(Row)]
    write_rows(path, names, ([_cell(value) for value in asdict(row).values()] for row in rows))


def _cell(value: str | int | float) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def read(path: Path) -> list[Row]:
    """Read a table.

    Raises
    ------
    MalformedFile
        If it is no such table.
    """
    kinds = {field.name: field.type for field in fields(Row)}
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        if reader.fieldnames != list(kinds):
            raise MalformedFile(f"{path}: found the columns {reader.fieldnames}; remove it and run again")
        try:
            return [
                Row(**{name: _value(kinds[name], cell) for name, cell in line.items()})  # type: ignore[arg-type]
                for line in reader
            ]
        except (ValueError, TypeError, KeyError) as error:
            raise MalformedFile(f"{path}, line {reader.line_num}: {error}; remove it and run again") from None


def _value(kind: object, cell: str) -> str | int | float:
    if kind is float:
        return float(cell) if cell else NAN
    return int(cell) if kind is int else cell
