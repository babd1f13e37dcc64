"""Spectra of stars from their magnitudes: templates of all spectral types, fitted to ugriz.

The templates are the solar-abundance dwarfs, subgiants and giants of the Stellar Spectral Flux Library (Pickles 1998,
PASP 110, 863), every 5 Å, with neighbours of a sequence interpolated in log flux. What of a star's magnitudes no
template has (its metals, above all) is a smooth correction between the bands.

Accuracy, 3500–5500 Å: dwarfs and subgiants A5–K3 that are left out of the library and fitted by the rest, with
magnitudes good to 0.02 (u: 0.03), come out with a shape (bins of 40 Å) right to 2.6 % rms and a level right to 1.3 %
(medians; nine of ten: 4.5 % and 3.5 %). Without u the Balmer jump may be wrong by 10 %. Theoretical spectra of F and G
stars of other metals and gravities (redrock's templates): 8 % and 1 %, most of it at the Balmer jump; with a library of
one's own that is less. A blackbody of the right g - r is wrong by 17 %. Wavelengths of the library are those of the
ground (air); at its resolution, 500, that is not seen.
"""

import functools
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import fitsio
import numpy as np
import speclite.filters
from desiutil.dust import ext_fitzpatrick
from scipy.interpolate import PchipInterpolator

from skyharvest.core.arrays import Array, Bools, Floats
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.reduction.hetdex.stars.star_catalogue import BANDS
from skyharvest.reduction.hetdex.virus import LIGHT

LIBRARY = Path(__file__).with_name("assets") / "stellar_templates.fits.gz"
RARE = {"V": 0.0, "IV": 2.0, "III": 6.0}
"""Luminosity classes, and what is added to χ² of their templates: far from the Milky Way's plane, stars of magnitude 15
to 20 are dwarfs, and giants one in twenty or fewer."""
BETWEEN = 8
"""So many steps from a template to the next of its sequence."""
AB_ZERO = 3.631e-20  # erg/s/cm²/Hz
R_V = 3.1
MIDDLE = 5555.0  # Å: where templates are 1
SLACK = 20.0  # Å that a template may lack at its ends
_SPECTRAL_TYPE = re.compile(r"[OBAFGKM][0-9.]+(V|IV|III)")
CLIP = 1e-4  # of a template's flux at 5555 Å: hot stars of the library have pixels of 0 where nobody measured


@dataclass(frozen=True)
class Library:
    """Templates.

    Attributes
    ----------
    wave
        (n_wave,) f8: Å.
    log_flux
        (n, n_wave) f8: natural logarithm of F_λ, in any unit.
    names
        Of each: spectral types, and how far it is on the way from the one to the other.
    rare
        (n,) f8: what is added to χ², see `RARE`.
    """

    wave: Floats
    log_flux: Floats
    names: tuple[str, ...]
    rare: Floats


def read_library(path: Path = LIBRARY) -> Library:
    """Return the templates of a file: HDU 0 spectra (n, n_wave), HDU 1 a table with SPTYPE."""
    with fitsio.FITS(str(path)) as file:
        flux, header = file[0].read().astype("f8"), file[0].read_header()
        names = tuple(str(name).strip() for name in file[1]["SPTYPE"][:])
    wave = header["CRVAL1"] + header["CDELT1"] * np.arange(flux.shape[1])
    return Library(wave, np.log(np.maximum(flux, CLIP)), names, np.zeros(len(names)))


def read_directory(paths: Sequence[Path]) -> Library:
    """Return templates that a user gives: text files with wavelength (Å) and flux per Å, in any unit, in columns 1 and
    2.

    They come in the order of their colour g - i.

    Raises
    ------
    MalformedFile
        If a file is no such text, or does not cover ugriz.
    """
    wave = read_library().wave
    log_flux = []
    for path in paths:
        known, flux = read_text(path)
        if known[0] > wave[0] + SLACK or known[-1] < wave[-1] - SLACK:
            raise MalformedFile(
                f"{path}: found {known[0]:g}–{known[-1]:g} Å; expected a template to cover ugriz, "
                f"{wave[0]:g}–{wave[-1]:g} Å: complete or remove it"
            )
        values = np.interp(wave, known, flux)
        middle = values[np.argmin(np.abs(wave - MIDDLE))]
        if not middle > 0:
            raise MalformedFile(f"{path}: found the flux {middle:g} at {MIDDLE:g} Å; expected more than 0")
        log_flux.append(np.log(np.maximum(values / middle, CLIP)))
    magnitudes = Photometry(wave)(np.exp(np.array(log_flux)))
    order = np.argsort(magnitudes[:, 1] - magnitudes[:, 3])
    return Library(wave, np.array(log_flux)[order], tuple(paths[k].stem for k in order), np.zeros(len(paths)))


def read_text(path: Path) -> tuple[Floats, Floats]:
    """Return wavelength and flux of a text: its first two columns. Comments (#) and a row of names are passed over.

    Raises
    ------
    MalformedFile
        If a row has no two numbers, or wavelengths do not increase.
    """
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise MalformedFile(f"{path}: expected a text with wavelength and flux ({error})") from None
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        try:
            rows.append((float(words[0]), float(words[1])))
        except (ValueError, IndexError):
            if rows or number > 1:
                raise MalformedFile(f"{path}, line {number}: found {line!r}; expected wavelength and flux") from None
    wave, flux = np.array(rows, float).reshape(-1, 2).T
    if wave.size < 2 or not (np.diff(wave) > 0).all() or not np.isfinite(flux).all():
        raise MalformedFile(f"{path}: found {wave.size} rows; expected wavelengths that increase, and finite fluxes")
    return wave, flux


def luminosity_class(name: str) -> str:
    """Return the luminosity class of a spectral type: V of G2V."""
    found = _SPECTRAL_TYPE.fullmatch(name)
    assert found, f"found the spectral type {name}"
    return found[1]


def interpolated(library: Library, left_out: frozenset[str] = frozenset()) -> Library:
    """Return a library with `BETWEEN` - 1 spectra more between neighbours; of each luminosity class if it is the
    shipped one.

    Parameters
    ----------
    left_out
        Names of templates to do without.
    """
    spectra: list[Floats] = []
    names: list[str] = []
    rare: list[float] = []
    kept = [k for k, name in enumerate(library.names) if name not in left_out]
    if all(_SPECTRAL_TYPE.fullmatch(name) for name in library.names):
        sequences = {kind: [k for k in kept if luminosity_class(library.names[k]) == kind] for kind in RARE}
    else:
        sequences = {"": kept}
    for kind, members in sequences.items():
        for first, then in itertools.pairwise(members):
            for part in np.arange(BETWEEN) / BETWEEN:
                spectra.append((1 - part) * library.log_flux[first] + part * library.log_flux[then])
                names.append(f"{library.names[first]}+{part:.3f}({library.names[then]})")
        spectra.append(library.log_flux[members[-1]])
        names.append(library.names[members[-1]])
        rare += [RARE.get(kind, 0.0)] * (len(spectra) - len(rare))
    return Library(library.wave, np.array(spectra), tuple(names), np.array(rare))


class Photometry:
    """AB magnitudes in SDSS's ugriz (Doi et al. 2010, AJ 139, 1628; curves: speclite).

    Parameters
    ----------
    wave
        (n_wave,) f8: Å, of spectra; the grid has to hold all five bands.
    """

    def __init__(self, wave: Floats) -> None:
        curves = speclite.filters.load_filters(*(f"sdss2010-{band}" for band in BANDS))
        self.effective: Floats = curves.effective_wavelengths.value
        weights = np.array([curve(wave) for curve in curves]) * wave * np.gradient(wave)
        self._weights = weights / (weights @ (AB_ZERO * LIGHT / wave**2))[:, None]

    def __call__(self, flux: Floats) -> Floats:
        """Return magnitudes (…, 5) of spectra (…, n_wave) in erg/s/cm²/Å."""
        return np.asarray(-2.5 * np.log10(flux @ self._weights.T))


@dataclass(frozen=True)
class Fits:
    """Spectra that were fitted to magnitudes.

    Attributes
    ----------
    flux
        (n, n_wave) f8: erg/s/cm²/Å above the atmosphere, NaN where nothing was fitted.
    error
        (n, n_wave) f8: how much of the flux is not known, of templates that fit alike.
    chi2
        (n,) f8: of the best template, for each degree of freedom.
    name
        The best template of each.
    magnitudes
        (n, 5) f8: of the fitted spectra.
    """

    flux: Floats
    error: Floats
    chi2: Floats
    name: tuple[str, ...]
    magnitudes: Floats


class TemplateFit:
    """Fits templates to magnitudes.

    Parameters
    ----------
    library
        Templates, without extinction.
    ebv
        Reddening E(B - V) of the stars, as they are all behind the Galaxy's dust (Fitzpatrick 1999, R_V 3.1).
    mismatch
        By how many magnitudes a star's band differs from the best template's, usually.
    """

    def __init__(self, library: Library, *, ebv: float = 0.0, mismatch: float = 0.03) -> None:
        extinction = 0.4 * np.log(10) * ext_fitzpatrick(library.wave) * R_V * ebv
        self.library = library
        self._log_flux = library.log_flux - extinction
        self._photometry = Photometry(library.wave)
        self._magnitudes = self._photometry(np.exp(self._log_flux))
        self._mismatch = mismatch

    def fit(self, magnitudes: Floats, errors: Floats, wave: Floats) -> Fits:
        """Return spectra of stars.

        A star's spectrum is the mean of all templates, each with the probability that its χ² gives it, times a smooth
        function of wavelength that takes it to the star's own magnitudes as far as those are trusted more than
        templates.

        Parameters
        ----------
        magnitudes
            (n, 5) f8: AB, ugriz; NaN where there is none. At least two are needed, one of them g.
        errors
            (n, 5) f8: of them.
        wave
            (n_wave,) f8: Å, where fluxes are wanted.

        Returns
        -------
        Fits
            With NaN for stars that have too few magnitudes.

        Raises
        ------
        InputError
            If a wavelength is outside those of the templates.
        """
        if wave[0] < self.library.wave[0] or wave[-1] > self.library.wave[-1]:
            raise InputError(
                f"found wavelengths {wave[0]:g}–{wave[-1]:g} Å; expected some within the templates' "
                f"{self.library.wave[0]:g}–{self.library.wave[-1]:g} Å"
            )
        n = len(magnitudes)
        flux, error = np.full((2, n, wave.size), np.nan)
        chi2, fitted = np.full(n, np.nan), np.full((n, 5), np.nan)
        names = [""] * n
        for k in np.flatnonzero(can_be_fitted(magnitudes)):
            log_flux, spread, chi2[k], best = self._one(magnitudes[k], errors[k])
            names[k] = self.library.names[best]
            fitted[k] = self._photometry(np.exp(log_flux))
            flux[k] = np.exp(np.interp(wave, self.library.wave, log_flux))
            error[k] = flux[k] * np.interp(wave, self.library.wave, spread)
        return Fits(flux, error, chi2, tuple(names), fitted)

    def _one(self, magnitudes: Floats, errors: Floats) -> tuple[Floats, Floats, float, int]:
        """Return log flux and its spread at the library's wavelengths, χ² and the best template."""
        there = np.isfinite(magnitudes)
        variance = (errors**2 + self._mismatch**2)[there]
        off = (magnitudes - self._magnitudes)[:, there]
        level = (off / variance).sum(axis=1) / (1 / variance).sum()
        chi2 = ((off - level[:, None]) ** 2 / variance).sum(axis=1)
        score = chi2 + self.library.rare
        best = int(score.argmin())
        odds = np.exp(-0.5 * (score - score[best]))
        likely = odds > 1e-4
        odds = odds[likely] / odds[likely].sum()
        spectra = self._log_flux[likely] - 0.4 * np.log(10) * level[likely, None]
        log_flux = odds @ spectra
        spread = np.sqrt(odds @ (spectra - log_flux) ** 2)
        rest = magnitudes - self._photometry(np.exp(log_flux))
        rest *= self._mismatch**2 / (self._mismatch**2 + errors**2)
        correction = _between(self._photometry.effective[there], rest[there], self.library.wave)
        return log_flux - 0.4 * np.log(10) * correction, spread, float(chi2[best] / max(there.sum() - 2, 1)), best


def can_be_fitted(magnitudes: Floats) -> Bools:
    """Tell which stars have magnitudes enough, of (n, 5): g and one more."""
    there = np.isfinite(magnitudes)
    return np.asarray(there[:, BANDS.index("g")] & (there.sum(axis=1) >= 2))


def _between(nodes: Floats, values: Floats, wave: Floats) -> Array:
    """Return values at nodes, between them a monotonic cubic in log λ, and beyond them as they are at the last."""
    return np.asarray(PchipInterpolator(np.log(nodes), values)(np.log(np.clip(wave, nodes[0], nodes[-1]))))


@functools.cache
def shipped() -> Library:
    """Return the templates that this package has, with those between them."""
    return interpolated(read_library())
