"""The file with a shot's astrometry, ``astrometry/{shot}.h5``: groups as a shot file's, and what later steps need.

``/Astrometry`` is what the shot file has: QA, NominalVals, Dithall, StarCatalog, fplane, PositionOffsets,
CatalogMatches, CoaddImages. ``x_dither_pos`` is measured: where the exposure's fibers are on the focal plane of the
first exposure; ``xoffset`` of QA is by how much that differs from the nominal dither. Offsets of PositionOffsets are
detected minus catalogued, arcsec along RA and Dec.

``/Solution`` holds, with all digits: ``exposures``, a row for each; ``ifu_offsets``, by how much stars of each IFU are
off on the focal plane, which is what its row of the fplane file lacks; ``found/exp0N``, all stars that were found;
``fibers/exp0N``, RA and Dec of each fiber.

A shot that could not be solved has the attribute ``failed``, the reason, and no groups.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.pytables import write_table
from skyharvest.reduction.hetdex.layout import name_of_exposure
from skyharvest.reduction.hetdex.stars.star_catalogue import BANDS, StarCatalogue
from skyharvest.reduction.hetdex.stars.tangent import Pointing

QA = [
    ("expnum", "<i4"),
    ("xoffset", "<f4"),
    ("yoffset", "<f4"),
    ("xrms", "<f4"),
    ("yrms", "<f4"),
    ("nstars", "<f4"),
]
NOMINAL = [
    ("expnum", "<i4"),
    ("ra", "<f4"),
    ("dec", "<f4"),
    ("parangle", "<f4"),
    ("x_dither_pos", "<f4"),
    ("y_dither_pos", "<f4"),
    ("relflux_virus", "<f4"),
    ("als_filename", "S23"),
]
DITHALL = [
    ("ra", "<f4"),
    ("dec", "<f4"),
    ("XS", "<f4"),
    ("YS", "<f4"),
    ("exposure", "S5"),
    ("ifuslot", "S3"),
    ("multifits", "S28"),
    ("timestamp", "S17"),
    ("xfplane", "<f4"),
    ("yfplane", "<f4"),
]
CATALOG = [("ignore", "<i8"), ("star_ID", "S28"), ("ra_cat", "<f8"), ("dec_cat", "<f8"), *((b, "<f8") for b in BANDS)]
FPLANE = [
    ("ifuslot", "<i4"),
    ("fpx", "<f4"),
    ("fpy", "<f4"),
    ("specid", "<i4"),
    ("specslot", "<i4"),
    ("ifuid", "<i4"),
    ("ifurot", "<f4"),
    ("platesc", "<f4"),
]
OFFSETS = [
    ("xoffset", "<f4"),
    ("yoffset", "<f4"),
    ("ra_dex", "<f8"),
    ("dec_dex", "<f8"),
    ("ra_cat", "<f8"),
    ("dec_cat", "<f8"),
    ("ifuslot", "<i4"),
]
MATCHES = [
    (f"{name}_{which}", kind)
    for which in ("det", "cat")
    for name, kind in (
        ("RA", "<f8"),
        ("DEC", "<f8"),
        ("IFUSLOT", "<i4"),
        ("xifu", "<f4"),
        ("yifu", "<f4"),
        ("ifuslot", "<i4"),
    )
]
EXPOSURES = [
    ("expnum", "<i4"),
    ("ra", "<f8"),
    ("dec", "<f8"),
    ("pa", "<f8"),
    ("pa_error", "<f8"),
    ("pa_alone", "<f8"),
    ("dither_x", "<f8"),
    ("dither_y", "<f8"),
    ("norm", "<f8"),
    ("fwhm", "<f8"),
    ("rms_x", "<f8"),
    ("rms_y", "<f8"),
    ("n_found", "<i4"),
    ("n_matched", "<i4"),
    ("chance", "<f8"),
    ("timestamp", "S17"),
]
IFU_OFFSETS = [
    ("ifuslot", "S3"),
    ("n_stars", "<i4"),
    ("dx", "<f8"),
    ("dy", "<f8"),
    ("dx_error", "<f8"),
    ("dy_error", "<f8"),
]
FOUND = [
    ("ifuslot", "S3"),
    ("xifu", "<f8"),
    ("yifu", "<f8"),
    ("ra", "<f8"),
    ("dec", "<f8"),
    ("light", "<f8"),
    ("light_error", "<f8"),
    ("chi2", "<f8"),
    ("coverage", "<f8"),
    ("star_ID", "S28"),
]
FIBERS = [
    ("multiframe", "S20"),
    ("fibidx", "<i4"),
    ("ifux", "<f8"),
    ("ifuy", "<f8"),
    ("fpx", "<f8"),
    ("fpy", "<f8"),
    ("ra", "<f8"),
    ("dec", "<f8"),
]


@dataclass
class Content:
    """What is written.

    Attributes
    ----------
    tables
        By path in the file.
    images
        By path in the file.
    values
        Attributes of the file.
    """

    tables: dict[str, Array] = field(default_factory=dict)
    images: dict[str, Array] = field(default_factory=dict)
    values: dict[str, str | int | float] = field(default_factory=dict)


def write(path: Path, content: Content) -> None:
    """Write the file, which appears whole."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(content.values)
        for name, table in content.tables.items():
            parent, _, own = name.rpartition("/")
            write_table(file.require_group(parent), own, table)
        for name, image in content.images.items():
            file.create_dataset(name, data=image, compression="gzip", compression_opts=1, chunks=True)


@dataclass(frozen=True)
class Astrometry:
    """A shot's astrometry, as later steps need it.

    Attributes
    ----------
    shot
        Its name.
    failed
        Why it could not be solved, or nothing; then what follows is empty.
    pointings
        By number of exposure.
    norms, widths
        First estimates of the exposures' relative throughput and FWHM, arcsec, by number.
    slots
        X_FP and Y_FP, arcsec, by IFUSLOT.
    catalogue
        Stars of the field.
    """

    shot: str
    failed: str
    pointings: Mapping[int, Pointing]
    norms: Mapping[int, float]
    widths: Mapping[int, float]
    slots: Mapping[str, tuple[float, float]]
    catalogue: StarCatalogue


def read(path: Path) -> Astrometry:
    """Read the file.

    Raises
    ------
    MalformedFile
        If it is no such file.
    """
    try:
        with h5py.File(path) as file:
            shot, failed = str(file.attrs["shot"]), str(file.attrs.get("failed", ""))
            if failed:
                empty = StarCatalogue(path, np.zeros(0, "U1"), np.zeros(0), np.zeros(0), np.zeros((0, len(BANDS))))
                return Astrometry(shot, failed, {}, {}, {}, {}, empty)
            exposures = file["Solution/exposures"][()]
            slots = file["Astrometry/fplane"][()]
            stars = file["Astrometry/StarCatalog"][()]
    except (OSError, KeyError) as error:
        raise MalformedFile(f"{path}: {error}; expected a shot's astrometry: make it again") from error
    catalogue = StarCatalogue(
        path,
        np.char.decode(stars["star_ID"], "utf-8") if len(stars) else np.zeros(0, "U1"),
        stars["ra_cat"],
        stars["dec_cat"],
        np.stack([stars[band] for band in BANDS], axis=1),
    )
    return Astrometry(
        shot,
        "",
        {int(row["expnum"]): Pointing(float(row["ra"]), float(row["dec"]), float(row["pa"])) for row in exposures},
        {int(row["expnum"]): float(row["norm"]) for row in exposures},
        {int(row["expnum"]): float(row["fwhm"]) for row in exposures},
        {f"{row['ifuslot']:03d}": (float(row["fpx"]), float(row["fpy"])) for row in slots},
        catalogue,
    )


def of_exposure(group: str, expnum: int) -> str:
    """Return the path of an exposure's table in a group."""
    return f"{group}/{name_of_exposure(expnum)}"
