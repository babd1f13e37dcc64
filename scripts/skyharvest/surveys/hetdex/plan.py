"""Which HETDEX cubes to read for which targets: those whose centre is so near that the target may fall on them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.archive.archive import is_url
from skyharvest.core.arrays import Array, Bools, Floats, Ints
from skyharvest.core.atomic import atomic_path
from skyharvest.core.csv_file import write_columns
from skyharvest.core.errors import InputError
from skyharvest.core.words import size_in_words
from skyharvest.formats.npy_rows import rows_where, write_array
from skyharvest.harvest.not_selected import NotSelected, sentence, write_not_selected
from skyharvest.sky.matching import equal_ids, within_radius
from skyharvest.surveys.hetdex.index import CONTENT, CUBE_DTYPE, Index
from skyharvest.surveys.hetdex.release import Release

TARGET_DTYPE = np.dtype(
    [
        *(("shotid", "i8"), ("ifuslot", "S3"), ("row", "i8"), ("ra", "f8"), ("dec", "f8")),
        *(("separation_arcsec", "f8"), ("epoch_group", "i8"), ("wave", "f8")),
    ]
)
"""A row per (cube, target) pair, sorted by shotid, ifuslot, CSV row; ``ra``, ``dec`` in degrees; the separation is that
from the cube's centre; ``epoch_group``: see `epoch_groups`; ``wave``: where the line of the maps is, Å in air, NaN if
that is not known. Jobs find their targets in it by bisection."""

REACH = 37.0  # arcsec; a cube's corners are 36.77 from its centre, which the index gives to 0.06
SAME_SOURCE = 1.5  # arcsec: positions so near each other are the same source, observed again
CUBE_BYTES = 19_000_000  # of a compressed cube of PDR1, about
AFTER_2017 = 20180101000  # shotids below are of 2017


@dataclass(frozen=True)
class CubePlan:
    """What to read.

    Attributes
    ----------
    cubes : structured array of `skyharvest.surveys.hetdex.index.CUBE_DTYPE`
        One per line of ``plan.csv``, sorted by shotid, then ifuslot.
    n_targets : (len(cubes),) int64
        Targets within reach of each cube's centre.
    targets : structured array of `TARGET_DTYPE`
    needed : (n, 2) int64
        NSIDE=16 pixel of targets, number of a cube that it needs; sorted.
    n_accepted, n_covered
        Targets in all, and those with at least one cube.
    n_left_out
        Cubes of the index that were left out for their flag or field.
    left_out
        Targets with only such cubes within reach.
    """

    cubes: Index
    n_targets: Ints
    targets: Array
    needed: Ints
    n_accepted: int
    n_covered: int
    n_left_out: int
    left_out: NotSelected


def make_plan(
    index: Index,
    targets: dict[str, Array],
    *,
    min_flag: float | None = None,
    fields: Sequence[str] | None = None,
    reach_arcsec: float = REACH,
) -> CubePlan:
    """Join targets and cubes: every cube whose centre is within reach of a target.

    Whether the target is on the cube then shows in the cube itself.

    Parameters
    ----------
    targets
        Columns ``row``, ``ra``, ``dec``, ``pix16``, and ``wave`` if there are to be maps of a line.
    min_flag
        Cubes whose flag is smaller, or not a number, are left out.
    fields
        Names of the fields to use; all unless given.
    reach_arcsec
        From a cube's centre; the circle is closed.

    Raises
    ------
    InputError
        If the index has no cube of a field asked for.
    """
    of_fields = _of_fields(index, fields) if fields else np.ones(len(index), bool)
    # As it is stored: 0.9 is not less than 0.9.
    good = np.ones(len(index), bool) if min_flag is None else index["flag"] >= np.float32(min_flag)
    wanted = of_fields & good
    listed = index[wanted]
    ra, dec = np.asarray(targets["ra"], np.float64), np.asarray(targets["dec"], np.float64)
    target, cube, separation = within_radius(ra, dec, listed["ra_cen"], listed["dec_cen"], reach_arcsec)
    order = np.lexsort((targets["row"][target], cube))  # the index is in the order of shotid and ifuslot
    target, cube, separation = target[order], cube[order], separation[order]

    used, number, n_targets = np.unique(cube, return_inverse=True, return_counts=True)
    pairs = np.empty(len(target), TARGET_DTYPE)
    for name in ("shotid", "ifuslot"):
        pairs[name] = listed[name][cube]
    for name in ("row", "ra", "dec"):
        pairs[name] = targets[name][target]
    pairs["separation_arcsec"] = separation
    rest = np.setdiff1d(np.arange(len(ra)), target)
    pairs["epoch_group"] = epoch_groups(targets["row"], ra, dec)[target]
    pairs["wave"] = targets["wave"][target] if "wave" in targets else np.nan
    return CubePlan(
        listed[used],
        n_targets,
        pairs,
        _needed(targets["pix16"][target], pairs["epoch_group"], number),
        len(ra),
        len(np.unique(target)),
        len(index) - len(listed),
        _left_out(index, of_fields, good, {name: targets[name][rest] for name in ("row", "ra", "dec")}, reach_arcsec),
    )


def _left_out(
    index: Index, of_fields: Bools, good: Bools, targets: dict[str, Array], reach_arcsec: float
) -> NotSelected:
    """Return which cubes there are near targets that no selected cube is near.

    Parameters
    ----------
    of_fields, good : (n,) bool
        Whether a cube's field, and its flag, is as wanted; one of them is not, where one of these targets is near.
    """
    row, ra, dec = (targets[name] for name in ("row", "ra", "dec"))
    target, cube, _ = within_radius(ra, dec, index["ra_cen"], index["dec_cen"], reach_arcsec)
    field = np.char.decode(index["field"][cube], "latin-1")
    other, bad = ~of_fields[cube], ~good[cube]
    change: dict[str, Any] = {}
    if other.any():
        names = np.unique(field[other]).tolist()
        change["hetdex.fields"] = names if all(names) else None  # a cube that does not say its field is of none
    if bad.any():
        flag = np.where(np.isnan(index["flag"][cube]), -1, index["flag"][cube])
        best = np.full(len(row), -1.0)
        np.maximum.at(best, target[bad], flag[bad])
        least = best[np.unique(target[bad])].min()
        change["hetdex.min_flag"] = None if least < 0 else float(str(np.float32(least)))
    kinds = [
        f"{name or 'cubes without a field'}{' of smaller flag' if few else ''}"
        for name, few in zip(field.tolist(), bad.tolist(), strict=True)
    ]
    return NotSelected.of_pairs(zip(row[target].tolist(), kinds, strict=True), change)


def _of_fields(index: Index, fields: Sequence[str]) -> Bools:
    """Tell which cubes are of the fields; fail if a field has none."""
    known = sorted(name.decode("latin-1") for name in np.unique(index["field"]).tolist() if name)
    absent = [name for name in fields if name not in known]
    if absent:
        has = f"it has {', '.join(known)}" if known else "its column field is missing or empty"
        raise InputError(f"hetdex.fields: found {', '.join(absent)}, of which the release lists no cube; {has}")
    return np.isin(index["field"], [name.encode() for name in fields])


def _needed(pix16: Ints, group: Ints, cube: Ints) -> Ints:
    """Return which cubes each NSIDE=16 pixel needs: all those of the sources that its targets are observations of.

    A source's observations may lie on two sides of an edge. To count them, either side needs the cubes of both.

    Parameters
    ----------
    pix16, group, cube : (n,) int64
        Pixel, epoch group and cube of each (target, cube) pair.
    """
    of_group = np.unique(np.stack([group, cube], axis=1), axis=0)
    in_pixel = np.unique(np.stack([group, pix16], axis=1), axis=0)
    i, j = equal_ids(in_pixel[:, 0], of_group[:, 0])
    return np.unique(np.stack([in_pixel[i, 1], of_group[j, 1]], axis=1), axis=0)


def epoch_groups(row: Ints, ra: Floats, dec: Floats, radius_arcsec: float = SAME_SOURCE) -> Ints:
    """Return which targets are the same source: friends of friends within the radius.

    Parameters
    ----------
    row : (n,) int64
        CSV rows, each once.
    ra, dec : (n,) float64, degrees
    radius_arcsec
        Two positions so near each other, or nearer, are friends.

    Returns
    -------
    (n,) int64
        The smallest CSV row of the group that each target belongs to.
    """
    places, place = np.unique(np.stack([ra, dec], axis=1), axis=0, return_inverse=True)  # some CSVs repeat positions
    ra, dec = places.T
    i, j, _ = within_radius(ra, dec, ra, dec, radius_arcsec)
    group = np.arange(len(places))
    # Every place is linked to the smaller group of a friend; a link's own link is a shorter way. Links go down only.
    while (group[i] != group[j]).any():
        np.minimum.at(group, group[i], group[j])
        group = group[group]
    smallest = np.full(len(places), np.iinfo(np.int64).max)
    np.minimum.at(smallest, group[place], row)
    return np.asarray(smallest[group[place]])


def write_plan(plan: CubePlan, directory: Path, release: Release, root: str) -> None:
    """Write the plan's files.

    ``plan.csv`` has a row per cube: ``shotid,ifuslot,n_targets,in_2017`` (1 for shots of 2017, else 0).
    ``plan_pixels.csv`` has a row per pair of an NSIDE=16 pixel of targets and a cube that it needs:
    ``pix16,shotid,ifuslot,digest``. The digest is of all targets of the cube, of its seeing, and of what the index says
    of its content, so that a cube is read again only when these have changed. ``plan_targets.npy``: `TARGET_DTYPE`.
    ``plan_cubes.npy``: the index's rows of the planned cubes, `skyharvest.surveys.hetdex.index.CUBE_DTYPE`.
    ``urls.txt``: address or path of each cube, in the order of ``plan.csv``. ``plan_not_selected.json``:
    `skyharvest.harvest.not_selected`.
    """
    shotid, ifuslot = plan.cubes["shotid"], plan.cubes["ifuslot"].astype(str)
    in_2017 = (shotid < AFTER_2017).astype(np.int64)
    write_columns(
        directory / "plan.csv",
        ("shotid", "ifuslot", "n_targets", "in_2017"),
        (shotid, ifuslot, plan.n_targets, in_2017),
    )
    ends = np.cumsum(plan.n_targets)
    starts = ends - plan.n_targets
    spans = zip(starts.tolist(), ends.tolist(), strict=True)
    seeing, content = plan.cubes["fwhm_virus"], plan.cubes[CONTENT].tolist()
    digests = np.array([_digest(plan.targets[a:b], seeing[k], content[k]) for k, (a, b) in enumerate(spans)], str)
    pix16, cube = plan.needed.T
    write_columns(
        directory / "plan_pixels.csv",
        ("pix16", "shotid", "ifuslot", "digest"),
        (pix16, shotid[cube], ifuslot[cube], digests[cube]),
    )
    write_array(directory / "plan_targets.npy", plan.targets)
    write_array(directory / "plan_cubes.npy", plan.cubes)
    write_not_selected(plan.left_out, directory)
    with atomic_path(directory / "urls.txt") as temporary:
        paths = (release.cube(*cube) for cube in zip(shotid.tolist(), ifuslot.tolist(), strict=True))
        temporary.write_text("".join(f"{root}/{path}\n" for path in paths), encoding="utf-8")


def _digest(targets: Array, seeing: np.float32, content: bytes) -> str:
    """Return 16 hex digits of what was given: the separation is calculated, on each kind of processor a bit apart."""
    digest = hashlib.blake2b(seeing.tobytes() + content, digest_size=8)
    for name in ("row", "ra", "dec", "epoch_group", "wave"):
        digest.update(targets[name].tobytes())
    return digest.hexdigest()


def targets_of_cube(path: Path, shotid: int, ifuslot: str) -> Array:
    """Return the rows of ``plan_targets.npy`` for one cube, reading little more than those."""
    return rows_where(path, TARGET_DTYPE, ("shotid", "ifuslot"), (shotid, ifuslot.encode()))


def cube_of_plan(path: Path, shotid: int, ifuslot: str) -> np.void:
    """Return the row of ``plan_cubes.npy`` for one cube, a record of `skyharvest.surveys.hetdex.index.CUBE_DTYPE`.

    Raises
    ------
    InputError
        If the cube is not planned.
    """
    rows = rows_where(path, CUBE_DTYPE, ("shotid", "ifuslot"), (shotid, ifuslot.encode()))
    if len(rows) != 1:
        raise InputError(f"{path}: cube {shotid}_{ifuslot} is not in the plan: run `snakemake plan` again")
    row: np.void = rows[0]
    return row


def summary(plan: CubePlan, root: str) -> str:
    """Return the table that `snakemake plan` shows: coverage, cubes, bytes to move, and cubes per field.

    Parameters
    ----------
    root
        Where the cubes are read from: nothing moves from a directory.
    """
    in_2017 = plan.cubes["shotid"] < AFTER_2017
    cost = f"about {size_in_words(len(plan.cubes) * CUBE_BYTES, 0)}, none of which is kept" if is_url(root) else "none"
    n_left_out = len(plan.left_out.rows)
    lines = [
        f"targets           {plan.n_accepted:>9,}",
        f"  covered         {plan.n_covered:>9,}    (within {REACH:g} arcsec of a cube's centre)",
        f"  not selected    {n_left_out:>9,}    (only of cubes that hetdex.fields or hetdex.min_flag leaves out)",
        f"  not covered     {plan.n_accepted - plan.n_covered - n_left_out:>9,}",
        f"cubes to read     {len(plan.cubes):>9,}",
        f"  of 2017         {in_2017.sum():>9,}",
        f"cubes left out    {plan.n_left_out:>9,}    (of the whole index, for their flag or field)",
        f"bytes to move     {cost}",
        "",
        f"{'field':<20}{'cubes':>9}{'targets':>10}",
    ]
    field = np.repeat(plan.cubes["field"], plan.n_targets)
    for name in np.unique(plan.cubes["field"]).tolist():
        n_targets = len(np.unique(plan.targets["row"][field == name]))
        shown = name.decode("latin-1") or "(not said)"
        lines.append(f"{shown:<20}{(plan.cubes['field'] == name).sum():>9,}{n_targets:>10,}")
    if n_left_out:
        lines += ["", sentence(n_left_out, plan.left_out.totals())]
    return "\n".join(lines)
