"""Images of one camera, as `desi_preproc` leaves them, of an arc and of a night's sky; and the PSF to begin with."""

from pathlib import Path

import numpy as np
from astropy.table import Table
from desispec.image import Image
from desispec.io import write_image

from skyharvest.reduction.desi.psf.file import write_psf
from skyharvest.reduction.desi.psf.shifts import read_sky
from skyharvest.simulate.desi_night.camera import Camera
from skyharvest.simulate.desi_night.night import STEP, arc_light, calibration_psf

SHIFT = (-0.10, 0.18)
"""By how much the sky's traces are moved, pixels."""


def write_images(root: Path, camera: Camera) -> dict[str, Path]:
    """Write ``arc``, ``sky`` and ``psf``; return their paths."""
    rng = np.random.default_rng(1)
    fine = np.arange(camera.wave_min - 30, camera.wave_max + 30, STEP)
    through = rng.uniform(0.8, 1.2, (camera.n_fiber, 1))
    arc = arc_light(fine, rng)
    objects = rng.uniform(0, 40, through.shape) * (1 + 0.3 * np.sin(fine / rng.uniform(5, 50, through.shape)))
    sky = 12 + 1.5 * np.interp(fine, *read_sky()) + objects
    paths = {name: root / f"{name}-{camera.name}.fits" for name in ("arc", "sky", "psf")}
    for name, light, moved in (("arc", through * arc, (0, 0)), ("sky", through * sky, SHIFT)):
        clean = camera.image(fine, light, *moved)
        pixels = rng.poisson(clean) + rng.normal(0, camera.read_noise, clean.shape)
        ivar = 1 / (np.clip(pixels, 0, None) + camera.read_noise**2)
        meta = {"CAMERA": camera.name, "EXPTIME": 1000.0, "FLAVOR": "science"}
        mask = np.zeros(clean.shape, np.uint32)
        image = Image(pixels, ivar, mask=mask, readnoise=camera.read_noise, camera=camera.name, meta=meta)
        fiber = np.arange(camera.n_fiber, dtype=np.int32)
        image.fibermap = Table({"TARGETID": fiber.astype(np.int64), "FIBER": fiber, "OBJTYPE": ["TGT"] * len(fiber)})
        image.fibermap.meta["EXTNAME"] = "FIBERMAP"
        write_image(str(paths[name]), image)
    write_psf(paths["psf"], calibration_psf(camera), camera.name)
    return paths
