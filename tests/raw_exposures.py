"""Raw exposures as small as they can be: headers of the simulated night, and images of a few pixels."""

from pathlib import Path
from typing import Any

import fitsio
import numpy as np

from skyharvest.simulate.desi_night.raw import Exposure

NIGHT = 20250115
CAMERAS = ("b0", "r0", "z0")
ASSIGNED = {"SURVEY": "main", "FAPRGRM": "DARK "}


def write_raw(
    raw: Path, expid: int, obstype: str, cameras: tuple[str, ...] = CAMERAS, night: int = NIGHT, **changes: Any
) -> Path:
    """Write a raw file; return its directory. A card that is changed to None is left out; _OBS is -OBS."""
    exposure = Exposure(night, expid, obstype, 1000.0, "dark, simulated", cameras, tileid=1)
    changes = {name.replace("_OBS", "-OBS"): value for name, value in changes.items()}
    header = {name: value for name, value in (exposure.header() | changes).items() if value is not None}
    cards = [{"name": name, "value": value} for name, value in header.items()]
    directory = raw / str(night) / f"{expid:08d}"
    directory.mkdir(parents=True)
    noise = np.random.default_rng(expid).integers(0, 60000, (20, 150)).astype(np.uint16)
    with fitsio.FITS(str(directory / f"desi-{expid:08d}.fits.fz"), "rw") as file:
        file.write(None)
        file.write(np.zeros((1, 1), np.int16), extname="SPEC", header=cards)
        for camera in cameras:
            file.write(noise, extname=camera.upper(), header=cards, compress="rice")
    return directory


def write_fibermap(directory: Path, positions: np.ndarray | None = None, **header: Any) -> Path:
    """Write the fibermap of an exposure.

    Parameters
    ----------
    positions : (n, 3)
        PETAL_LOC, TARGET_RA, TARGET_DEC.
    """
    if positions is None:
        positions = np.array([[0, 180.0, 30.0], [0, 180.001, 30.0], [0, np.nan, 30.0]])
    dtype = [("TARGETID", "i8"), ("PETAL_LOC", "i2"), ("TARGET_RA", "f8"), ("TARGET_DEC", "f8")]
    table = np.zeros(len(positions), dtype)
    table["PETAL_LOC"], table["TARGET_RA"], table["TARGET_DEC"] = positions.T
    path = directory / f"fibermap-{directory.name}.fits"
    fitsio.write(str(path), table, extname="FIBERMAP", header=header, clobber=True)
    return path


def cut(path: Path, size: int) -> None:
    """Cut a file short."""
    with path.open("r+b") as stream:
        stream.truncate(size)
