"""Step: what each star of a shot sends, as a spectrum above the atmosphere.

A star's own spectrum, if the user has one, or templates that are fitted to its magnitudes (`stellar_templates`). In the
directory ``seds``, ``{star_id}.txt`` and ``…_{star_id}.txt`` (HETDEX's own are called so; of several that of the shot)
are spectra of stars in erg/s/cm²/Å; ``star_….txt`` are templates in any unit, which take the place of those that this
package has. All have wavelength (Å) and flux in their first two columns.

The product, ``seds/{shot}.h5``: datasets ``wavelength`` (1036,), ``flux`` and ``error`` (n_star, 1036) in erg/s/cm²/Å,
NaN where there is no spectrum; table ``stars``: star_id, source, template, chi2, reason. Attributes: shot, ebv, failed.
"""

import glob
import logging
from pathlib import Path

import h5py
import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats.pytables import open_new, write_array, write_table
from skyharvest.reduction.hetdex.settings import Seds
from skyharvest.reduction.hetdex.stars.star_catalogue import BANDS
from skyharvest.reduction.hetdex.stars.star_spectra import StarSpectra, read_stars
from skyharvest.reduction.hetdex.stars.stellar_templates import (
    Library,
    TemplateFit,
    can_be_fitted,
    interpolated,
    read_directory,
    read_text,
    shipped,
)
from skyharvest.reduction.hetdex.virus import GRID

log = logging.getLogger(__name__)

STARS = np.dtype([("star_id", "S32"), ("source", "S9"), ("template", "S32"), ("chi2", "<f8"), ("reason", "S120")])


def fit_seds(stars: Path, directory: Path | None, out: Path, settings: Seds) -> None:
    """Write the spectra of a shot's stars.

    Parameters
    ----------
    stars
        ``stars/{shot}.h5``.
    directory
        Spectra and templates of the user; None: there are none.
    out
        ``seds/{shot}.h5``. It tells why, if the stars could not be measured.

    Raises
    ------
    InputError
        If the directory is not there.
    """
    if directory is not None and not directory.is_dir():
        raise InputError(f"{directory}: found no such directory; expected spectra of stars; see seds")
    measured = read_stars(stars)
    flux, error, rows = spectra_of(measured, directory, settings)
    with atomic_path(out) as temporary, open_new(temporary, f"Spectra of the stars of {measured.shot}") as file:
        file.attrs.update(shot=measured.shot, ebv=settings.ebv, failed=measured.failed)
        write_array(file, "wavelength", GRID)
        write_array(file, "flux", flux)
        write_array(file, "error", error)
        write_table(file, "stars", rows, "Where the spectra are from")
    known = int(np.isfinite(flux).any(axis=1).sum())
    log.info("%s: %d spectra of %d stars", out, known, len(rows))


def spectra_of(stars: StarSpectra, directory: Path | None, settings: Seds) -> tuple[Floats, Floats, Array]:
    """Return flux and error, (n_star, 1036) f8 in erg/s/cm²/Å, and a row of `STARS` for each star."""
    magnitudes = stars.magnitudes + np.array(settings.ab_offsets)
    errors = np.full(magnitudes.shape, settings.errors)
    fits = TemplateFit(_library(directory), ebv=settings.ebv, mismatch=settings.mismatch).fit(magnitudes, errors, GRID)
    rows = np.zeros(len(stars.ids), STARS)
    rows["star_id"], rows["chi2"] = np.char.encode(stars.ids, "ascii", "replace"), np.nan
    flux, error = fits.flux, fits.error
    enough = can_be_fitted(magnitudes)
    for k, star in enumerate(stars.ids):
        own = _own_file(directory, stars.shot, str(star))
        if own is not None:
            rows[k]["source"], rows[k]["template"] = b"file", own.name.encode()
            flux[k], error[k], rows[k]["reason"] = _from_file(own)
            continue
        rows[k]["source"], rows[k]["template"], rows[k]["chi2"] = b"templates", fits.name[k].encode(), fits.chi2[k]
        if not enough[k]:
            rows[k]["reason"] = f"its magnitudes are {_told(magnitudes[k])}: g and another are needed".encode()
        elif fits.chi2[k] > settings.max_chi2:
            rows[k]["reason"] = f"no template is like it: chi2 {fits.chi2[k]:.1f} > {settings.max_chi2:g}".encode()
            flux[k] = error[k] = np.nan
    return flux, error, rows


def _library(directory: Path | None) -> Library:
    given = sorted(directory.glob("star_*.txt")) if directory else []
    return interpolated(read_directory(given)) if given else shipped()


def _own_file(directory: Path | None, shot: str, star: str) -> Path | None:
    if directory is None or not star or "/" in star:
        return None
    named = [directory / f"{star}.txt", directory / f"{shot}_{star}.txt"]
    own = [path for path in named if path.is_file()] or sorted(directory.glob(f"*_{glob.escape(star)}.txt"))
    return next((path for path in own if not path.name.startswith("star_")), None)


def _from_file(path: Path) -> tuple[Floats, Floats, bytes]:
    """Return flux and error at the grid, and why there is none."""
    nothing = np.full(GRID.size, np.nan)
    try:
        wave, flux = read_text(path)
    except MalformedFile as error:
        return nothing, nothing, str(error).encode("ascii", "replace")[-STARS["reason"].itemsize :]
    return np.interp(GRID, wave, flux, left=np.nan, right=np.nan), nothing, b""


def _told(magnitudes: Floats) -> str:
    known = [f"{band} {value:.2f}" for band, value in zip(BANDS, magnitudes, strict=True) if np.isfinite(value)]
    return ", ".join(known) or "missing"


def read_seds(path: Path) -> tuple[Array, Floats, Array, str]:
    """Return ids (n,) text, flux (n, 1036), reasons (n,) text, and why there is nothing at all (or no text)."""
    try:
        with h5py.File(path, "r") as file:
            rows, flux = file["stars"][:], file["flux"][:]
            failed = str(file.attrs["failed"])
    except (OSError, KeyError) as error:
        raise MalformedFile(f"{path}: found no spectra of stars ({error}); remove it and run again") from None
    return np.char.decode(rows["star_id"], "ascii"), flux, np.char.decode(rows["reason"], "ascii"), failed
