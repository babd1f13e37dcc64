"""A small ``$DESIMODEL``: what desispec's steps ask of the instrument's model, which has no public package.

Plain numbers in place of measured ones: a focal plane of 5,000 fibers, its plate scale, how much of a star's light a
fiber takes, and the noise that a spectrum's extraction sees. Format: desimodel's data, as `desimodel.io` reads it.
"""

import json
from pathlib import Path

import fitsio
import numpy as np
from astropy.table import Table

from skyharvest.core.arrays import Floats
from skyharvest.core.atomic import atomic_path

N_FIBERS, PER_PETAL = 5000, 500
BEGIN = "2019-01-01T00:00:00+00:00"
FIBER_UM, FIBER_ARCSEC = 107.0, 1.52
ARMS = {"b": (3550.0, 5950.0, 0.581), "r": (5630.0, 7750.0, 0.515), "z": (7430.0, 9850.0, 0.587)}
"""Arm → first and last Å, and Å per pixel."""
TRACERS = {
    "elg": 0.05,
    "lrg": 0.08,
    "qso": 0.08,
    "lya": 0.1,
    "bgs": 0.4,
    "gpbdark": 0.5,
    "gpbbright": 0.8,
    "gpbbackup": 1.5,
}
"""Targets whose effective exposure times desispec estimates → how much their flux varies: not DESI's numbers."""

_SETTINGS = """\
spectro: {nspec: 5000, nfibers: 500}
fibers: {diameter_um: 107.0, diameter_arcsec: 1.52}
positioners: {radius_max: 6.0}
exptime: 1000.0
area: {M1_diameter: 3.797, obscuration_diameter: 1.8, M2_support_width: 0.03, M2_support_length: 0.0,
       geometric_area: 8.68}
ccd: {b: {readnoise: 3.0, gain: 1.0}, r: {readnoise: 2.9, gain: 1.0}, z: {readnoise: 2.9, gain: 1.0}}
"""


def write_desimodel(root: Path) -> None:
    """Write ``{root}/data``, for ``DESIMODEL={root}``."""
    data = root / "data"
    for name in ("focalplane", "throughput", "footprint", "specpsf/nea", "tsnr"):
        (data / name).mkdir(parents=True, exist_ok=True)
    _write_focal_plane(data / "focalplane")
    _write_acceptance(data / "throughput" / "galsim-fiber-acceptance.fits")
    with atomic_path(data / "desi.yaml") as temporary:
        temporary.write_text(_SETTINGS, encoding="utf-8")
    _write_noise(data)


def _write_focal_plane(directory: Path) -> None:
    fiber = np.arange(N_FIBERS)
    petal, device = fiber // PER_PETAL, fiber % PER_PETAL
    radius = 400 * np.sqrt((device + 1) / (PER_PETAL + 1))
    angle = np.radians(36 * petal + 36 * np.random.default_rng(1).random(N_FIBERS))
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    zeros, location = np.zeros(N_FIBERS), 1000 * petal + device
    plane = Table(
        {
            "PETAL": petal,
            "DEVICE": device,
            "LOCATION": location,
            "DEVICE_ID": [f"M{k:05d}" for k in fiber],
            "DEVICE_TYPE": ["POS"] * N_FIBERS,
            "SLITBLOCK": device // 25,
            "BLOCKFIBER": device % 25,
            "CABLE": zeros.astype(int),
            "CONDUIT": ["E0"] * N_FIBERS,
            "FIBER": fiber,
            "FWHM": zeros,
            "FRD": zeros,
            "ABS": zeros,
            "OFFSET_X": x,
            "OFFSET_Y": y,
            "OFFSET_T": zeros,
            "OFFSET_P": zeros,
            "LENGTH_R1": zeros + 3,
            "LENGTH_R2": zeros + 3,
            "MAX_P": zeros + 180,
            "MIN_P": zeros,
            "MAX_T": zeros + 190,
            "MIN_T": zeros - 190,
        }
    )
    plane.write(directory / f"desi-focalplane_{BEGIN}.ecsv", format="ascii.ecsv", overwrite=True)
    state = Table(
        {
            "TIME": [BEGIN] * N_FIBERS,
            "PETAL": petal,
            "DEVICE": device,
            "LOCATION": location,
            "STATE": zeros.astype(int),
            "POS_T": zeros,
            "POS_P": zeros,
            "MIN_P": zeros,
            "EXCLUSION": ["default"] * N_FIBERS,
        }
    )
    state.write(directory / f"desi-state_{BEGIN}.ecsv", format="ascii.ecsv", overwrite=True)
    (directory / f"desi-exclusion_{BEGIN}.json").write_text(json.dumps({"default": {}}), encoding="utf-8")
    distance = np.linspace(0, 420, 421)
    scale = 67.5 + 8 * (distance / 420) ** 2  # micrometres per arcsecond
    none = 0 * distance
    columns = (distance, distance / scale * 1000 / 3600, none, none, none, none, scale * 1.02, scale, distance)
    np.savetxt(directory / "platescale.txt", np.column_stack(columns))
    places = Table(
        {
            "PETAL": petal,
            "DEVICE": device,
            "DEVICE_TYPE": ["POS"] * N_FIBERS,
            "LOCATION": location,
            "FIBER": fiber,
            "X": x,
            "Y": y,
            "Z": zeros,
            "Q": np.degrees(angle),
            "S": radius,
            "SPECTRO": petal,
            "SLITBLOCK": device // 25,
            "BLOCKFIBER": device % 25,
        }
    )
    places.write(directory / "fiberpos.fits", overwrite=True)


def _write_acceptance(path: Path) -> None:
    """Write the share of light that enters a fiber: a Gaussian star or galaxy, off the middle."""
    sigma, offset = np.linspace(10, 80, 36), np.linspace(0, 60, 16)  # micrometres
    half_light = np.array([0.1, 0.3, 0.45, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0])  # arcseconds
    grid = np.arange(-53.5, 54, 3.0)
    x, y = np.meshgrid(grid, grid)
    inside = x**2 + y**2 < (FIBER_UM / 2) ** 2

    def share(width: float, off: float) -> float:
        light = np.exp(-((x - off) ** 2 + y**2) / 2 / width**2)
        return float(np.clip((light * inside).sum() * 9 / (2 * np.pi * width**2), 0, 1))

    point = np.array([[share(s, o) for o in offset] for s in sigma])
    um_per_arcsec = FIBER_UM / FIBER_ARCSEC
    extended = np.array(
        [[[share(np.hypot(s, h * um_per_arcsec / 1.18), o) for o in offset] for s in sigma] for h in half_light]
    )
    images: dict[str, Floats] = {
        "POINT": point,
        "DISK": extended,
        "BULGE": extended,
        "PRMS": 0 * point,
        "DRMS": 0 * extended,
        "BRMS": 0 * extended,
        "SIGMA": sigma,
        "OFFSET": offset,
        "HLRAD": half_light,
    }
    with atomic_path(path) as temporary, fitsio.FITS(str(temporary), "rw", clobber=True) as file:
        for name, values in images.items():
            file.write(values, extname=name)


def _write_noise(data: Path) -> None:
    for arm, (first, last, per_pixel) in ARMS.items():
        wave = np.arange(first, last, 10.0)
        area = np.full((PER_PETAL, wave.size), 4 * np.pi * 1.07 * 1.26 * 0.5)  # of a Gaussian spot, pixels
        for spectrograph in range(10):
            path = data / f"specpsf/nea/masternea_{arm}{spectrograph}.fits"
            with atomic_path(path) as temporary, fitsio.FITS(str(temporary), "rw", clobber=True) as file:
                file.write(None)
                file.write(wave, extname="WAVELENGTH")
                file.write(area, extname="NEA")
                file.write(np.full(area.shape, per_pixel), extname="ANGPERPIX")
    grids = {"B": (3600.0, 5800.0), "R": (5760.0, 7620.0), "Z": (7520.0, 9824.0)}
    for tracer, amplitude in TRACERS.items():
        path = data / f"tsnr/tsnr-ensemble-{tracer}.fits"
        with atomic_path(path) as temporary, fitsio.FITS(str(temporary), "rw", clobber=True) as file:
            file.write(None)
            file[0].write_key("TRACER", tracer)
            file[0].write_key("SNR2TIME", 8.6)
            for arm, (first, last) in grids.items():
                wave = np.arange(first, last + 0.1, 0.8)
                file.write(wave, extname=f"WAVE_{arm}")
                file.write((amplitude * np.sin(wave / 3))[None, :], extname=f"DFLUX_{arm}")
