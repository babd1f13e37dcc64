"""Data cubes of a simulated month, compared with its truth: light and places of stars that are alone."""

from collections.abc import Iterator

import fitsio
import numpy as np
from astropy.wcs import WCS
from scipy.signal import fftconvolve

from skyharvest.core.arrays import Array, Floats
from skyharvest.reduction.hetdex.layout import Layout, shotid_of
from skyharvest.simulate.hetdex_month.checks import Check, Worst, rms
from skyharvest.simulate.hetdex_month.field import Pointing
from skyharvest.simulate.hetdex_month.seeing import BETA, RADIUS
from skyharvest.simulate.hetdex_month.true_sources import TrueFibers
from skyharvest.simulate.hetdex_month.truth import Truth

FLUX, PLACE = 0.03, 0.3
"""Of stars: rms of the light in `APERTURE`, and how far the worst is from its place, ″."""
APERTURE, CORE = 3.5, 2.5
"""″: radii of circles in which light is added up, and in which its middle is found."""
SPAXEL, KERNEL = 0.5, 1.2
"""″: of cubes, and the FWHM of what fibers are spread with by default."""
ALONE, INSIDE = 8.0, 19.0
"""″: stars with another source nearer than that are not compared, nor those farther from the middle of an IFU."""
BRIGHT = 18.6
STEP = 0.1
"""″: of the picture of a star."""


def check_cubes(truth: Truth, layout: Layout, shot: str, fibers: TrueFibers) -> Iterator[Check]:
    """Yield comparisons of bright stars that are alone in a shot's cubes with what they truly are.

    Stars beside which a fiber or an amplifier is missing are not compared: a part of their light is not told.
    """
    stars, fluxes = truth.sources(shot, "star")
    others = np.concatenate([truth.sources(shot, kind)[0][["ra", "dec"]] for kind in ("star", "line")])
    pointing = Pointing(*(float(truth.shot_value(shot, key)) for key in ("ra", "dec", "pa")))
    fwhm = float(np.mean([truth.exposure_value(shot, expnum, "fwhm") for expnum in truth.exposures(shot)]))
    share = encircled(fwhm, APERTURE)
    ratios, worst = [], Worst()
    for star, flux in zip(stars, fluxes, strict=True):
        if star["g"] > BRIGHT or not _is_alone(truth, pointing, star, others) or not fibers.is_whole(star):
            continue
        slot = bytes(star["ifuslot"]).decode()
        data, wcs = _read(layout, shot, slot)
        x, y = wcs.wcs_world2pix(float(star["ra"]), float(star["dec"]), 0)
        ys, xs = np.mgrid[: data.shape[1], : data.shape[2]]
        apart = np.sqrt((xs - float(x)) ** 2 + (ys - float(y)) ** 2) * SPAXEL
        seen = data[:, apart < APERTURE].sum(1)
        ratios.append(float(np.nanmedian(seen / (2e17 * flux * share))))
        core = apart < CORE
        light = np.nanmedian(data[:, core], axis=0)
        off = [float((light * (at[core] - to)).sum() / light.sum()) * SPAXEL for at, to in ((xs, x), (ys, y))]
        worst.add(float(np.sqrt(off[0] ** 2 + off[1] ** 2)), f"g {star['g']:.1f} in {slot}")
    if not ratios:
        return
    spread = rms(np.array(ratios) - 1)
    seen_as = f"{spread:.2%} rms, {np.mean(ratios) - 1:+.2%} on the mean of {len(ratios)}"
    yield Check(f"{shot}: stars in cubes", seen_as, f"≤ {FLUX:.0%} rms", spread <= FLUX)
    yield worst.check(f"{shot}: places of stars in cubes", PLACE, ".2f", "″")


def _is_alone(truth: Truth, pointing: Pointing, star: Array, others: Array) -> bool:
    """Tell whether a star is in the middle of an IFU, and nothing else is near."""
    if not star["ifuslot"]:
        return False
    x, y = pointing.to_plane(np.array(star["ra"]), np.array(star["dec"]))
    middle = truth.middle(bytes(star["ifuslot"]).decode())
    at_x, at_y = pointing.to_plane(others["ra"], others["dec"])
    near = np.hypot(at_x - x, at_y - y) < ALONE  # itself is among them
    return bool(max(abs(x - middle[0]), abs(y - middle[1])) < INSIDE and near.sum() == 1)


def _read(layout: Layout, shot: str, slot: str) -> tuple[Floats, WCS]:
    path = layout.cubes(shot) / f"dex_cube_{shotid_of(shot)}_{slot}.fits"
    with fitsio.FITS(str(path)) as file:
        header, data = file["DATA"].read_header(), file["DATA"].read()
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [header["CTYPE1"], header["CTYPE2"]]
    for name in ("crpix", "cdelt", "crval"):
        setattr(wcs.wcs, name, [header[f"{name.upper()}{axis}"] for axis in (1, 2)])
    wcs.wcs.pc = [[header[f"PC{row}_{column}"] for column in (1, 2)] for row in (1, 2)]
    return data.astype(np.float64), wcs


def encircled(fwhm: float, radius: float) -> float:
    """Return the share of a star's light in a circle: its image, seen by the face of a fiber, spread by the kernel."""
    half = np.arange(-200, 201) * STEP
    x, y = np.meshgrid(half, half)
    r = np.hypot(x, y)
    moffat = (1 + 4 * (2 ** (1 / BETA) - 1) * (r / fwhm) ** 2) ** -BETA
    image = fftconvolve(moffat, (r <= RADIUS).astype(float), "same")
    image = fftconvolve(image, np.exp(-0.5 * (r / KERNEL) ** 2 * 8 * np.log(2)), "same")
    return float(image[r <= radius].sum() / image.sum())
