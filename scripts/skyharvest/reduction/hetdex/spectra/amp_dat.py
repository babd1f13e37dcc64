"""``amp.dat``: how the sky of the whole field is in each amplifier of an exposure.

HETDEX's table of eight columns, ``a14,1x,f6.3,1x,i3,4(1x,f7.2),1x,i4`` after a line of their names: pairing and
amplifier; factor on the full sky; fibers removed as continuum; mean background; scatter; offset of wavelengths W0, and
W1 × 1000; fibers that are low. A wavelength λ of the amplifier is ``λ + W0 + W1 (4500 Å - λ)`` on the field's scale.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from skyharvest.core.atomic import write_changed
from skyharvest.core.errors import MalformedFile

COLUMNS = "Spc_slt_iid_am Factor N_c Avg Scale W0 W1 Nlo"
PIVOT = 4500.0
"""Å at which W1 changes nothing."""
_WIDEST = 9999.99


@dataclass(frozen=True)
class AmpSky:
    """A row.

    Attributes
    ----------
    name
        Pairing and amplifier, ``{specid}_{ifuslot}_{ifuid}_{amp}``.
    factor
        The sky in the amplifier, over that of the field.
    n_continuum
        Fibers with a source, which were left out.
    background, rms
        Normalised counts: mean, and scatter, of what the full sky leaves in the other fibers.
    shift
        W0, Å.
    stretch
        W1.
    n_low
        Fibers with less light than the sky.
    """

    name: str
    factor: float
    n_continuum: int
    background: float
    rms: float
    shift: float
    stretch: float
    n_low: int


def write(path: Path, rows: Iterable[AmpSky]) -> None:
    """Write a table."""
    write_changed(path, "".join([f"{COLUMNS}\n", *(f"{_line(row)}\n" for row in rows)]))


def read(path: Path) -> dict[str, AmpSky]:
    """Return the rows by name, in the order of the file.

    Raises
    ------
    MalformedFile
        If a line is not as it should be.
    """
    rows: dict[str, AmpSky] = {}
    for number, line in enumerate(path.read_text(encoding="ascii", errors="replace").splitlines(), 1):
        cells = line.split()
        if not cells or line == COLUMNS:
            continue
        try:
            name, factor, n_continuum, background, rms, shift, stretch, n_low = cells
            row = AmpSky(
                name, float(factor), int(n_continuum), float(background), float(rms), float(shift),
                float(stretch) / 1000, int(n_low),
            )  # fmt: skip
        except ValueError:
            raise MalformedFile(
                f"{path}: line {number}: found {line[:80]!r}; expected 8 columns, {COLUMNS}; remove its "
                "directory and run again"
            ) from None
        rows[name] = row
    return rows


def _line(row: AmpSky) -> str:
    numbers = (row.background, row.rms, row.shift, 1000 * row.stretch)
    four = " ".join(f"{min(max(number, -_WIDEST / 10), _WIDEST):7.2f}" for number in numbers)
    return f"{row.name:14s} {row.factor:6.3f} {row.n_continuum:3d} {four} {row.n_low:4d}"
