"""Catalogues of a production or a public release, as rows of the nine tables.

What desispec's own loader (`desispec.database.redshift`) does to columns is done here, too: which are made of others,
NaN becomes -9999, and fibers of sky have no rows. Files are read some rows at a time. A number that a file does not
have is -9999, a text is empty, a truth value false, and a targeting mask 0.

Photometry is that of the files that come first: `tractorphot` and `targetphot` files where there are any, then that of
the catalogues of redshifts.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.core.arrays import Array, Ints
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.database import redshift
from skyharvest.database.chunks import Chunk, read_chunks, rows_of, tables_in
from skyharvest.database.connection import Database, replacing
from skyharvest.database.loading import Loading
from skyharvest.sky.healpix import ang2pix

log = logging.getLogger(__name__)

NEEDED = {
    "ZCATALOG": ("TARGETID", "Z", "ZERR", "ZWARN", "CHI2", "DELTACHI2", "SPECTYPE"),
    "TILE_COMPLETENESS": ("TILEID", "SURVEY", "PROGRAM"),
    "EXPOSURES": ("EXPID", "NIGHT", "TILEID", "MJD"),
    "FRAMES": ("EXPID", "NIGHT", "TILEID", "CAMERA"),
    "TRACTORPHOT": ("TARGETID", "LS_ID", "OBJID", "TYPE", "DCHISQ"),
    "TARGETPHOT": ("TARGETID", "TILEID", "SURVEY"),
    "FIBERASSIGN": ("TARGETID", "LOCATION", "FIBER"),
    "POTENTIAL_ASSIGNMENTS": ("TARGETID", "LOCATION", "FIBER"),
}
"""HDU → columns without which it is not that. These HDUs are loaded, whatever the file is called."""
TILES = "TILE_COMPLETENESS"
OF_TILE = dict.fromkeys(NEEDED, frozenset[str]()) | dict.fromkeys(
    ("FIBERASSIGN", "POTENTIAL_ASSIGNMENTS"), frozenset({"TILEID"})
)
"""HDU → columns that the header has instead."""
SKY = 1 << 59
"""Bit of TARGETID."""
N_COEFF = 10
MJD_0 = datetime(1858, 11, 17)
SURVEYS = {"cmx": 1, "special": 2, "sv1": 3, "sv2": 4, "sv3": 5, "main": 6}
PROGRAMS = {"backup": 1, "bright": 2, "dark": 3, "other": 4}
GROUPS = {"1x_depth": 1, "4x_depth": 2, "cumulative": 3, "lowspeed": 4, "perexp": 5, "pernight": 6}
"""Numbers in desispec's keys (`desispec.database.util`)."""
MODELS = ("psf", "rex", "dev", "exp", "ser")
"""Of the Tractor, in the order of DCHISQ."""
NSIDE_TARGETS = 64
"""Of HPXPIXEL, in desitarget's files."""

Values = dict[str, Any]


def load_catalogues(database: Database, schema: str, files: Sequence[Path]) -> dict[str, int]:
    """Load catalogues of a production or a release into a schema, in place of what is there.

    Parameters
    ----------
    files
        FITS files with HDUs of `NEEDED`, in the order of `skyharvest.database.files.catalogue_files`.

    Returns
    -------
    dict
        Table → its rows.

    Raises
    ------
    InputError
        If a file has nothing to load, or refers to tiles that no file has; if there is no such database.
    MalformedFile
        If a table lacks a column, has a value that does not fit, or contradicts another.
    """
    _check(files)
    with replacing(database, schema, redshift.TABLES) as loading:
        for path in files:
            before = loading.n_rows.total()
            adding = _Adding(loading)
            for chunk in read_chunks(path, NEEDED):
                adding.add(chunk)
            n_rows = loading.n_rows.total() - before
            loading.note_file(path, n_rows)
            log.info("%s: %d rows", path, n_rows)
        return {table.name: loading.n_rows[table.name] for table in redshift.TABLES}


def _check(files: Sequence[Path]) -> None:
    """Check what can be told before anything is read: that each file has something to load, and tiles are there."""
    with_tiles, refers = False, ""
    for path in files:
        tables = tables_in(path, NEEDED)
        if not tables:
            raise InputError(f"{path} has no HDU {', '.join(NEEDED)}: nothing of it can be loaded")
        with_tiles = with_tiles or TILES in tables
        if any(name != TILES and "TILEID" in columns | OF_TILE[name] for name, columns in tables.items()):
            refers = refers or str(path)
    if refers and not with_tiles:
        raise InputError(f"{refers} refers to tiles, and no file has them (HDU {TILES}): load tiles-….fits as well")


class _Adding:
    """Adds the rows of one file.

    Attributes
    ----------
    alone
        Whether nothing was known of the photometry of targets before this file.
    """

    def __init__(self, loading: Loading) -> None:
        self.loading = loading
        self.alone = not loading.n_rows["photometry"]

    def add(self, chunk: Chunk) -> None:
        """Add the rows of a chunk.

        Raises
        ------
        MalformedFile
            If a value is not what its column should have.
        """
        add: dict[str, Callable[[Chunk], None]] = {
            "ZCATALOG": self._ztile if "TILEID" in chunk.names else self._zpix,
            "TILE_COMPLETENESS": self._tile,
            "EXPOSURES": self._exposure,
            "FRAMES": self._frame,
            "TRACTORPHOT": self._tractorphot,
            "TARGETPHOT": self._targetphot,
            "FIBERASSIGN": self._fiberassign,
            "POTENTIAL_ASSIGNMENTS": self._potential,
        }
        try:
            add[chunk.hdu](chunk)
        except (ValueError, TypeError, OverflowError) as error:
            raise MalformedFile(
                f"{chunk.place}: {error}: a column has not the type, or not the range, of a public release's"
            ) from error

    def _zpix(self, chunk: Chunk) -> None:
        chunk = _on_sky(chunk)
        if "HEALPIX" not in chunk:
            raise MalformedFile(f"{chunk.place} has neither a column HEALPIX nor TILEID")
        high = _numbers(chunk, "PROGRAM", PROGRAMS) << 32 | _numbers(chunk, "SURVEY", SURVEYS)
        given: Values = {"id": _id(high, chunk["TARGETID"]), "spgrp": ["healpix"] * len(chunk)}
        if "SPGRPVAL" not in chunk:
            given["spgrpval"] = chunk["HEALPIX"]
        self._photometry(chunk)
        self.loading.add("zpix", rows_of(redshift.ZPIX, chunk, given | _coefficients(chunk) | _of_surveys(chunk)))

    def _ztile(self, chunk: Chunk) -> None:
        chunk = _on_sky(chunk)
        targetid, tileid = chunk["TARGETID"], chunk["TILEID"].astype(np.int64)
        spgrp = _text(chunk["SPGRP"]) if "SPGRP" in chunk else ["cumulative"] * len(chunk)
        group = [GROUPS.get(name, 0) for name in spgrp]
        given: Values = {
            # Python's integers: these have more than 64 bits.
            "id": [
                str(((g << 27 | value) << 32 | tile) << 64 | target)
                for g, value, tile, target in zip(
                    group, chunk["SPGRPVAL"].tolist(), tileid.tolist(), targetid.tolist(), strict=True
                )
            ],
            "targetphotid": _id(_numbers(chunk, "SURVEY", SURVEYS) << 32 | tileid, targetid),
            "spgrp": spgrp,
        }
        self._photometry(chunk)
        self._target(chunk)
        self.loading.add("ztile", rows_of(redshift.ZTILE, chunk, given | _coefficients(chunk) | _of_surveys(chunk)))

    def _photometry(self, chunk: Chunk) -> None:
        """Add what a catalogue of redshifts or targets tells of targets that nothing is known of yet."""
        once = "ZCAT_PRIMARY" in chunk  # of each target one row is
        if once:
            chunk = chunk.chosen(chunk["ZCAT_PRIMARY"].astype(bool))
        given: Values = {}
        if "RELEASE" in chunk and "LS_ID" not in chunk:  # as the Legacy Surveys' own database makes it
            release, brick, number = (chunk[name].astype(np.int64) for name in ("RELEASE", "BRICKID", "BRICK_OBJID"))
            given["ls_id"] = release << 40 | brick << 16 | number
        for name, other in (("ra", "TARGET_RA"), ("dec", "TARGET_DEC")):
            if name.upper() not in chunk:
                given[name] = chunk[other]
        if "DCHISQ" in chunk:
            given |= _models(chunk)
        rows = rows_of(redshift.PHOTOMETRY, chunk, given)
        self.loading.add("photometry", rows, unless_there=not (self.alone and once))

    def _tractorphot(self, chunk: Chunk) -> None:
        given = {"brick_objid": chunk["OBJID"], "morphtype": chunk["TYPE"], **_models(chunk)}
        self.loading.add("photometry", rows_of(redshift.PHOTOMETRY, chunk, given))

    def _target(self, chunk: Chunk) -> None:
        high = _numbers(chunk, "SURVEY", SURVEYS) << 32 | chunk["TILEID"].astype(np.int64)
        given: Values = {"id": _id(high, chunk["TARGETID"])}
        if "HPXPIXEL" not in chunk:
            given["hpxpixel"] = ang2pix(NSIDE_TARGETS, chunk["TARGET_RA"], chunk["TARGET_DEC"])
        self.loading.add("target", rows_of(redshift.TARGET, chunk, given), unless_there=True)

    def _targetphot(self, chunk: Chunk) -> None:
        chunk = _on_sky(chunk)
        self._photometry(chunk)
        self._target(chunk)

    def _tile(self, chunk: Chunk) -> None:
        self.loading.add("tile", rows_of(redshift.TILE, chunk, {}))

    def _exposure(self, chunk: Chunk) -> None:
        begun = [(MJD_0 + timedelta(days=mjd)).isoformat(" ", "microseconds") for mjd in chunk["MJD"].tolist()]
        self.loading.add("exposure", rows_of(redshift.EXPOSURE, chunk, {"date_obs": begun}))

    def _frame(self, chunk: Chunk) -> None:
        camera = np.array(["brz".index(name[0]) * 10 + int(name[1]) for name in _text(chunk["CAMERA"])], np.int64)
        given = {"frameid": 100 * chunk["EXPID"].astype(np.int64) + camera}
        self.loading.add("frame", rows_of(redshift.FRAME, chunk, given))

    def _fiberassign(self, chunk: Chunk) -> None:
        chunk = _on_sky(chunk)
        given = _assigned(chunk)
        if "PLATE_RA" not in chunk:
            given |= {"plate_ra": chunk["TARGET_RA"], "plate_dec": chunk["TARGET_DEC"]}
        self.loading.add("fiberassign", rows_of(redshift.FIBERASSIGN, chunk, given))

    def _potential(self, chunk: Chunk) -> None:
        chunk = _on_sky(chunk)
        self.loading.add("potential", rows_of(redshift.POTENTIAL, chunk, _assigned(chunk)))


def _on_sky(chunk: Chunk) -> Chunk:
    """Leave out fibers without a target: of sky, and stuck ones."""
    targetid = chunk["TARGETID"]
    return chunk.chosen((targetid > 0) & ((targetid & SKY) == 0))


def _text(values: Array) -> list[str]:
    return [one.decode("ascii", "replace") if isinstance(one, bytes) else str(one) for one in values.tolist()]


def _numbers(chunk: Chunk, column: str, numbers: Mapping[str, int]) -> Ints:
    """Return the numbers of words."""
    words, place = np.unique(chunk[column], return_inverse=True)
    known = _text(words)
    if unknown := [word for word in known if word not in numbers]:
        raise MalformedFile(f"{chunk.place}, column {column}: {unknown[0]!r}, expected one of {', '.join(numbers)}")
    return np.array([numbers[word] for word in known], np.int64)[place]


def _id(high: Ints, targetid: Ints) -> list[str]:
    """Return 128-bit keys, as decimal numbers."""
    return [str(h << 64 | t) for h, t in zip(high.tolist(), targetid.tolist(), strict=True)]


def _assigned(chunk: Chunk) -> Values:
    high = chunk["LOCATION"].astype(np.int64) << 32 | chunk["TILEID"].astype(np.int64)
    return {"id": _id(high, chunk["TARGETID"])}


def _models(chunk: Chunk) -> Values:
    return {f"dchisq_{model}": chunk["DCHISQ"][:, k] for k, model in enumerate(MODELS)}


def _coefficients(chunk: Chunk) -> Values:
    """Return the coefficients of templates, 0 beyond those that there are."""
    if "COEFF" not in chunk:
        return {}
    coeff = np.asarray(chunk["COEFF"])
    coeff = coeff[:, None] if coeff.ndim == 1 else coeff
    zero = np.zeros(len(chunk))
    return {f"coeff_{k}": coeff[:, k] if k < coeff.shape[1] else zero for k in range(N_COEFF)}


def _of_surveys(chunk: Chunk) -> Values:
    """Return 0 for how often a survey observed a target that a catalogue has no rows of, and so no such column."""
    names = [f"{survey}_{what}" for survey in ("sv", "main") for what in ("nspec", "primary")]
    return {name: np.zeros(len(chunk), int) for name in names if name.upper() not in chunk}
