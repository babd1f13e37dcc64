"""The step full_sky: one sky for all amplifiers of an exposure, and how it is in each.

Makes a directory with

- ``full_sky.fits``: a table SKY, wavelength (Å) and counts (electrons in 2 Å of a mean fiber of the field), both f8;
- ``amp.dat``: how it is in each amplifier, see `skyharvest.reduction.hetdex.spectra.amp_dat`;
- ``exclude.reg``: fibers with sources, which were left out, as circles for ds9, in arcsec from the middle of their IFU.

An exposure without any sky has an empty table, with the reason as FAILED of its header.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import fitsio
import numpy as np

from skyharvest import __version__
from skyharvest.core.arrays import Bools, Floats
from skyharvest.core.errors import InputError
from skyharvest.core.whole_directory import whole_directory
from skyharvest.reduction.hetdex import biweight
from skyharvest.reduction.hetdex.settings import Sky
from skyharvest.reduction.hetdex.spectra import amp_dat, amps_csv, multifits
from skyharvest.reduction.hetdex.spectra.amp_dat import AmpSky
from skyharvest.reduction.hetdex.spectra.field_sky import FINE, FieldSky, combine
from skyharvest.reduction.hetdex.spectra.local_sky import fit_sky
from skyharvest.reduction.hetdex.spectra.reduced_amp import BIN
from skyharvest.reduction.hetdex.spectra.sky_spline import Spline
from skyharvest.reduction.hetdex.virus import FIBER_RADIUS

log = logging.getLogger(__name__)

SKY_FILE, AMP_FILE, REGION_FILE = "full_sky.fits", "amp.dat", "exclude.reg"


@dataclass(frozen=True)
class _Amp:
    """An amplifier: its multifits, what it says of the sky, and which of its fibers do not."""

    path: Path
    name: str
    spline: Spline
    source: Bools
    low: Bools


def fit_full_sky(directories: Sequence[Path], out: Path, settings: Sky) -> None:
    """Model the sky of an exposure; the directory appears whole.

    Parameters
    ----------
    directories
        Of the multifits of all pairings.
    out
        The directory.
    settings
        Of the sky.
    """
    amps: list[_Amp] = []
    for path in multifits_of(directories):
        counts, error, wave = read_counts(path)
        try:
            found = fit_sky(counts, error, wave, settings)
        except InputError as failure:
            log.warning("%s: %s", path.name, failure)
            continue
        amps.append(_Amp(path, path.stem.removeprefix("multi_"), found.spline, found.source, found.low))
    with whole_directory(out) as directory:
        try:
            sky = combine([amp.spline for amp in amps], settings.most_factor)
        except InputError as failure:
            log.warning("%s: %s", out, failure)
            _write_sky(directory / SKY_FILE, None, str(failure))
            amp_dat.write(directory / AMP_FILE, ())
            _write_regions(directory / REGION_FILE, ())
            return
        _write_sky(directory / SKY_FILE, sky)
        amp_dat.write(directory / AMP_FILE, [_row(sky, k, amp) for k, amp in enumerate(amps)])
        _write_regions(directory / REGION_FILE, amps)
    log.info("%s: the sky of %d amplifiers", out, len(amps))


def multifits_of(directories: Iterable[Path]) -> list[Path]:
    """Return the multifits of those amplifiers that have been done, in the order of directories and amplifiers."""
    return [
        directory / multifits.name_of(directory.name, amp)
        for directory in directories
        for amp, state in amps_csv.read(directory).items()
        if state.done
    ]


def read_counts(path: Path) -> tuple[Floats, Floats, Floats]:
    """Return normalised counts with the sky, their errors, and wavelengths, of a multifits: (112, 1032) f8 each."""
    spectrum, throughput, wave, error = (
        array.astype(np.float64)
        for array in multifits.read(path, "spectrum", "fiber_to_fiber", "wavelength", "error1d")
    )
    return spectrum / (throughput * np.gradient(wave, axis=1) / BIN), error, wave


def _row(sky: FieldSky, k: int, amp: _Amp) -> AmpSky:
    counts, _, wave = read_counts(amp.path)
    left = counts - sky.in_amp(k, wave)
    background, rms = biweight.location_scale(left[~amp.source & ~amp.low], None)
    return AmpSky(
        name=amp.name,
        factor=float(sky.factor[k]),
        n_continuum=int(amp.source.sum()),
        background=float(background),
        rms=float(rms),
        shift=float(sky.shift[k]),
        stretch=float(sky.stretch[k]),
        n_low=int(amp.low.sum()),
    )


def _write_sky(path: Path, sky: FieldSky | None, failed: str = "") -> None:
    known = np.isfinite(sky.counts) if sky else np.zeros(0, bool)
    table = np.zeros(int(known.sum()), [("wavelength", "f8"), ("counts", "f8")])
    header = {"CREATOR": f"skyharvest {__version__}", "TUNIT1": "Angstrom", "TUNIT2": "electron"}
    if sky:
        table["wavelength"], table["counts"] = FINE[known], sky.counts[known]
    else:
        header["FAILED"] = failed
    with fitsio.FITS(str(path), "rw", clobber=True) as out:
        out.write(table, extname="SKY", header=header)


def _write_regions(path: Path, amps: Iterable[_Amp]) -> None:
    lines = ["# Region file format: DS9 version 4.1", "global color=red", "linear"]
    for amp in amps:
        (places,) = multifits.read(amp.path, "ifupos")
        for fiber in np.flatnonzero(amp.source):
            name, (x, y) = f"{amp.name}_{fiber + 1:03d}", places[fiber]
            known = np.isfinite(x) and np.isfinite(y)
            circle = f"circle({x:.3f},{y:.3f},{FIBER_RADIUS})"
            lines.append(f"{circle} # text={{{name}}}" if known else f"# {name}: its place is not known")
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
