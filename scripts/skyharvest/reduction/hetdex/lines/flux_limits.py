"""Flux limits: what flux of a line is seen with a signal to noise, by place and wavelength; ``flux_limits.h5``.

``sigmas`` (n_wave, n_y, n_x) f4: the 1 σ noise of a line's flux, 1e-17 erg/s/cm²; NaN where nothing is known.
``coverage`` (n_y, n_x) f4: share of a source's light that fibers have, by that far from an edge.
``wavelengths`` (n_wave,), Å; ``noise_ratio`` (n_wave,), by which the noise of fibers' errors was multiplied, as the
search's own scatter has it; ``x`` (n_x,) and ``y`` (n_y,), arcsec on the focal plane of the first exposure; ``ra`` and
``dec`` (n_y, n_x), degrees: f8.

Attributes: shot, ifu, ifuslot; linewidth (σ, Å, of the line); nsigma (1); sn (of limits, where no other is asked for);
least_coverage; pointing (RA, Dec and position angle of the plane, degrees); units; failed (why there is nothing but
this, or no text).

HETDEX's sensitivity cubes (``hetdex_api.flux_limits``) hold the same ``sigmas`` with ``nsigma`` and ``wavelengths``, in
erg/s/cm² with 31 × 31 places 2″ apart, every 2 Å, and 999 for what is not known. What their ``get_f50`` adds, a
simulated ratio of the flux found in half of all cases to the noise, is measured here by lines that are put in
(`completeness`).
"""

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import h5py
import numpy as np
from scipy.interpolate import RegularGridInterpolator

from skyharvest.core.arrays import Array, Floats
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.pytables import open_new, write_array
from skyharvest.reduction.hetdex.layout import Pairing
from skyharvest.reduction.hetdex.lines.line_noise import noise_on_grid
from skyharvest.reduction.hetdex.source_settings import Detections
from skyharvest.reduction.hetdex.sources.ifu_fibers import IfuFibers
from skyharvest.reduction.hetdex.stars.tangent import Pointing
from skyharvest.reduction.hetdex.virus import GRID

log = logging.getLogger(__name__)

FILE = "flux_limits.h5"
WAVE_STEP = 10.0
"""Å between the wavelengths of limits."""
UNIT = 1e-17
"""erg/s/cm²: of fluxes."""
INDEX_WAVE = 4600.0
"""Å: of the limit in a release's index."""
UNITS = "sigmas: 1e-17 erg/s/cm2; wavelengths, linewidth: A; x, y: arcsec; ra, dec, pointing: degrees"
DIMENSIONS = {"wavelengths": 1, "noise_ratio": 1, "x": 1, "y": 1, "sigmas": 3, "coverage": 2}
"""Of the arrays that are read back."""


@dataclass(frozen=True)
class FluxLimits:
    """Flux limits of an IFU in a shot, as `read` returns them: attributes are those of the file.

    Examples
    --------
    >>> limits = FluxLimits.read(Path("detections/20190103v017/317_015_038_0211/flux_limits.h5"))
    >>> limits.limit(ra, dec, 4700.0)  # 1e-17 erg/s/cm², at the file's signal to noise and width of lines
    >>> limits.limit(ra, dec, 4700.0, linewidth=4.0, sn=6.5)
    """

    shot: str
    ifu: Pairing
    failed: str
    linewidth: float
    sn: float
    least_coverage: float
    pointing: Pointing
    wavelengths: Floats
    noise_ratio: Floats
    x: Floats
    y: Floats
    sigmas: Floats
    coverage: Floats

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file.

        Raises
        ------
        MalformedFile
            If it is none.
        """
        try:
            with h5py.File(path, "r") as file:
                said = file.attrs
                arrays = {name: file[name][:] if name in file else np.zeros((0,) * n) for name, n in DIMENSIONS.items()}
                return cls(
                    shot=str(said["shot"]),
                    ifu=Pairing.named(str(said["ifu"]), path),
                    failed=str(said["failed"]),
                    linewidth=float(said["linewidth"]),
                    sn=float(said["sn"]),
                    least_coverage=float(said["least_coverage"]),
                    pointing=Pointing(*map(float, said["pointing"])),
                    **arrays,
                )
        except (OSError, KeyError) as error:
            raise MalformedFile(f"{path}: found no flux limits ({error}); remove its directory and run again") from None

    def limit(
        self, ra: Array, dec: Array, wave: Array, *, linewidth: float | Array | None = None, sn: float | None = None
    ) -> Floats:
        """Return the flux of a line that has a signal to noise.

        Parameters
        ----------
        ra, dec
            Degrees: numbers, or of shapes that broadcast with ``wave``.
        wave
            Å.
        linewidth
            σ of the line, Å; None: that of the file, about which noise is known to go with the root of the width.
        sn
            Signal to noise; None: that of the file.

        Returns
        -------
        f8 of the shape that all broadcast to, 1e-17 erg/s/cm²; NaN off the IFU, beyond the wavelengths, and where too
        little of a source's light would be in fibers.
        """
        if self.failed:  # its pointing may not be known
            return np.full(np.broadcast_shapes(*map(np.shape, (ra, dec, wave))), np.nan)
        x, y = self.pointing.to_plane(np.atleast_1d(np.asarray(ra, float)), np.atleast_1d(np.asarray(dec, float)))
        return self.limit_on_plane(x.reshape(np.shape(ra)), y.reshape(np.shape(dec)), wave, linewidth=linewidth, sn=sn)

    def limit_on_plane(
        self, x: Array, y: Array, wave: Array, *, linewidth: float | Array | None = None, sn: float | None = None
    ) -> Floats:
        """Return the same for x and y, arcsec on the focal plane of the shot's first exposure."""
        wide = np.asarray(self.linewidth if linewidth is None else linewidth, float)
        x, y, wave, wide = np.broadcast_arrays(
            np.asarray(x, float), np.asarray(y, float), np.asarray(wave, float), wide
        )
        if self.failed:
            return np.full(x.shape, np.nan)
        covered = self._coverage(np.stack([y, x], -1)).reshape(x.shape)
        sensitivity = self._sensitivity(np.stack([wave, y, x], -1)).reshape(x.shape)
        seen = (covered >= self.least_coverage) & (sensitivity > 0)
        scale = (self.sn if sn is None else sn) * np.sqrt(wide / self.linewidth)
        return np.asarray(np.where(seen, scale / np.where(seen, sensitivity, 1), np.nan))

    @cached_property
    def _sensitivity(self) -> RegularGridInterpolator:
        """1 / σ: it goes to 0 where nothing is known, without a step."""
        inverse = np.nan_to_num(1 / self.sigmas)
        return RegularGridInterpolator((self.wavelengths, self.y, self.x), inverse, bounds_error=False, fill_value=0)

    @cached_property
    def _coverage(self) -> RegularGridInterpolator:
        return RegularGridInterpolator((self.y, self.x), self.coverage, bounds_error=False, fill_value=0)

    def typical(self, wave: Array, sn: float | None = None) -> Floats:
        """Return the median of the limits of an IFU's places at wavelengths, as `limit`; of one that failed, NaN.

        Parameters
        ----------
        wave
            (n,) Å.
        sn
            Signal to noise; None: that of the file.

        Returns
        -------
        (n,) f8, 1e-17 erg/s/cm².
        """
        if self.failed:
            return np.full(len(wave), np.nan)
        y, x = (values[self.coverage >= self.least_coverage] for values in np.meshgrid(self.y, self.x, indexing="ij"))
        limits = self.limit_on_plane(x[:, None], y[:, None], np.asarray(wave)[None], sn=sn)
        known = np.isfinite(limits).any(0)
        made = np.full(len(wave), np.nan)
        made[known] = np.nanmedian(limits[:, known], axis=0)
        return made


def measure_flux_limits(fibers: IfuFibers, how: Detections, noise_ratio: Floats) -> FluxLimits:
    """Return the flux limits of an IFU; of one without fibers, limits that failed.

    Parameters
    ----------
    fibers
        Of the IFU.
    how
        Aperture and width of the line as in the search, step, signal to noise and least coverage.
    noise_ratio
        (1036,) f8: scatter of the search's signal to noise; the true noise is so many times the model's.
    """
    wave = np.arange(how.first_wave, how.last_wave + WAVE_STEP / 2, WAVE_STEP)
    ratio = np.interp(wave, GRID, noise_ratio)
    x, y = (_axis(values, how.limit_step) for values in (fibers.x, fibers.y))
    all_x, all_y = (values.ravel() for values in np.meshgrid(x, y))
    noise, coverage = noise_on_grid(fibers, how.aperture, all_x, all_y, wave, how.filter_width)
    shape = (len(y), len(x))
    return FluxLimits(
        shot=fibers.shot,
        ifu=fibers.ifu,
        failed="" if len(fibers) else "no amplifier has fibers",
        linewidth=how.filter_width,
        sn=how.limit_sn,
        least_coverage=how.least_coverage,
        pointing=fibers.pointing,
        wavelengths=wave,
        noise_ratio=ratio,
        x=x,
        y=y,
        sigmas=(ratio * noise).T.reshape(len(wave), *shape).astype(np.float32),
        coverage=coverage.reshape(shape).astype(np.float32),
    )


def no_flux_limits(shot: str, ifu: Pairing, how: Detections, failed: str) -> FluxLimits:
    """Return what there is of an IFU without fibers, and why."""
    return FluxLimits(
        shot=shot,
        ifu=ifu,
        failed=failed,
        linewidth=how.filter_width,
        sn=how.limit_sn,
        least_coverage=how.least_coverage,
        pointing=Pointing(np.nan, np.nan, np.nan),
        **{name: np.zeros((0,) * n) for name, n in DIMENSIONS.items()},
    )


def write_flux_limits(path: Path, made: FluxLimits) -> None:
    """Write the flux limits of an IFU."""
    arrays = {}
    if not made.failed:
        y, x = np.meshgrid(made.y, made.x, indexing="ij")
        ra, dec = made.pointing.to_sky(x.ravel(), y.ravel())
        arrays = {name: getattr(made, name) for name in DIMENSIONS}
        arrays |= {"ra": ra.reshape(x.shape), "dec": dec.reshape(x.shape)}
    attributes = {
        "shot": made.shot,
        "ifu": str(made.ifu),
        "ifuslot": made.ifu.ifuslot,
        **{name: getattr(made, name) for name in ("failed", "linewidth", "sn", "least_coverage")},
        "nsigma": 1.0,
        "pointing": [made.pointing.ra, made.pointing.dec, made.pointing.pa],
        "units": UNITS,
    }
    with atomic_path(path) as temporary, open_new(temporary, "flux limits of emission lines") as file:
        for name, values in arrays.items():
            write_array(file, name, values)
        file.attrs.update(attributes)


def _axis(places: Floats, step: float) -> Floats:
    """Return points a step apart that go a step beyond all places; none if there are none."""
    if not len(places):
        return np.zeros(0)
    low, high = float(places.min()) - step, float(places.max()) + step
    n = int(np.ceil((high - low) / step))
    return np.asarray((low + high) / 2 + step * (np.arange(n + 1) - n / 2))


def limit_at_4600(path: Path, *, sn: float | None = None) -> float:
    """Return the typical limit of an IFU at 4600 Å, ``fluxlimit_4600`` of a release's index.

    Parameters
    ----------
    path
        `FILE` of the IFU.
    sn
        Signal to noise, None for the file's own.

    Returns
    -------
    float
        erg/s/cm²; NaN if there is no file, it has no limit, or it is damaged, which is told.
    """
    if not path.is_file():
        return np.nan
    try:
        return UNIT * float(FluxLimits.read(path).typical(np.array([INDEX_WAVE]), sn=sn)[0])
    except MalformedFile as error:
        log.warning("%s", error)
        return np.nan
