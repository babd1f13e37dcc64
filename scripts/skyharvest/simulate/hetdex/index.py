"""The table of a simulated release's cubes, ``ifu-index.fits``."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.atomic import atomic_path
from skyharvest.simulate.fits_write import columns, write_primary, write_table
from skyharvest.simulate.hetdex.cube import REACH
from skyharvest.simulate.hetdex.ifu import flaws, lit_spaxels
from skyharvest.simulate.positions import separation_arcsec

INDEX = columns("""
    shotid:i8 ifuslot:S3 ra_cen:f4 dec_cen:f4 flag:f4 flag_badamp:f4 flag_badfib:f4 flag_meteor:f4 flag_satellite:f4
    flag_shot:f4 flag_throughput:f4 field:S12 objid:S18 date:i4 obsid:i4 ra_shot:f8 dec_shot:f8 pa:f8 n_ifu:i4
    fwhm_virus:f4 fwhm_virus_err:f4 response_4540:f4 exptime:f4 mjd:f8 fluxlimit_4600:f4
""")


@dataclass(frozen=True)
class Observation:
    """A cube of the release; ``amps``: which of the IFU's four quarters, from low to high y, have light."""

    shotid: int
    ifuslot: str
    ra: float
    dec: float
    pa: float
    fwhm: float
    field: str
    on_disk: bool = True
    flawed: bool = False
    amps: tuple[int, ...] = (0, 1, 2, 3)

    @property
    def path(self) -> str:
        """Below the release's root."""
        return f"datacubes/{self.shotid}/dex_cube_{self.shotid}_{self.ifuslot}.fits"


def index_rows(
    observations: Sequence[Observation], positions: Mapping[int, tuple[float, float]], rng: np.random.Generator
) -> Array:
    """Return the index: the cubes, other slots of their shots, and shots elsewhere, away from every CSV row."""
    away = [
        Observation(
            shot.shotid, slot, (shot.ra + east / 3600) % 360, shot.dec + north / 3600, shot.pa, shot.fwhm, shot.field
        )
        for shot in observations[:4]
        for slot, east, north in (("008", 300.0, -200.0), ("105", -100.0, 0.0))
    ]
    away += [
        Observation(20180914005, "076", 23.417, 0.213, 44.0, 1.9, "dex-fall"),
        Observation(20171118031, "024", 359.31, -0.41, 301.0, 2.3, "dex-fall"),
        Observation(20230220018, "067", 213.04, 51.92, 162.0, 1.5, "dex-spring"),
    ]
    ra_dec = np.array(list(positions.values())).T
    away = [cube for cube in away if separation_arcsec(ra_dec, (cube.ra, cube.dec)).min() > 2 * REACH]
    flawed = flaws()
    rows = np.zeros(len(observations) + len(away), INDEX)
    shots: dict[int, tuple[float, ...]] = {}
    for row, cube in zip(rows, [*observations, *away], strict=True):
        if cube.shotid not in shots:
            shots[cube.shotid] = tuple(rng.uniform([0.12, 0.04, 1000, 0.1, 4.0], [0.19, 0.15, 1300, 0.5, 6.0]))
        response, fwhm_error, exptime, day, limit = shots[cube.shotid]
        date, obsid = divmod(cube.shotid, 1000)
        for name in INDEX.names or ():
            if name.startswith("flag"):
                row[name] = 1
        if cube.flawed:
            lit = lit_spaxels(cube.amps)
            for bit in ("BADAMP", "BADFIB", "METEOR"):
                row[f"flag_{bit.lower()}"] = 1 - flawed[bit][lit].mean()
            row["flag"] = 1 - np.any([flawed[bit] for bit in ("BADAMP", "BADFIB", "METEOR")], axis=0)[lit].mean()
        elif len(cube.amps) < 4:
            row["flag"] = row["flag_badamp"] = len(cube.amps) / 4
        row["shotid"], row["ifuslot"], row["field"] = cube.shotid, cube.ifuslot, cube.field
        row["ra_cen"], row["dec_cen"], row["pa"], row["fwhm_virus"] = cube.ra, cube.dec, cube.pa, cube.fwhm
        row["objid"], row["date"], row["obsid"] = f"DEX{obsid:06d}", date, obsid
        row["ra_shot"], row["dec_shot"], row["n_ifu"] = round(cube.ra, 1), round(cube.dec, 1), 74
        row["response_4540"], row["fwhm_virus_err"], row["exptime"] = response, fwhm_error, exptime
        day_of = datetime.date(date // 10000, date // 100 % 100, date % 100)
        row["mjd"] = day_of.toordinal() - 678576 + day
        row["fluxlimit_4600"] = limit * 1e-17
    return rows[np.argsort(rows, order=("shotid", "ifuslot"))]


def write_index(path: Path, rows: Array) -> None:
    """Write ``ifu-index.fits``."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        write_primary(stream)
        write_table(stream, "IFU-INDEX", rows, checksum=False)
