"""Templates of the simulated spectra, for redrock and for desispec's fit of standard stars.

Of the same family as what is simulated: with them a night is reduced where no templates can be had, and its redshifts
tell whether the reduction is right. They are of no use for the sky.
"""

from collections.abc import Iterator
from pathlib import Path

import fitsio
import numpy as np

from skyharvest.core.arrays import Floats
from skyharvest.core.atomic import atomic_path
from skyharvest.simulate.desi_night.spectra import galaxy_parts, quasar_parts, star

VERSION = "skyharvest-simulated"
STEP = 1e-4
"""Of the logarithm of wavelength."""
STAR_TYPES = {
    "A": (8000.0, 9500.0),
    "F": (6300.0, 7200.0),
    "G": (5500.0, 6000.0),
    "K": (4300.0, 5000.0),
    "M": (3200.0, 3800.0),
}
"""Type → temperatures, K, whose spectra it is a sum of."""
STANDARDS = (6000.0, 6250.0, 6500.0, 6750.0, 7000.0, 7250.0, 7500.0)
METALS = (-1.5, -1.0, -0.5, 0.0)
SURFACE_GRAVITY = 4.0


def write_redrock(directory: Path) -> None:
    """Write a set of templates that redrock takes from ``RR_TEMPLATE_DIR``."""
    names = []
    for spectype, subtype, first, last, redshifts, basis in _sets():
        name = f"rrtemplate-{spectype}-{subtype or 'None'}-simulated.fits"
        header = {
            "CRVAL1": np.log10(first),
            "CDELT1": STEP,
            "LOGLAM": 1,
            "RRTYPE": spectype,
            "RRSUBTYP": subtype,
            "VERSION": VERSION,
            "RRMETHOD": "PCA",
            "RRIGM": "None",
        }
        assert basis.shape[1] == _n(first, last)
        with atomic_path(directory / name) as temporary, fitsio.FITS(str(temporary), "rw", clobber=True) as file:
            file.write(basis, extname="BASIS_VECTORS", header=header)
            file.write(redshifts, extname="REDSHIFTS")
        names.append(name)
    with atomic_path(directory / "templates-default.txt") as temporary:
        temporary.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def _n(first: float, last: float) -> int:
    return int(np.log10(last / first) / STEP) + 1


def _grid(first: float, last: float) -> Floats:
    return np.asarray(first * 10 ** (STEP * np.arange(_n(first, last))))


def _sets() -> Iterator[tuple[str, str, float, float, Floats, Floats]]:
    """Yield type and subtype, first and last Å, redshifts, and basis of each."""

    def log_spaced(z_min: float, z_max: float, step: float) -> Floats:
        return np.asarray(10 ** np.arange(np.log10(1 + z_min), np.log10(1 + z_max), step) - 1)

    first, last = 1500.0, 11000.0
    # As galaxies are drawn: their smoothing is in Å.
    rest = np.arange(first - 10, last + 10, 0.25)
    galaxies = {name: np.interp(_grid(first, last), rest, part) for name, part in galaxy_parts(rest).items()}
    yield "GALAXY", "", first, last, log_spaced(-0.005, 1.3, 3e-4), _stacked(galaxies)
    for subtype, limits, z in (("LOZ", (1200.0, 11000.0), (0.05, 1.6)), ("HIZ", (700.0, 4600.0), (1.4, 4.0))):
        yield "QSO", subtype, *limits, log_spaced(*z, 5e-4), _stacked(quasar_parts(_grid(*limits)))
    first, last = 3400.0, 10500.0
    for subtype, kelvins in STAR_TYPES.items():
        wave = _grid(first, last)
        basis = np.array([star(wave, kelvin) for kelvin in kelvins])
        yield "STAR", subtype, first, last, np.arange(-0.002, 0.00201, 4e-5), basis


def _stacked(parts: dict[str, Floats]) -> Floats:
    """Return parts as rows that are not zero everywhere."""
    return np.array([values for values in parts.values() if np.abs(values).max() > 1e-6])


def standard_wave() -> Floats:
    """Return the wavelengths of standard stars' templates, Å: filters' ends are within."""
    return np.arange(2900.0, 11200.0, 0.5)


def write_standards(path: Path) -> None:
    """Write templates of standard stars, as `desi_fit_stdstars` reads them."""
    wave = standard_wave()
    grid = [(kelvin, metals) for metals in METALS for kelvin in STANDARDS]
    flux = np.array([star(wave, kelvin, metals) for kelvin, metals in grid], np.float32)
    table = np.zeros(len(grid), [("LOGG", "f8"), ("TEFF", "f8"), ("FEH", "f8"), ("TEMPLATEID", "i8")])
    table["LOGG"], table["TEFF"], table["FEH"] = SURFACE_GRAVITY, *np.transpose(grid)
    table["TEMPLATEID"] = np.arange(len(grid))
    with atomic_path(path) as temporary, fitsio.FITS(str(temporary), "rw", clobber=True) as file:
        file.write(flux)
        file.write(table, extname="METADATA")
        file.write(wave, extname="WAVELENGTH")
