"""Raw exposures out of an archive: those that exposure tables list, checked against the archive's SHA-256 sums.

Names: https://desidatamodel.readthedocs.io (DESI_SPECTRO_DATA/NIGHT/EXPID): ``desi-EXPID.fits.fz``,
``fibermap-EXPID.fits``, and ``checksum-EXPID.sha256sum``, which has the sums of both.
"""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from skyharvest.archive.archive import Archive
from skyharvest.archive.download import download
from skyharvest.core.errors import InputError
from skyharvest.reduction.desi.exposure_table import Exposure, read_table, tables_in
from skyharvest.reduction.desi.graph import Selection, raw_files

log = logging.getLogger(__name__)

THERE, ABSENT, DAMAGED = "there", "absent", "damaged"


@dataclass(frozen=True)
class Fetched:
    """What has become of a file: `THERE`, `ABSENT` in the archive, or `DAMAGED` there, with what is wrong with it."""

    night: int
    expid: int
    file: str
    state: str
    message: str = ""


def listed(tables: Path, selection: Selection) -> list[Exposure]:
    """Return the exposures that are asked for, of tables ``YYYYMM/exposure_table_NIGHT.csv``, and are not left out.

    Raises
    ------
    InputError
        If there is no table of these nights.
    """
    wanted = [path for night, path in tables_in(tables).items() if selection.has_night(night)]
    if not wanted:
        raise InputError(
            f"{tables} has no table of the nights that are asked for, expected YYYYMM/exposure_table_NIGHT.csv as in "
            "a production's exposure_tables"
        )
    return [one for path in wanted for one in selection.of(read_table(path)) if not one.reason]


def fetch_exposures(archive: Archive, exposures: Iterable[Exposure], raw: Path) -> list[Fetched]:
    """Copy exposures and their fibermaps to ``raw/NIGHT/EXPID``; what is there, and whole, is kept.

    Raises
    ------
    ArchiveUnavailable, ArchiveRefused
        If a file cannot be fetched now, or at all.
    """

    def fetch(exposure: Exposure) -> list[Fetched]:
        night, expid = exposure.night, exposure.expid
        paths = [path.relative_to(raw).as_posix() for path in raw_files(raw, night, expid)]
        sums = f"{night}/{expid:08d}/checksum-{expid:08d}.sha256sum"
        damaged = download(archive, paths, raw, sums)
        made = []
        for path in paths:
            state = DAMAGED if path in damaged else THERE if (raw / path).exists() else ABSENT
            made.append(Fetched(night, expid, Path(path).name, state, str(damaged.get(path, ""))))
        return made

    with ThreadPoolExecutor(max(1, archive.connections)) as threads:
        found = [one for some in threads.map(fetch, exposures) for one in some]
    for one in found:
        if one.state != THERE:
            log.warning("night %d, exposure %08d: %s is %s %s", one.night, one.expid, one.file, one.state, one.message)
    return found
