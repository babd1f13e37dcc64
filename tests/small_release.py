"""Small simulated coadds and releases for tests, laid out like the public archive, and how to spoil them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from astropy.io import fits

from skyharvest.archive.archive import Archive
from skyharvest.formats import hdf5
from skyharvest.harvest.batch import Batch
from skyharvest.harvest.extracted import Listed
from skyharvest.simulate.desi.coadd import SimulatedCoadd, observe, write_coadd, write_redrock
from skyharvest.simulate.desi.release import write_tilepix
from skyharvest.simulate.desi.sources import draw_sources
from skyharvest.simulate.sha256sum import write_sha256sum
from skyharvest.surveys.desi.about import SURVEY as DESI
from skyharvest.surveys.desi.assemble import Layout, assemble
from skyharvest.surveys.desi.batch import extract_pixels
from skyharvest.surveys.desi.extract import extract
from skyharvest.surveys.desi.plan import targets_of_pixel
from skyharvest.surveys.desi.release import CoaddFile, load_release
from skyharvest.surveys.desi.spectra import Arm
from skyharvest.surveys.desi.wanted import Positions, Wanted

RELEASE = load_release("demo")
ARMS = ("b", "r", "z")
START = {"b": 0, "r": 2700, "z": 4900}  # of the arm on the common grid
PIXELS = {"b": 2751, "r": 2326, "z": 2881}
ARCSEC = 1 / 3600


def simulated(
    n: int = 4,
    program: str = "dark",
    pix64: int = 27247,
    *,
    seed: int = 1,
    at: tuple[Any, Any] | None = None,
    targetid: Sequence[int] | None = None,
    **how: Any,
) -> SimulatedCoadd:
    """Observe n objects near (149.5, 1.8), or at (RA, Dec) given in degrees; redrock's order is not FIBERMAP's."""
    rng = np.random.default_rng([seed, pix64, len(program)])
    if at is None:
        at = (rng.uniform(149.4, 149.6, n), rng.uniform(1.7, 1.9, n))
    sources = draw_sources(*(np.asarray(angle, float) for angle in at), rng)
    if targetid is not None:
        sources.targetid[:] = targetid
    if len(sources.targetid) > 1 and (np.diff(sources.targetid) > 0).all():
        sources = sources.take(np.arange(len(sources.targetid))[::-1])
    return observe(sources, "main", program, pix64, rng, **how)


def arms_of(coadd: SimulatedCoadd) -> dict[str, Arm]:
    return {
        arm: Arm(coadd.wavelength[arm], coadd.flux[arm], coadd.ivar[arm], coadd.mask[arm], coadd.resolution[arm])
        for arm in ARMS
    }


def path_of(coadd: SimulatedCoadd, kind: str = "coadd") -> str:
    """Return the path, relative to the root, of its coadd, redrock or checksums."""
    return getattr(RELEASE, kind)(coadd.survey, coadd.program, coadd.pix64)


def write(root: Path, coadd: SimulatedCoadd, *, redrock: bool = True, **how: Any) -> str:
    """Write a coadd, its redrock file and their checksums; return the coadd's path relative to ``root``."""
    files = [root / path_of(coadd), *([root / path_of(coadd, "redrock")] if redrock else [])]
    files[0].parent.mkdir(parents=True, exist_ok=True)
    write_coadd(files[0], coadd, **how)
    if redrock:
        write_redrock(files[1], coadd)
    write_sha256sum(root / path_of(coadd, "checksums"), files)
    return path_of(coadd)


def write_list(root: Path, listed: Sequence[tuple[str, str, int]]) -> Path:
    """Write the release's tilepix.fits."""
    path = root / RELEASE.tilepix()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tilepix(path, listed)
    return path


def edit(path: Path, change: Callable[[fits.HDUList], Any]) -> None:
    """Change a FITS file by means of astropy."""
    with fits.open(path, memmap=False) as hdus:
        for hdu in hdus:
            hdu.data  # noqa: B018 (astropy reads it now, not when the file is gone)
        change(hdus)
        hdus.writeto(path, overwrite=True)


def without_column(name: str, column: str) -> Callable[[fits.HDUList], None]:
    """Return a change that takes a column out of a table."""

    def change(hdus: fits.HDUList) -> None:
        hdus[name].columns.del_col(column)

    return change


def inside(pix64: int, number: int) -> tuple[float, float]:
    """Return a position well inside an NSIDE=64 pixel: the middle of one of its 64 parts, some 7 arcmin wide."""
    import healpy

    ra, dec = healpy.pix2ang(512, pix64 * 64 + number, nest=True, lonlat=True)
    return float(ra), float(dec)


def edge_between(first: int, second: int) -> tuple[float, float]:
    """Return a position on the common edge of two neighbouring pixels, to a hundredth of an arcsec."""
    import healpy

    places = [np.array(healpy.pix2ang(64, pix, nest=True, lonlat=True)) for pix in (first, second)]
    while np.abs(places[0] - places[1]).max() > 0.01 * ARCSEC:
        middle = (places[0] + places[1]) / 2
        places[int(healpy.ang2pix(64, *middle, nest=True, lonlat=True) != first)] = middle
    return tuple(places[0].tolist())


def toward(pix: int, place: tuple[float, float], arcsec: float) -> tuple[float, float]:
    """Return a position so far from a place, toward the middle of a pixel."""
    import healpy

    middle = np.array(healpy.pix2ang(64, pix, nest=True, lonlat=True))
    step = (middle - place) * [np.cos(np.radians(place[1])), 1]
    return tuple((place + (middle - place) / np.hypot(*step) * arcsec * ARCSEC).tolist())


def harvest(
    root: Path,
    csv: Path,
    results: Path,
    *,
    programs: Sequence[str] = ("dark", "bright"),
    layout: Layout | None = None,
    targetid: str | None = None,
    **how: Any,
) -> None:
    """Do all that the workflow does before accounting, with the files where it puts them; ``how`` is of `Wanted`."""
    from skyharvest.surveys.desi.plan import make_plan, read_tilepix, write_plan
    from skyharvest.targets.table import read_targets, write_targets

    write_targets(read_targets(csv, targetid=targetid), results / "targets")
    table = pq.read_table(results / "targets" / "targets.parquet")
    names = ["row", "ra", "dec", "pix16"]
    columns = {name: table.column(name).to_numpy() for name in names}
    if targetid:
        columns["targetid"] = table.column(targetid).to_numpy()
    plan = make_plan(
        read_tilepix(root / RELEASE.tilepix(), 64),
        columns,
        nside=64,
        surveys=["main"],
        programs=list(programs),
        radius_arcsec=10.0 if targetid else how.get("radius_arcsec", 1.0),
    )
    write_plan(plan, results / "desi")
    planned = DESI.read_plan(results / "desi" / "plan.csv")
    for pix64 in map(int, planned.files):
        extract_pixel(root, results, pix64, **how)
    for pix16, searched in planned.searched.items():
        assemble(
            pix16,
            results / "targets" / "targets.parquet",
            [DESI.path(results / "desi" / "extracted", pix64) for pix64 in searched],
            DESI.crossmatch(results / "desi_crossmatches", pix16),
            layout=layout or Layout(),
            attributes={"release": "demo", "specprod": "demo", "radius_arcsec": 1.0, "config_hash": "abc"},
        )


def extract_pixel(root: Path, results: Path, pix64: int, **how: Any) -> Path:
    """Extract one pixel of a plan."""
    out = DESI.path(results / "desi" / "extracted", pix64)
    found = targets_of_pixel(results / "desi" / "plan_targets.npy", pix64)
    ids = found["targetid"] if (found["targetid"] >= 0).all() else None
    wanted = Wanted(
        Positions(found["row"], found["ra"], found["dec"], ids), record_missing=True, **({"lsf": True} | how)
    )
    coadds = [RELEASE.coadd(*kind, pix64) for kind in DESI.read_plan(results / "desi" / "plan.csv").files[pix64]]
    with Archive(str(root)) as archive:
        extract(archive, coadd_files(coadds), out, wanted)
    return out


def near(coadd: SimulatedCoadd, fiber: int, arcsec: float) -> tuple[float, float]:
    """Return a position so far north of a fiber."""
    return float(coadd.sources.ra[fiber]), float(coadd.sources.dec[fiber]) + arcsec * ARCSEC


def coadd_files(paths: Sequence[str]) -> list[CoaddFile]:
    """Return coadds by their files' names."""
    return [CoaddFile.of_path(path) for path in paths]


def extract_batch(
    archive: Archive, pixels: dict[int, list[str]], plan_targets: Path, extracted: Path, wanted: Wanted, **how: Any
) -> list[Listed]:
    """Extract pixels in one job, as the program does; what it assembles of them all only says what it is made from."""
    coadds = {pix64: coadd_files(paths) for pix64, paths in pixels.items()}
    requests, extract_one = extract_pixels(
        archive, coadds, plan_targets, extracted, wanted, at_hand=how.pop("at_hand", None)
    )
    how = {"searched": {0: list(pixels)}, "assemble": assemble_nothing} | how
    places = {"extracted": extracted, "assembled": extracted.with_name("assembled")}
    return Batch(survey=DESI, **places, requests=requests, extract=extract_one, **how).run()


def assemble_nothing(_pix16: int, _extracted: list[Path], out: Path, made_from: str) -> None:
    """Write a file without spectra."""
    with hdf5.create(out) as file:
        file.attrs["made_from"] = made_from
