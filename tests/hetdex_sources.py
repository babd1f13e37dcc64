"""Calibrated fibers of an IFU with sources that are known, for tests and benchmarks: made without the code they test.

What a fiber has of a source is summed over points of its face; how images move and widen with wavelength is typed in.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from skyharvest.reduction.hetdex.layout import Pairing
from skyharvest.reduction.hetdex.sources.ifu_fibers import Exposure, IfuFibers
from skyharvest.reduction.hetdex.stars.tangent import Pointing

GRID = 3470.0 + 2.0 * np.arange(1036)
MOVED = PchipInterpolator([3500, 4000, 4500, 5000, 5500], [-0.74, -0.40, 0.0, 0.08, 0.20])
DITHERS = {1: (0.0, 0.0), 2: (1.215, -0.70), 3: (1.215, 0.70)}
BETA, RADIUS, APART = 3.9, 0.75, 2.54
MIDDLE = (-150.0, 80.0)
"""Arcsec: the middle of the IFU on the focal plane."""
PER_COUNT = 0.02 * np.interp(GRID, [3470, 4000, 4500, 5540], [6.0, 1.6, 1.0, 0.9])
"""1e-17 erg/s/cm² in 2 Å, of one count."""
AMPS = ("LL", "LU", "RL", "RU")
N_DISC = 60
_turn = np.arange(N_DISC) * np.pi * (3 - np.sqrt(5))  # points of a sunflower, which cover a disc evenly
_out = RADIUS * np.sqrt((np.arange(N_DISC) + 0.5) / N_DISC)
DISC = np.column_stack([_out * np.cos(_turn), _out * np.sin(_turn)])


@dataclass(frozen=True)
class Line:
    """An emission line: arcsec from the middle of the IFU; Å; 1e-17 erg/s/cm²; σ, Å."""

    x: float
    y: float
    wave: float
    flux: float
    width: float = 2.7

    def spectrum(self) -> np.ndarray:
        """1e-17 erg/s/cm² in each bin of 2 Å."""
        shape = np.exp(-0.5 * ((GRID - self.wave) / self.width) ** 2)
        return self.flux * 2.0 * shape / (np.sqrt(2 * np.pi) * self.width)


@dataclass(frozen=True)
class Star:
    """A continuum source: arcsec from the middle; 1e-17 erg/s/cm²/Å at 4500 Å; depth of its absorption lines."""

    x: float
    y: float
    level: float
    depth: float = 0.0

    def spectrum(self) -> np.ndarray:
        """1e-17 erg/s/cm² in each bin of 2 Å: a slope, and a star's lines (calcium, hydrogen, G band, magnesium)."""
        made = 2.0 * self.level * (GRID / 4500.0) ** -1.0
        for wave, width in ((3933, 8), (3968, 8), (4101, 7), (4304, 10), (4340, 7), (4861, 7), (5175, 12)):
            made *= 1 - self.depth * np.exp(-0.5 * ((GRID - wave) / width) ** 2)
        return made


def share(x: np.ndarray, y: np.ndarray, source: Line | Star, fwhm: float) -> np.ndarray:
    """Return the share of a source's light in fibers at x, y from the middle of the IFU: (n, 1036)."""
    knots = np.arange(3470.0, 5541.0, 30.0)
    at_knots = np.empty((len(x), knots.size))
    for k, wave in enumerate(knots):
        width = fwhm * (wave / 4500.0) ** -0.2
        alpha2 = width**2 / (4 * (2 ** (1 / BETA) - 1))
        dx = x[:, None] + DISC[:, 0] - source.x - MOVED(wave)
        dy = y[:, None] + DISC[:, 1] - source.y
        bright = (BETA - 1) / (np.pi * alpha2) * (1 + (dx**2 + dy**2) / alpha2) ** -BETA
        at_knots[:, k] = np.pi * RADIUS**2 * bright.mean(1)
    return np.array([np.interp(GRID, knots, row) for row in at_knots])


def ifu_fibers(
    sources: Sequence[Line | Star] = (),
    *,
    rows: int = 23,
    columns: int = 20,
    exposures: Sequence[int] = (1, 2, 3),
    fwhm: Sequence[float] = (1.7, 1.9, 1.8),
    error: float = 0.3,
    correlated: bool = False,
    seed: int | None = 1,
    missing: Sequence[tuple[int, str]] = (),
    shot: str = "20190103v017",
) -> IfuFibers:
    """Return fibers of an IFU.

    Parameters
    ----------
    sources
        What is on the sky.
    rows, columns
        Of fibers.
    fwhm
        Of the first, second … exposure.
    error
        Of a fiber's bin at 4500 Å, 1e-17 erg/s/cm²; larger in the blue.
    correlated
        Whether the noise of neighbouring bins is correlated, as that of rebinned spectra; variances of sums stay.
    seed
        Of the noise; None: there is none.
    missing
        Exposure, amplifier: which have no rows.
    """
    random = np.random.default_rng(seed)
    ifu = Pairing("020", "106", "055", "0123")
    pointing = Pointing(209.0, 51.3, 292.6)
    j, i = (one.ravel() for one in np.mgrid[:rows, :columns])
    ifux = (i - (columns - 1) / 2 + 0.25 * (-1.0) ** j) * APART
    ifuy = (j - (rows - 1) / 2) * APART * np.sqrt(3) / 2
    n = len(ifux)
    quarter = np.minimum(4 * np.arange(n) // n, 3)
    fibidx = np.arange(n) - np.searchsorted(quarter, quarter)
    counts_error = error / PER_COUNT[515]
    made: dict[str, list[np.ndarray]] = {}
    for expnum in exposures:
        dither = DITHERS[(expnum - 1) % 3 + 1]
        kept = np.array([(expnum, AMPS[q]) not in missing for q in quarter])
        x, y = ifux[kept] + dither[0], ifuy[kept] + dither[1]
        sigma = np.tile(counts_error * PER_COUNT, (len(x), 1))
        flux = np.zeros_like(sigma)
        for source in sources:
            flux += share(x, y, source, fwhm[expnum - 1]) * source.spectrum()
        if seed is not None:
            white = random.standard_normal((len(x), GRID.size + 2))
            part = (4 - np.sqrt(8)) / 12  # variances of sums stay; bins scatter 0.82 of their error
            smooth = part * white[:, :-2] + (1 - 2 * part) * white[:, 1:-1] + part * white[:, 2:]
            flux += sigma * (smooth if correlated else white[:, 1:-1])
        names = np.array([f"multi_{ifu.specid}_{ifu.ifuslot}_{ifu.ifuid}_{AMPS[q]}" for q in quarter])[kept]
        index = fibidx[kept]
        columns_of = {
            "multiframe": names,
            "fiber_id": np.array(
                [f"{shot.replace('v', '')}_{expnum}_{a}_{k + 1:03d}" for a, k in zip(names, index, strict=True)]
            ),
            "amp": np.array([AMPS[q] for q in quarter])[kept],
            "expnum": np.full(len(x), expnum, np.int32),
            "fibidx": index.astype(np.int32),
            "fibnum": (index + 1).astype(np.int32),
            "ifux": ifux[kept],
            "ifuy": ifuy[kept],
            "x": x + MIDDLE[0],
            "y": y + MIDDLE[1],
            "fwhm": np.full(len(x), fwhm[expnum - 1]),
            "flux": flux.astype(np.float32),
            "error": sigma.astype(np.float32),
            "calfib_counts": (flux / PER_COUNT).astype(np.float32),
            "calfibe_counts": (sigma / PER_COUNT).astype(np.float32),
            "calfib_ffsky": flux.astype(np.float32),
            "wavelength": np.tile(3480 + 1.995 * np.arange(1032, dtype=np.float32), (len(x), 1)),
            "trace": np.tile(np.float32(20 + 9 * index)[:, None], (1, 1032)),
            "chi2": np.ones((len(x), 1032), np.float32),
        }
        for name, values in columns_of.items():
            made.setdefault(name, []).append(values)
    stacked = {name: np.concatenate(values) for name, values in made.items()}
    more = ("calfib_counts", "calfibe_counts", "calfib_ffsky", "wavelength", "trace", "chi2")
    ra, dec = pointing.to_sky(stacked["x"], stacked["y"])
    return IfuFibers(
        shot=shot,
        ifu=ifu,
        pointing=pointing,
        exposures={e: Exposure(e, fwhm[e - 1], 1.0, f"20190103T0545{e:02d}.4") for e in exposures},
        failed_amps=dict.fromkeys(missing, "planted"),
        ra=ra,
        dec=dec,
        more={name: stacked.pop(name) for name in more},
        **stacked,  # type: ignore[arg-type]
    )
