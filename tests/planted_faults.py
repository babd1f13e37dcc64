"""Faults of an instrument, planted into copies of a reduced exposure's files."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits

from skyharvest.reduction.desi.exposure_table import read_table
from skyharvest.reduction.desi.production import Production
from skyharvest.reduction.desi.qa.definitions import FILES
from skyharvest.reduction.desi.qa.limits import Limits
from skyharvest.reduction.desi.qa.measure import Exposed, measure
from skyharvest.reduction.desi.qa.measured import Frame

FIBER = 3
"""That goes out."""


def files_of(production: Production, expid: int, camera: str) -> dict[str, Path]:
    """Return the files that the task of a camera's exposure measures, by their options."""
    task = next(
        task
        for task in production.tasks()
        if task.key.kind == "qa" and task.key.unit == camera and task.key.owner.endswith(f"{expid:08d}")
    )
    (words,) = production.commands.words(task, production.commands.outputs(task.key), task.some_of)
    given = dict(zip(words[2::2], words[3::2], strict=True))
    return {name: Path(given[f"--{name}"]) for name in FILES if f"--{name}" in given}


def exposed(production: Production, expid: int, camera: str, **other: Path) -> Exposed:
    """Return a camera's exposure, with other files in the place of some of its own."""
    (table,) = production.tables.values()
    exposure = next(one for one in read_table(table) if one.expid == expid)
    return Exposed(exposure, camera, files_of(production, expid, camera) | other)


def damaged(path: Path, root: Path, change: Callable[[fits.HDUList], None]) -> Path:
    """Return a copy of a FITS file, changed."""
    out = root / path.name
    with fits.open(path, memmap=False) as file:
        change(file)
        file.writeto(out, overwrite=True)
    return out


def measured(production: Production, expid: int, camera: str, root: Path, limits: Limits, **changes: Callable) -> Frame:
    """Return what is measured of a camera's exposure of which some files are damaged."""
    files = files_of(production, expid, camera)
    other = {name: damaged(files[name], root, change) for name, change in changes.items()}
    return measure(exposed(production, expid, camera, **other), limits)


def noisy_amplifier(file: fits.HDUList) -> None:
    """Amplifier B: pixels with ten times their noise."""
    pixels = file["IMAGE"].data
    region = pixels[: len(pixels) // 2, pixels.shape[1] // 2 :]
    region += np.random.default_rng(1).normal(0, 30, region.shape).astype(region.dtype)


def fiber_out(file: fits.HDUList) -> None:
    """A fiber without light."""
    file["FLUX"].data[FIBER] = 0


def sky_too_bright(file: fits.HDUList) -> None:
    """A model of the sky that is a quarter too bright."""
    file["SKY"].data *= 1.25


def shifted(file: fits.HDUList) -> None:
    """Traces two pixels to the side."""
    file["XTRACE"].data[:, 0] += 2


def cloud(file: fits.HDUList) -> None:
    """A third of the light of a clear sky."""
    file["FLUXCALIB"].data /= 3


def torn(path: Path, root: Path) -> Path:
    """Return a copy of a file that is cut short."""
    out = shutil.copy(path, root / path.name)
    with out.open("r+b") as stream:
        stream.truncate(path.stat().st_size // 2)
    return out
