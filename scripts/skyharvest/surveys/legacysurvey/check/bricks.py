"""What is asked of a release's tables of bricks before a run, and which bricks the run needs."""

import re
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skyharvest.archive.archive import is_url
from skyharvest.core.arrays import Array
from skyharvest.core.errors import Absent, InputError, MalformedFile
from skyharvest.core.words import counted
from skyharvest.formats.fits_hdu import HDU, parse_hdu
from skyharvest.formats.fits_header import find_end
from skyharvest.harvest.check import ADAPTED, AS_ASSUMED, FAILS, NOTE, REPORT, Asking, EnoughAsked, Finding, Work
from skyharvest.surveys.legacysurvey.bricks import (
    GZIP,
    NEEDED,
    Bricks,
    band_columns,
    bricks_of,
    is_north,
    listed_bricks,
    read_brick_table,
    table_columns,
)
from skyharvest.surveys.legacysurvey.grid import grid_bricks
from skyharvest.surveys.legacysurvey.images import PRODUCTS
from skyharvest.surveys.legacysurvey.plan import BrickPlan, bytes_to_read, make_plan, n_files

HEAD_BYTES = 3_000_000  # of a table behind a server, which has some 60 MB
COLUMNS = "columns of the bricks"
_BAND = re.compile(r"nexp(?:hist)?_([a-z])")


@dataclass
class Tables:
    """What was read of the tables of bricks.

    Attributes
    ----------
    bricks
        By region, of the rows that were read.
    is_whole
        Whether these are all rows of all tables.
    plan
        For the CSV's rows. Where not all rows were read: as if there were images everywhere.
    """

    bricks: dict[str, Bricks] = field(default_factory=dict)
    is_whole: bool = True
    plan: BrickPlan | None = None


def tables_of_bricks(asking: Asking) -> Iterator[Finding]:
    """Ask for the columns of each region's table, and read all rows or, behind a server, the first ones."""
    tables = asking.shared["tables"] = Tables()
    for region in asking.release.regions:
        yield from _table(asking, region, tables)
    if not tables.bricks:
        raise EnoughAsked


def _table(asking: Asking, region: str, tables: Tables) -> Iterator[Finding]:
    path = asking.release.bricks(region)
    question, about, assumed = f"{COLUMNS}, {region}", asking.archive.location(path), ", ".join(NEEDED)
    try:
        with asking.archive.open(path) as source:
            data = source.head(HEAD_BYTES)
            is_whole = not is_url(about) or source.size() <= HEAD_BYTES
        hdu, rows = _first_rows(data, about)
        names = table_columns(hdu)
        tables.bricks[region] = (
            _all_bricks(asking, path, region) if is_whole else listed_bricks(hdu, rows, region, asking.release.bands)
        )
    except Absent:
        yield _absent(asking, region, path)
        return
    except MalformedFile as error:
        means = "nothing can be planned"
        yield asking.found(FAILS, question, about, assumed=assumed, seen=str(error), means=means, change=REPORT)
        return
    tables.is_whole &= is_whole
    seen = ", ".join(names[name] for name in NEEDED)
    means = "names are taken in any case"
    yield asking.compare(question, about, assumed=assumed, seen=seen, otherwise=ADAPTED, means=means)
    yield _bands(asking, region, hdu, names)
    n_read = hdu.n_rows if is_whole else len(rows) // hdu.row_bytes
    yield _rows(asking, region, hdu, n_read, len(tables.bricks[region]))
    if "survey_primary" in names:
        yield _primary(asking, region, hdu, names, rows)


def _absent(asking: Asking, region: str, path: str) -> Finding:
    """Return that a table is not where it should be, and perhaps under which name it is."""
    about, means = asking.archive.location(path), "nothing can be planned"
    seen, change = "no file", "legacysurvey.archive, or legacysurvey.release"
    other = path.removesuffix(".gz") if path.endswith(".gz") else f"{path}.gz"
    if asking.archive.has(other):
        seen = f"no file; {asking.archive.location(other)} is there"
        template = other.replace(region, "{region}")
        change = f"in config/releases.yaml, {asking.release.name}: paths: bricks: {template}"
    return asking.found(FAILS, f"{COLUMNS}, {region}", about, assumed="a table", seen=seen, means=means, change=change)


def _first_rows(data: bytes, name: str) -> tuple[HDU, bytes]:
    """Return the first table of a file's first bytes, compressed or not, and the whole rows that are in them."""
    if data.startswith(GZIP):
        try:
            data = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS).decompress(data)
        except zlib.error as error:
            raise MalformedFile(f"{name}: its gzip compression is damaged: {error}") from error
    position = 0
    while True:
        end = find_end(data[position:])
        if end is None or not data.startswith(b"SIMPLE  ="):
            raise MalformedFile(
                f"{name}: found {data[position : position + 16]!r}, expected the header of a FITS table"
            )
        hdu = parse_hdu(name, data[position : position + end], position, first=position == 0)
        if hdu.is_table:
            break
        position = hdu.stop
    n_rows = min(hdu.n_rows, (len(data) - hdu.data_start) // hdu.row_bytes) if hdu.row_bytes else 0
    return hdu, data[hdu.data_start : hdu.data_start + n_rows * hdu.row_bytes]


def _all_bricks(asking: Asking, path: str, region: str) -> Bricks:
    """Read a table that is near, or small, as the run does."""
    location = asking.archive.location(path)
    with tempfile.TemporaryDirectory() as directory:
        table = Path(location)
        if is_url(location):
            table = Path(directory, path.rpartition("/")[2])
            asking.archive.fetch(path, table)
        return read_brick_table(table, region, asking.release.bands, location)


def _bands(asking: Asking, region: str, hdu: HDU, names: dict[str, str]) -> Finding:
    """Return which bands the table knows."""
    question, about = f"bands of the bricks, {region}", f"{hdu}, columns nexphist_… or nexp_…"
    of_release = asking.release.bands
    there = band_columns(names, of_release)
    others = sorted({match[1] for name in names if (match := _BAND.fullmatch(name))} - set(of_release))
    lacking = [band for band in asking.section["bands"] if band not in there]
    seen = ", ".join([*there, *others]) or "no column of any"
    told = {"assumed": ", ".join(of_release), "seen": seen}
    if not there:
        means = "every brick is taken to have all bands; files that are not there are recorded as absent"
        return asking.found(ADAPTED, question, about, **told, means=means)
    if lacking:
        means = f"no brick would have images in {', '.join(lacking)}"
        change = f"legacysurvey.bands: [{', '.join(band for band in asking.section['bands'] if band in there)}]"
        return asking.found(FAILS, question, about, **told, means=means, change=change)
    if others:
        means = f"images in {', '.join(others)} are not asked for"
        change = f"for them, in config/releases.yaml, {asking.release.name}: bands"
        return asking.found(NOTE, question, about, **told, means=means, change=change)
    return asking.found(AS_ASSUMED, question, about, **told)


def _rows(asking: Asking, region: str, hdu: HDU, n_read: int, n_good: int) -> Finding:
    """Return how many rows name a brick and its box."""
    question, assumed = f"rows of the bricks, {region}", "a name like 1234p567, a box in degrees"
    share = f"all {hdu.n_rows:,} rows" if n_read == hdu.n_rows else f"the first {n_read:,} of {hdu.n_rows:,} rows"
    if n_good == n_read:
        return asking.found(AS_ASSUMED, question, str(hdu), assumed=assumed, seen=f"so in {share}")
    means = "these rows are left out, with a warning"
    seen = f"not so, or twice, in {n_read - n_good:,} of {n_read:,} rows"
    return asking.found(NOTE, question, str(hdu), assumed=assumed, seen=seen, means=means)


def _primary(asking: Asking, region: str, hdu: HDU, names: dict[str, str], rows: bytes) -> Finding:
    """Return whether the table says of the same bricks as the code that the survey takes them from this region."""
    table = hdu.table(rows, [names[name] for name in ("ra", "dec", "survey_primary")])
    ra, dec, primary = (table[names[name]] for name in ("ra", "dec", "survey_primary"))
    differ = int((np.asarray(primary, bool) != (is_north(ra, dec) == (region == "north"))).sum())
    return asking.found(
        AS_ASSUMED if not differ else NOTE,
        f"region that counts, {region}",
        f"{hdu}, column {names['survey_primary']}",
        assumed="north: Dec >= 32.375, north galactic cap",
        seen=f"so in {len(ra):,} rows" if not differ else f"otherwise in {differ:,} of {len(ra):,} rows",
        means="" if not differ else "where both regions have a brick, the run takes the one by that rule",
    )


def bricks_near_targets(asking: Asking) -> Iterator[Finding]:
    """Plan, in memory."""
    tables: Tables = asking.shared["tables"]
    targets, section = dict(asking.read_targets()), asking.section
    ra, dec = targets["ra"], targets["dec"]
    question, about = (
        "bricks of the CSV's positions",
        asking.archive.location(asking.release.bricks(asking.release.regions[0])),
    )
    bricks = np.concatenate(list(tables.bricks.values()))
    if not tables.is_whole:
        yield _grid(asking, about, bricks)
        bricks = grid_bricks(ra, dec, asking.release)
    try:
        plan = make_plan(bricks, targets, size=section["size"], bands=section["bands"], products=section["products"])
    except InputError as error:
        yield asking.found(
            FAILS, question, about, assumed="some are in bricks", seen=str(error), means="nothing can be planned"
        )
        raise EnoughAsked from None
    tables.plan = plan
    seen = f"{counted(plan.n_covered, 'position')} in {counted(len(plan.bricks), 'brick')}"
    if not tables.is_whole:
        seen += ", if there are images everywhere"
    if plan.n_covered:
        yield asking.found(AS_ASSUMED, question, about, assumed="some are in bricks", seen=seen)
    else:
        means = "there is nothing to harvest; what follows is asked of other bricks"
        if plan.left_out.rows:
            means = f"only bricks without these bands hold them ({len(plan.left_out.rows):,} positions)"
        yield asking.found(
            NOTE,
            question,
            about,
            assumed="some are in bricks",
            seen=seen,
            means=means,
            change="legacysurvey.bands, or the CSV",
        )
    if len(tables.bricks) > 1 and tables.is_whole:
        both = np.logical_and.reduce([bricks_of(of_region, ra, dec) >= 0 for of_region in tables.bricks.values()])
        seen = f"{counted(int(both.sum()), 'position')} in bricks of both"
        assumed = "one cutout, of one region"
        yield asking.found(AS_ASSUMED, "overlap of north and south", about, assumed=assumed, seen=seen)


def _grid(asking: Asking, about: str, bricks: Bricks) -> Finding:
    """Return whether the bricks that were read are where the survey's division of the sky has them."""
    computed = grid_bricks(bricks["ra"], bricks["dec"], asking.release)
    same = np.isin(bricks["brickname"], computed["brickname"])
    seen = f"so in {same.sum():,} of {len(bricks):,} rows"
    verdict = AS_ASSUMED if same.all() else NOTE
    means = "" if same.all() else "the number of bricks, and the brick that follows, are guesses"
    question, assumed = "division of the sky", "rows of 0.25 degrees, names of centres"
    return asking.found(verdict, question, about, assumed=assumed, seen=seen, means=means)


def candidates(tables: Tables, most: int) -> Array:
    """Return bricks to ask about: those with most positions, else some of the tables."""
    plan = tables.plan
    if plan is not None and len(plan.bricks):
        return np.asarray(plan.bricks[np.argsort(-plan.n_targets, kind="stable")[:most]])
    bricks = np.concatenate(list(tables.bricks.values()))
    bricks = bricks[bricks["bands"] != b""]
    return np.asarray(bricks[np.linspace(0, len(bricks) - 1, min(most, len(bricks))).astype(int)])


def work(asking: Asking) -> Work:
    """Return how much a run reads and writes."""
    tables: Tables = asking.shared["tables"]
    plan = tables.plan
    if plan is None:
        return Work(files="no bricks", rows="0 CSV rows", n_files=0, round_trips=0, moved=0, kept=0)
    most = "" if tables.is_whole else "at most "
    n_layers = sum(len(plan.bands) if PRODUCTS[product].per_band else 1 for product in plan.products)
    files = n_files(plan)
    return Work(
        files=f"{most}{counted(files, 'file')} of {counted(len(plan.bricks), 'brick')}",
        rows=f"{most}{plan.n_covered:,} CSV rows",
        n_files=files,
        round_trips=2,
        moved=bytes_to_read(plan, asking.section["transfer"]),
        kept=2 * n_layers * plan.size**2 * plan.n_covered,
    )
