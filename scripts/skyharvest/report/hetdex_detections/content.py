"""All that a report of a detection shows, as arrays: nothing is drawn here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skyharvest.core.arrays import Floats, Ints
from skyharvest.reduction.hetdex.sources.cutouts import DetectorImages
from skyharvest.reduction.hetdex.sources.ifu_fibers import Exposure, IfuFibers
from skyharvest.reduction.hetdex.sources.line_image import LineImage, line_image
from skyharvest.reduction.hetdex.stars import refraction
from skyharvest.reduction.hetdex.virus import GRID, GRID_STEP
from skyharvest.report.hetdex_detections.detector_pieces import Pieces, cut_pieces
from skyharvest.report.hetdex_detections.legacy_images import SkyPicture
from skyharvest.report.hetdex_detections.line_fluxes import measure_lines
from skyharvest.report.hetdex_detections.neighbours import Neighbour, offsets
from skyharvest.report.hetdex_detections.redshift_guesses import Guess, ObservedLine, guess_redshifts
from skyharvest.report.hetdex_detections.shot_detections import Detection

STRONGEST_SN, STRONGEST_SIGMAS = 8.0, (3.0, 8.0)
"""Least signal to noise, and σ (Å) that are tried, of the line of a continuum source that redshifts are guessed by."""
BROAD = (4400.0, 5200.0)
"""Å: light of fibers about a continuum source."""


LEAST_WIDTH = 8.0
"""Å: its least equivalent width as observed; between absorption lines stars have some Å of what looks like one."""


@dataclass(frozen=True)
class FibersAround:
    """Fibers about a detection.

    Attributes
    ----------
    east, north
        (n,) f8: arcsec from the detection, where they look at its wavelength.
    expnum
        (n,) i4.
    light
        (n,) f8: mean of `BROAD`, 1e-17 erg/s/cm²/Å; NaN where it is not known.
    """

    east: Floats
    north: Floats
    expnum: Ints
    light: Floats


@dataclass(frozen=True)
class Content:
    """What a report shows.

    Attributes
    ----------
    detection
        Its rows.
    shot, ifu
        Names.
    exposures
        Of the shot, by number.
    flux, error
        (1036,) f8: its spectrum on `GRID`, 1e-17 erg/s/cm²/Å; NaN where nothing is known.
    sky
        (1036,) f8: the sky's spectrum, counts in 2 Å; NaN where it is not known.
    line
        The line that redshifts are guessed by; of a continuum source its strongest, or None.
    pieces
        Of the detector.
    image
        The line's picture; None of a continuum source.
    fibers
        About it.
    picture
        Of the sky; None where no cutout covers it, and `no_picture` says why.
    neighbours
        Of catalogues, nearest first.
    guesses
        The most likely first.
    same_source
        Rows of other detections of the source.
    """

    detection: Detection
    shot: str
    ifu: str
    exposures: Mapping[int, Exposure]
    flux: Floats
    error: Floats
    sky: Floats
    line: ObservedLine | None
    pieces: Pieces
    image: LineImage | None
    fibers: FibersAround
    picture: SkyPicture | None
    no_picture: str
    neighbours: Sequence[Neighbour]
    guesses: Sequence[Guess]
    same_source: Sequence[Any]

    @property
    def wave(self) -> float:
        """Å in air, where pieces and fibers are shown; of a continuum source in its middle."""
        return shown_wave(self.detection)


def shown_wave(detection: Detection) -> float:
    """Return the wavelength at which a detection is shown, Å in air."""
    wave = float(detection.row["wave"])
    known = np.isfinite(wave) and not detection.is_continuum
    return wave if known else refraction.REFERENCE_WAVELENGTH


def gather(
    detection: Detection,
    fibers: IfuFibers,
    images: DetectorImages,
    *,
    sky: Floats,
    picture: SkyPicture | None,
    no_picture: str,
    neighbours: Sequence[Neighbour],
    same_source: Sequence[Any],
) -> Content:
    """Return what the report of a detection shows.

    Parameters
    ----------
    fibers
        Of its IFU.
    images
        Of the shot's detectors.
    sky, picture, no_picture, neighbours, same_source
        As `Content` has them.
    """
    row, wave = detection.row, shown_wave(detection)
    flux, error = (detection.spectrum[name].astype(np.float64) / GRID_STEP for name in ("spec1d", "spec1d_err"))
    line = strongest_line(flux, error) if detection.is_continuum else _line_of(row)
    return Content(
        detection=detection,
        shot=fibers.shot,
        ifu=str(fibers.ifu),
        exposures=fibers.exposures,
        flux=flux,
        error=error,
        sky=sky,
        line=line,
        pieces=cut_pieces(images, detection.fibers, wave),
        image=None
        if detection.is_continuum
        else line_image(fibers, float(row["ra"]), float(row["dec"]), wave, float(row["linewidth"])),
        fibers=fibers_around(fibers, float(row["ra"]), float(row["dec"]), wave),
        picture=picture,
        no_picture=no_picture,
        neighbours=neighbours,
        guesses=guess_redshifts(line, GRID, flux, error) if line else [],
        same_source=same_source,
    )


def _line_of(row: Any) -> ObservedLine:
    names = ("wave", "flux", "flux_err", "linewidth", "continuum", "continuum_err")
    return ObservedLine(*(float(row[name]) for name in names))


def strongest_line(flux: Floats, error: Floats) -> ObservedLine | None:
    """Return the emission line of a spectrum with the highest signal to noise, if that and its width are enough.

    Parameters
    ----------
    flux, error
        (1036,) f8: on `GRID`, per Å.
    """
    tried = [measure_lines(GRID, flux, error, GRID, np.full(GRID.shape, sigma)) for sigma in STRONGEST_SIGMAS]
    sigma, lines = max(zip(STRONGEST_SIGMAS, tried, strict=True), key=lambda one: float(one[1].sn.max()))
    best = int(np.argmax(lines.sn))
    if lines.sn[best] < STRONGEST_SN or lines.flux[best] < LEAST_WIDTH * lines.continuum[best]:
        return None
    near = slice(max(best - 20, 0), best + 21)
    return ObservedLine(
        wave=float(GRID[best]),
        flux=float(lines.flux[best]),
        flux_error=float(lines.whole_error[best]),
        sigma=sigma,
        continuum=float(lines.continuum[best]),
        continuum_error=float(np.sqrt(np.nanmean(error[near] ** 2) / np.isfinite(error[near]).sum())),
    )


def fibers_around(fibers: IfuFibers, ra: float, dec: float, wave: float) -> FibersAround:
    """Return the fibers about a position at a wavelength."""
    at_ra, at_dec = fibers.pointing.to_sky(fibers.x - refraction.shift(np.array(wave)), fibers.y)
    east, north = offsets(np.array(ra), np.array(dec), at_ra, at_dec)
    first, last = BROAD
    band = fibers.flux[:, (first <= GRID) & (last >= GRID)]
    known = np.isfinite(band)
    light = np.where(known, band, 0).sum(1) / np.maximum(known.sum(1), 1) / GRID_STEP
    return FibersAround(east, north, fibers.expnum, np.where(known.mean(1) > 0.5, light, np.nan))
