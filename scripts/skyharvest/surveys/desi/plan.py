"""Which coadds to read for which targets: the release's list of coadds joined with the pixels that targets touch."""

import hashlib
import itertools
import logging
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skyharvest.archive.archive import Archive
from skyharvest.core.arrays import Array, Bools, Ints
from skyharvest.core.atomic import atomic_path
from skyharvest.core.csv_file import write_columns
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats.byte_source import LocalFile
from skyharvest.formats.fits_file import FitsFile
from skyharvest.formats.npy_rows import write_array
from skyharvest.harvest.not_selected import NotSelected, sentence, write_not_selected
from skyharvest.harvest.releases import REGISTRY, fetch_list
from skyharvest.sky.healpix import touched_pixels
from skyharvest.sky.matching import equal_ids
from skyharvest.surveys.desi.release import Release

log = logging.getLogger(__name__)


TARGET_DTYPE = np.dtype([("pix64", "i8"), ("row", "i8"), ("ra", "f8"), ("dec", "f8"), ("targetid", "i8")])
"""A row per (pixel to search, target) pair, sorted by pixel, then CSV row; ``ra``, ``dec`` in degrees; ``targetid`` is
-1 where targets are matched by position. Jobs find their few targets in it by bisection, without reading the rest."""

NO_TARGETID = -1
NAME = re.compile(rb"[a-z0-9]+")  # of a survey or program: it becomes part of paths
USUAL = {"surveys": ("main",), "programs": ("dark", "bright", "backup")}  # where nothing is said
PIX16_SHIFT = 4  # an NSIDE=16 pixel holds 4² = 16 NSIDE=64 pixels: NESTED numbers differ by 4 bits


@dataclass(frozen=True)
class Coadds:
    """The coadds of a release, as its ``tilepix.fits`` lists them (which is more than exist).

    Attributes
    ----------
    survey, program : (n,) str
    pix64 : (n,) int64
    """

    survey: npt.NDArray[np.str_]
    program: npt.NDArray[np.str_]
    pix64: Ints


@dataclass(frozen=True)
class CoaddPlan:
    """What to read.

    Attributes
    ----------
    coadds
        One per line of ``plan.csv``.
    n_targets : (len(coadds),) int64
        Targets whose match circle touches the coadd's pixel.
    targets : structured array of `TARGET_DTYPE`
    n_accepted, n_covered
        Targets in all, and those with at least one coadd.
    pix16 : (len(targets),) int64
        NSIDE=16 pixel of each target's own position.
    left_out
        Targets where the release has only coadds of other surveys and programs.
    """

    coadds: Coadds
    n_targets: Ints
    targets: Array
    pix16: Ints
    n_accepted: int
    n_covered: int
    left_out: NotSelected


def read_tilepix(path: Path, nside: int, origin: str = "") -> Coadds:
    """Read and check a release's list of coadds.

    Parameters
    ----------
    path
        ``tilepix.fits``: a table with SURVEY, PROGRAM, HEALPIX, a row per (tile, petal, pixel); NSIDE and ordering of
        HEALPIX in the header cards HPXNSIDE and HPXNEST.
    origin
        What messages call it: where it was fetched from.

    Returns
    -------
    Coadds
        Each once. Rows whose SURVEY or PROGRAM is no name (lower-case letters and digits) are left out, with a warning.

    Raises
    ------
    MalformedFile
        If it is not that: an HTML page, another table, another pixel scheme.
    """
    with LocalFile(path, origin) as source:
        fits = FitsFile(source)
        tables = [hdu for hdu in fits.hdus if hdu.is_table]
        if not tables:
            raise MalformedFile(f"{source.name}: no binary table, expected columns SURVEY, PROGRAM, HEALPIX")
        hdu = next((table for table in tables if table.name == "TILEPIX"), tables[0])
        scheme = (hdu.header.get("HPXNSIDE"), hdu.header.get("HPXNEST"))
        if scheme != (nside, True):
            raise MalformedFile(
                f"{hdu}: HPXNSIDE, HPXNEST are {scheme}, expected ({nside}, True), as the release's `pixels` in config/"
                f"{REGISTRY.name} say. A release with pixels of several sizes, as DESI plans for DR3, cannot be read"
            )
        hdu.check_scalars({"SURVEY": "S", "PROGRAM": "S", "HEALPIX": "iu"})
        table = hdu.table(fits.read([(hdu, None)])[0], ("SURVEY", "PROGRAM", "HEALPIX"))
    wrong = ~(_are_names(table["SURVEY"]) & _are_names(table["PROGRAM"]))
    if wrong.any():
        log.warning(
            "%s: %d of %d rows are left out, as survey %r, program %r: expected lower-case letters and digits",
            *(hdu, wrong.sum(), len(wrong), table["SURVEY"][wrong][0], table["PROGRAM"][wrong][0]),
        )
        table = {name: values[~wrong] for name, values in table.items()}
    coadds = np.unique(np.rec.fromarrays([table["SURVEY"], table["PROGRAM"], table["HEALPIX"].astype(np.int64)]))
    pix64 = np.asarray(coadds["f2"])
    if len(pix64) and not (pix64.min() >= 0 and pix64.max() < 12 * nside**2):
        raise MalformedFile(f"{hdu}: HEALPIX holds {pix64.min()} to {pix64.max()}, expected 0 to {12 * nside**2 - 1}")
    return Coadds(np.asarray(coadds["f0"]).astype(str), np.asarray(coadds["f1"]).astype(str), pix64)


def _are_names(values: npt.NDArray[np.bytes_]) -> Bools:
    return np.isin(values, [value for value in np.unique(values).tolist() if NAME.fullmatch(value)])


def fetch_tilepix(archive: Archive, release: Release, cache: Path) -> Coadds:
    """Fetch ``tilepix.fits`` into ``cache``, which keeps its old content unless what arrives is what it should be."""
    path = release.tilepix()
    with atomic_path(cache) as temporary:
        length = fetch_list(archive, release, path, temporary)
        coadds = read_tilepix(temporary, release.nside, archive.location(path))
    log.info("%s: %d bytes, %d coadds", archive.location(path), length, len(coadds.pix64))
    return coadds


def cached_tilepix(archive: Archive, release: Release, cache: Path) -> Coadds:
    """Read the cached ``tilepix.fits``; if it is not what it should be, say so and fetch it again."""
    try:
        return read_tilepix(cache, release.nside)
    except MalformedFile as error:
        log.warning("the cached list of coadds is no good: %s; fetching it again", error)
        return fetch_tilepix(archive, release, cache)


def choose(
    listed: Coadds, surveys: Sequence[str] | None, programs: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """Return the surveys and programs to search.

    Parameters
    ----------
    surveys, programs
        As the configuration gives them. None or nothing is `USUAL`, as far as the release has it: all that it has, if
        it has none of that.

    Raises
    ------
    InputError
        If the release does not have one of them at all, or no coadd of any survey and program together.
    """
    if len(listed.pix64) == 0:
        raise InputError("the release's tilepix.fits lists no coadd at all: is desi.archive what it should be?")
    chosen, problems = [], []
    for key, asked_for, column in (("surveys", surveys, listed.survey), ("programs", programs, listed.program)):
        has = np.unique(column).tolist()
        names = list(asked_for or [name for name in USUAL[key] if name in has] or has)
        for name in names:
            if name not in has:
                problems.append(f"desi.{key}: found {name!r}, which the release does not have; it has {', '.join(has)}")
        chosen.append(names)
    pairs = sorted({*zip(listed.survey.tolist(), listed.program.tolist(), strict=True)})
    if not problems and not set(pairs) & {*itertools.product(*chosen)}:
        problems.append(
            f"desi.surveys and desi.programs: the release has no coadd of {' or '.join(chosen[0])} that is of "
            f"{' or '.join(chosen[1])}; it has {', '.join(map('/'.join, pairs))}"
        )
    if problems:
        raise InputError("\n".join(problems))
    return chosen[0], chosen[1]


def make_plan(
    listed: Coadds,
    targets: dict[str, Array],
    *,
    nside: int,
    surveys: Sequence[str] | None,
    programs: Sequence[str] | None,
    radius_arcsec: float,
) -> CoaddPlan:
    """Join targets and coadds: every coadd of a pixel that a target's circle touches.

    Parameters
    ----------
    targets
        Columns ``row``, ``ra``, ``dec``, ``pix16`` and optionally ``targetid``.
    surveys, programs
        See `choose`, which raises if they are wrong.
    """
    surveys, programs = choose(listed, surveys, programs)
    wanted = np.isin(listed.survey, surveys) & np.isin(listed.program, programs)
    survey, program, pix64 = listed.survey[wanted], listed.program[wanted], listed.pix64[wanted]

    touching, touched = touched_pixels(nside, targets["ra"], targets["dec"], radius_arcsec)
    covered = np.isin(touched, pix64)
    index, pixel = touching[covered], touched[covered]
    order = np.lexsort((targets["row"][index], pixel))
    index, pixel = index[order], pixel[order]
    pairs = np.empty(len(index), TARGET_DTYPE)
    pairs["pix64"] = pixel
    for column in ("row", "ra", "dec"):
        pairs[column] = targets[column][index]
    pairs["targetid"] = targets["targetid"][index] if "targetid" in targets else NO_TARGETID

    counts = dict(zip(*(array.tolist() for array in np.unique(pixel, return_counts=True)), strict=True))
    used = np.isin(pix64, pixel)
    rank = np.array(
        [surveys.index(s) * len(programs) + programs.index(p) for s, p in zip(survey, program, strict=True)]
    )
    by = np.flatnonzero(used)[np.lexsort((rank[used], pix64[used]))]
    rest = ~np.isin(touching, index)
    return CoaddPlan(
        Coadds(survey[by], program[by], pix64[by]),
        np.array([counts[pix] for pix in pix64[by].tolist()], np.int64),
        pairs,
        targets["pix16"][index],
        len(targets["row"]),
        len(np.unique(index)),
        _left_out(listed, targets["row"][touching[rest]], touched[rest], surveys, programs),
    )


def _left_out(listed: Coadds, row: Ints, pixel: Ints, surveys: Sequence[str], programs: Sequence[str]) -> NotSelected:
    """Return what the release has in pixels, (n,) as their targets' CSV rows, where nothing is chosen."""
    i, j = equal_ids(pixel, listed.pix64)
    kinds = [*zip(listed.survey[j].tolist(), listed.program[j].tolist(), strict=True)]
    change = {
        f"desi.{key}": lacking
        for key, has, chosen in (("surveys", 0, surveys), ("programs", 1, programs))
        if (lacking := sorted({kind[has] for kind in kinds} - {*chosen}))
    }
    return NotSelected.of_pairs(zip(row[i].tolist(), map("/".join, kinds), strict=True), change)


def write_plan(plan: CoaddPlan, directory: Path, content: Callable[[str, str, int], str] = lambda *_coadd: "") -> None:
    """Write ``plan.csv``, ``plan_pixels.csv``, ``plan_targets.npy`` and ``plan_not_selected.json``.

    ``plan.csv`` has a row per coadd: ``survey,program,pix64,pix16,n_targets`` (pix16: the NSIDE=16 pixel that holds
    pix64). ``plan_pixels.csv`` has a row per pair of an NSIDE=16 pixel of targets and an NSIDE=64 pixel to search for
    them: ``pix16,pix64,n_targets,digest``; near an edge the one need not hold the other. The digest is of all targets
    of pix64, so that a pixel is extracted again only when its own targets have changed. ``plan_targets.npy``:
    `TARGET_DTYPE`. ``plan_not_selected.json``: `skyharvest.harvest.not_selected`.

    Parameters
    ----------
    content
        Returns what tells which content a coadd has, of survey, program and pixel, where that may change: the digests
        are of this as well.
    """
    pix64 = plan.coadds.pix64
    columns = (plan.coadds.survey, plan.coadds.program, pix64, pix64 >> PIX16_SHIFT, plan.n_targets)
    write_columns(directory / "plan.csv", ("survey", "program", "pix64", "pix16", "n_targets"), columns)
    pairs, counts = np.unique(np.stack([plan.pix16, plan.targets["pix64"]], axis=1), axis=0, return_counts=True)
    edges = np.searchsorted(plan.targets["pix64"], np.stack([pairs[:, 1], pairs[:, 1] + 1]))
    contents: dict[int, str] = defaultdict(str)
    for coadd in zip(plan.coadds.survey.tolist(), plan.coadds.program.tolist(), pix64.tolist(), strict=True):
        contents[coadd[2]] += content(*coadd)
    of_pairs = zip(pairs[:, 1].tolist(), edges.T.tolist(), strict=True)
    digests = np.array([_digest(plan.targets[first:last], contents[pix]) for pix, (first, last) in of_pairs])
    write_columns(
        directory / "plan_pixels.csv",
        ("pix16", "pix64", "n_targets", "digest"),
        (pairs[:, 0], pairs[:, 1], counts, digests),
    )
    write_array(directory / "plan_targets.npy", plan.targets)
    write_not_selected(plan.left_out, directory)


def _digest(targets: Array, content: str) -> str:
    return hashlib.blake2b(targets.tobytes() + content.encode(), digest_size=8).hexdigest()


def targets_of_pixel(path: Path, pix64: int) -> Array:
    """Return the rows of ``plan_targets.npy`` for one pixel, reading little more than those."""
    pairs = np.load(path, mmap_mode="r", allow_pickle=False)
    if pairs.dtype != TARGET_DTYPE:
        raise MalformedFile(
            f"{path}: its columns are {pairs.dtype}, expected {TARGET_DTYPE}: run `snakemake plan` again"
        )
    first, last = (bisect_left(pairs, pixel, key=lambda pair: pair["pix64"]) for pixel in (pix64, pix64 + 1))
    return np.array(pairs[first:last])


def summary(plan: CoaddPlan) -> str:
    """Return the table that `snakemake plan` shows: coverage, and coadds per survey and program."""
    n_left_out = len(plan.left_out.rows)
    lines = [
        f"targets           {plan.n_accepted:>9,}",
        f"  covered         {plan.n_covered:>9,}",
        f"  not selected    {n_left_out:>9,}    (only in what desi.surveys and desi.programs leave out)",
        f"  not covered     {plan.n_accepted - plan.n_covered - n_left_out:>9,}",
        f"pixels to search  {len(np.unique(plan.coadds.pix64)):>9,}",
        f"coadds to read    {len(plan.coadds.pix64):>9,}",
        "",
        f"{'survey':<10}{'program':<10}{'coadds':>9}{'targets':>10}",
    ]
    kinds = list(dict.fromkeys(zip(plan.coadds.survey.tolist(), plan.coadds.program.tolist(), strict=True)))
    for survey, program in sorted(kinds):
        chosen = (plan.coadds.survey == survey) & (plan.coadds.program == program)
        inside = np.isin(plan.targets["pix64"], plan.coadds.pix64[chosen])
        n_targets = len(np.unique(plan.targets["row"][inside]))
        lines.append(f"{survey:<10}{program:<10}{chosen.sum():>9,}{n_targets:>10,}")
    if n_left_out:
        lines += ["", sentence(n_left_out, plan.left_out.totals())]
    return "\n".join(lines)
