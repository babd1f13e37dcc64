"""Small products of HETDEX's reduction, of random numbers, as the steps before a release leave them."""

import functools
from pathlib import Path

import numpy as np

from skyharvest.formats.pytables import TableWriter, new_group, open_new, write_table
from skyharvest.reduction.hetdex.detectids import first_detectid
from skyharvest.reduction.hetdex.layout import Layout, Pairing, month_of, shotid_of
from skyharvest.reduction.hetdex.plan import SCIENCE, Unit, write_plan
from skyharvest.reduction.hetdex.release.detect_index import healpix_of
from skyharvest.reduction.hetdex.release.fiber_index import FIBER_INDEX as FLAGGED_FIBERS
from skyharvest.reduction.hetdex.shots.shot_tables import FIBER_INDEX, FIBERS, empty_shot
from skyharvest.reduction.hetdex.sources.detection_tables import CHUNKS, TABLES

GRID = 3470.0 + 2.0 * np.arange(1036)
IFUS = ("008_093_054_0123", "031_094_012_0200")
FIBERS_EACH = 7


def shots(n: int, first_night: int = 20190101) -> list[str]:
    """Return names of n shots, ten a night, 28 nights a month."""
    nights = [first_night + k % 28 + 100 * (k // 28) for k in range(-(-n // 10))]
    return [f"{night}v{obs:03d}" for night in nights for obs in range(1, 11)][:n]


@functools.cache
def _random_rows(n: int) -> dict[str, np.ndarray]:
    """Return n detections with their tables: they differ from shot to shot only in their names."""
    random = np.random.default_rng(n)
    made = {name: np.zeros(n * (FIBERS_EACH if name == "Fibers" else 1), dtype) for name, dtype in TABLES.items()}
    for rows in made.values():
        for column in rows.dtype.names:
            kind = rows.dtype[column].base.kind
            if kind == "f":
                rows[column] = random.normal(size=rows[column].shape)
            elif kind == "i":
                rows[column] = random.integers(0, 1000, len(rows))
    made["Spectra"]["wave1d"], made["Spectra"]["apcor"], made["Spectra"]["flag_pix"] = GRID, 0.9, 1
    made["Spectra"]["spec1d"][:, 5] = np.nan
    return made


def detection_rows(shot: str, ifu: str, n: int, *, continuum: bool = False) -> dict[str, np.ndarray]:
    """Return the tables of n detections of an IFU: rows say by ``flux`` and ``spec1d`` which detection they are of."""
    pairing, night = Pairing.named(ifu), int(shot[:8])
    made = {name: rows.copy() for name, rows in _random_rows(n).items()}
    ids = first_detectid(shotid_of(shot), pairing.ifuslot, continuum=continuum) + np.arange(n)
    made["Detections"]["detectid"] = made["Spectra"]["detectid"] = ids
    made["Fibers"]["detectid"] = np.repeat(ids, FIBERS_EACH)
    lines = made["Detections"]
    lines["shotid"], lines["date"], lines["obsid"] = shotid_of(shot), night, int(shot[9:])
    lines["ra"], lines["dec"] = 150 + ids % 1000 / 1e4, 2 + ids % 77 / 1e4
    lines["ifuslot"] = pairing.ifuslot.encode()
    lines["flux"], lines["wave"] = ids % 1_000_003, 3500 + ids % 1900
    made["Spectra"]["spec1d"][:, 0] = ids % 1_000_003
    made["Fibers"]["wavein"] = np.repeat(ids % 1_000_003, FIBERS_EACH)
    return made


def write_detections(
    path: Path, tables: dict[str, np.ndarray], failed: str = "", spectra_chunk: int | None = 1, **attributes: str
) -> Path:
    """Write a file of detections; one that failed has no tables."""
    chunks = CHUNKS | {"Spectra": spectra_chunk}
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_new(path, "Detections") as file:
        file.attrs.update(failed=failed, **attributes)
        if not failed:
            for name, rows in tables.items():
                with TableWriter(file, name, rows.dtype, len(rows), chunk=chunks[name]) as table:
                    table.append(rows)
    return path


def write_ifu(layout: Layout, shot: str, ifu: str, n: int, failed: str = "") -> Path:
    """Write the emission lines of an IFU."""
    path = layout.detections(shot, ifu) / "detections.h5"
    return write_detections(path, detection_rows(shot, ifu, n), failed, shot=shot, ifu=ifu)


def write_continuum(
    layout: Layout, shot: str, n: int, ifus: tuple[str, ...] = IFUS, failed: str = "", spectra_chunk: int | None = 1
) -> Path:
    """Write the continuum sources of a shot, n in each IFU."""
    by_slot = sorted(ifus, key=lambda ifu: Pairing.named(ifu).ifuslot)
    parts = [detection_rows(shot, ifu, n, continuum=True) for ifu in by_slot]
    tables = {name: np.concatenate([part[name] for part in parts]) for name in TABLES}
    return write_detections(layout.of_shot("continuum", shot), tables, failed, spectra_chunk, shot=shot)


def write_small_plan(layout: Layout, names: list[str], ifus: tuple[str, ...] = IFUS) -> None:
    """Write a plan of shots with three exposures."""
    units = [
        Unit(SCIENCE, month_of(shot), ifu, shot, expnum, 4, month_of(shot), "0")
        for shot in names
        for ifu in ifus
        for expnum in (1, 2, 3)
    ]
    write_plan(layout.plan, units)


def fiber_rows(shot: str, ifus: tuple[str, ...] = IFUS, n: int = 4) -> np.ndarray:
    """Return rows of ``/Data/FiberIndex``: n fibers of each amplifier, three exposures; one without a place."""
    parts = []
    for expnum in (1, 2, 3):
        for ifu in ifus:
            pairing = Pairing.named(ifu)
            for amp in ("LL", "LU", "RL", "RU"):
                rows = np.zeros(n, FIBER_INDEX)
                name = f"multi_{pairing.specid}_{pairing.ifuslot}_{pairing.ifuid}_{amp}"
                rows["multiframe"], rows["expnum"] = name.encode(), expnum
                rows["fibidx"], rows["fibnum"] = np.arange(n), np.arange(n) + 1
                rows["fiber_id"] = [f"{shotid_of(shot)}_{expnum}_{name}_{k + 1:03d}".encode() for k in range(n)]
                parts.append(rows)
    made = np.concatenate(parts)
    random = np.random.default_rng(shotid_of(shot))
    made["ra"], made["dec"] = random.uniform(150, 150.3, len(made)), random.uniform(2, 2.3, len(made))
    made["ra"][5] = made["dec"][5] = np.nan
    return made


DEAD = 9
"""Row of a fiber without light."""


def write_shot(
    layout: Layout,
    shot: str,
    ifus: tuple[str, ...] = IFUS,
    *,
    n: int = 4,
    failed: str = "",
    response: float = 0.15,
    spectra: bool = True,
) -> Path:
    """Write what tables of the release read of the file of a shot."""
    path = layout.of_shot("shots", shot)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_new(path, shot) as file:
        file.attrs.update(shot=shot, failed=failed)
        if failed:
            return path
        row = empty_shot()
        row["shotid"], row["date"], row["obsid"] = shotid_of(shot), int(shot[:8]), int(shot[9:])
        row["datevobs"], row["field"] = shot.encode(), b"dex-spring"
        row["ra"], row["dec"], row["response_4540"], row["fwhm_virus"] = 150.1, 2.1, response, 1.7
        write_table(file, "Shot", row)
        data, index = new_group(file, "Data"), fiber_rows(shot, ifus, n)
        write_table(data, "FiberIndex", index)
        if spectra:
            fibers = np.zeros(len(index), FIBERS)
            fibers["chi2"] = fibers["fiber_to_fiber"] = 1
            fibers["calfib"][DEAD] = np.nan
            write_table(data, "Fibers", fibers)
    return path


def write_fibers(layout: Layout, shot: str, ifus: tuple[str, ...] = IFUS, n: int = 112) -> Path:
    """Write the table of a shot's fibers, as if none were bad, without the shot's file."""
    places = fiber_rows(shot, ifus, n)
    rows = np.zeros(len(places), FLAGGED_FIBERS)
    for name in places.dtype.names:
        rows[name] = places[name]
    rows["shotid"], rows["healpix"] = shotid_of(shot), healpix_of(rows["ra"], rows["dec"])
    for name in rows.dtype.names:
        if name.startswith("flag"):
            rows[name] = 1
    path = layout.of_shot("fiber_index", shot)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_new(path, shot) as file:
        file.attrs.update(shot=shot, failed="")
        write_table(file, "FiberIndex", rows)
    return path
