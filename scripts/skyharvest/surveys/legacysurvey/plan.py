"""Which bricks of the Legacy Surveys to read for which targets: each target's own, and those that its cutout runs into.

A *cutout* is ``size`` pixels square, on the pixels of the target's home brick, which is the one whose box holds it. The
images are larger than their boxes: a cutout runs off the home brick's only near an edge.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skyharvest.archive.archive import is_url
from skyharvest.core.arrays import Array, Floats, Ints
from skyharvest.core.atomic import atomic_path
from skyharvest.core.csv_file import write_columns
from skyharvest.core.errors import InputError
from skyharvest.core.words import size_in_words
from skyharvest.formats.npy_rows import rows_where, write_array
from skyharvest.harvest.not_selected import NotSelected, sentence, write_not_selected
from skyharvest.surveys.legacysurvey.bricks import BRICK_DTYPE, Bricks, home_bricks
from skyharvest.surveys.legacysurvey.images import FILE_BYTES
from skyharvest.surveys.legacysurvey.neighbours import neighbours
from skyharvest.surveys.legacysurvey.release import Release
from skyharvest.surveys.legacysurvey.settings import Settings

TARGET_DTYPE = np.dtype([("region", "S5"), ("brickname", "S8"), ("row", "i8"), ("ra", "f8"), ("dec", "f8")])
"""A row per target in a brick, sorted by region, brickname, CSV row; ``ra``, ``dec`` in degrees. Jobs find their
targets in it by bisection."""

IMAGE_DTYPE = np.dtype([("home", "S8"), *((name, BRICK_DTYPE[name]) for name in BRICK_DTYPE.names or ())])
"""A row per brick that the job of the brick ``home``, of the same region, may read: first ``home`` itself, then its
neighbours by name. Sorted by region, home. ``bands`` are those of them that are wanted."""

LARGEST = 3600  # pixels: side of a cutout; a brick's image is as large
TILE = 100  # pixels: side of a compressed image's tile
HEADER_BYTES = 52_000  # header, and table of 1,296 tiles with two descriptors, scale and zero
FILE_TILES = 36 * 36


@dataclass(frozen=True)
class BrickPlan:
    """What to read.

    Attributes
    ----------
    bricks : structured array of `skyharvest.surveys.legacysurvey.bricks.BRICK_DTYPE`
        Home bricks, one per line of ``plan.csv``, sorted by region, then brickname; ``bands`` are those of them that
        are wanted.
    n_targets : (len(bricks),) int64
        Targets in each brick's box.
    targets : structured array of `TARGET_DTYPE`
    images : structured array of `IMAGE_DTYPE`
    needed : (n, 2) int64
        NSIDE=16 pixel of targets, number of a brick that it needs; sorted.
    n_accepted, n_covered
        Targets in all, and those with a home brick.
    left_out
        Targets in bricks that have none of the bands.
    size, bands, products
        As given to `make_plan`.
    """

    bricks: Bricks
    n_targets: Ints
    targets: Array
    images: Array
    needed: Ints
    n_accepted: int
    n_covered: int
    left_out: NotSelected
    size: int
    bands: tuple[str, ...]
    products: tuple[str, ...]


def make_plan(
    bricks: Bricks, targets: dict[str, Array], *, size: int, bands: Sequence[str], products: Sequence[str]
) -> BrickPlan:
    """Find each target's home brick, and the neighbours that its cutout may need.

    Parameters
    ----------
    bricks
        Of all regions of the release, from `skyharvest.surveys.legacysurvey.bricks.cached_bricks`.
    targets
        Columns ``row``, ``ra``, ``dec``, ``pix16``.
    bands
        Letters; a brick without any of them is as none.
    products
        ``image``, ``invvar``, …; all but ``maskbits`` are one file per band.

    Raises
    ------
    InputError
        If the size is not from 1 to `LARGEST`.
    """
    if not 1 <= size <= LARGEST:
        raise InputError(f"a cutout of {size} pixels: expected 1 to {LARGEST}; correct legacysurvey.size")
    listed = bricks[np.lexsort((bricks["brickname"], bricks["region"]))]
    usable = listed.copy()
    usable["bands"] = _wanted_bands(listed, bands)
    usable = np.asarray(usable[usable["bands"] != b""])
    ra, dec = np.asarray(targets["ra"], np.float64), np.asarray(targets["dec"], np.float64)
    home = home_bricks(usable, ra, dec)
    target = np.flatnonzero(home >= 0)
    target = target[np.lexsort((targets["row"][target], home[target]))]
    used, number, n_targets = np.unique(home[target], return_inverse=True, return_counts=True)

    planned = np.empty(len(target), TARGET_DTYPE)
    for name in ("region", "brickname"):
        planned[name] = usable[name][home[target]]
    for name in ("row", "ra", "dec"):
        planned[name] = targets[name][target]
    at, other = neighbours(usable, home[target], ra[target], dec[target], size)
    pairs = np.stack([np.concatenate([number[at], np.arange(len(used))]), np.concatenate([other, used])], axis=1)
    return BrickPlan(
        usable[used],
        n_targets,
        planned,
        _images(usable, used, np.unique(pairs, axis=0)),
        np.unique(np.stack([targets["pix16"][target], number], axis=1), axis=0),
        len(ra),
        len(target),
        _left_out(listed, targets["row"][home < 0], ra[home < 0], dec[home < 0]),
        size,
        tuple(bands),
        tuple(products),
    )


def _left_out(bricks: Bricks, row: Ints, ra: Floats, dec: Floats) -> NotSelected:
    """Return in which bands targets, (n,), that are in no brick with wanted bands have bricks."""
    listed = bricks[bricks["bands"] != b""]
    home = home_bricks(listed, ra, dec)
    letters = listed["bands"][home[home >= 0]].astype(str).tolist()
    pairs = zip(row[home >= 0].tolist(), (f"bricks with {of_brick}" for of_brick in letters), strict=True)
    return NotSelected.of_pairs(pairs, {"legacysurvey.bands": sorted({*"".join(letters)})})


def _wanted_bands(bricks: Bricks, bands: Sequence[str]) -> npt.NDArray[np.bytes_]:
    """Return the letters of the bands that are wanted and there."""
    letters = np.zeros(len(bricks), "S8")
    for band in bands:
        has_band = np.char.find(bricks["bands"], band.encode()) >= 0
        letters = np.where(has_band, np.char.add(letters, band.encode()), letters)
    return letters


def _images(bricks: Bricks, homes: Ints, pairs: Ints) -> Array:
    """Return the rows of pairs of a number in ``homes`` and a brick; each home brick before its neighbours."""
    home, brick = pairs.T
    order = np.lexsort((brick, brick != homes[home], home))
    images = np.empty(len(pairs), IMAGE_DTYPE)
    images["home"] = bricks["brickname"][homes[home[order]]]
    for name in BRICK_DTYPE.names or ():
        images[name] = bricks[name][brick[order]]
    return images


def write_plan(
    plan: BrickPlan, directory: Path, release: Release, root: str, *, transfer: str = Settings.transfer
) -> None:
    """Write the plan's files.

    ``plan.csv`` has a row per home brick: ``region,brickname,n_targets,bands``. ``plan_pixels.csv`` has a row per pair
    of an NSIDE=16 pixel of targets and a brick that it needs: ``pix16,region,brickname,digest``. The digest is of all
    targets of the brick, and of the bricks and bands that may be read for them, so that a brick is read again only when
    these have changed. ``plan_targets.npy``: `TARGET_DTYPE`. ``plan_bricks.npy``: `IMAGE_DTYPE`. ``urls.txt``: address
    or path of each file that may be read, once, in the order of ``plan_bricks.npy``.

    Parameters
    ----------
    transfer
        ``files`` are verified: then the files of checksums are listed, too.
    """
    region, brickname = (plan.bricks[name].astype(str) for name in ("region", "brickname"))
    write_columns(
        directory / "plan.csv",
        ("region", "brickname", "n_targets", "bands"),
        (region, brickname, plan.n_targets, plan.bricks["bands"].astype(str)),
    )
    digests = np.array(list(_digests(plan)), str)
    pix16, brick = plan.needed.T
    write_columns(
        directory / "plan_pixels.csv",
        ("pix16", "region", "brickname", "digest"),
        (pix16, region[brick], brickname[brick], digests[brick]),
    )
    write_array(directory / "plan_targets.npy", plan.targets)
    write_array(directory / "plan_bricks.npy", plan.images)
    write_not_selected(plan.left_out, directory)
    with atomic_path(directory / "urls.txt") as temporary, temporary.open("w", encoding="utf-8") as out:
        out.writelines(f"{root}/{path}\n" for path in _paths(plan, release, with_checksums=transfer == "files"))


def _digests(plan: BrickPlan) -> Iterator[str]:
    """Yield 16 hex digits for each home brick."""
    firsts = np.flatnonzero(plan.images["home"] == plan.images["brickname"])
    images = np.split(plan.images[["brickname", "bands"]], firsts[1:])
    targets = np.split(plan.targets[["row", "ra", "dec"]], np.cumsum(plan.n_targets)[:-1])
    for of_brick in zip(images, targets, strict=True) if len(plan.bricks) else ():
        digest = hashlib.blake2b(digest_size=8)
        for rows in of_brick:
            for name in rows.dtype.names or ():
                digest.update(rows[name].tobytes())
        yield digest.hexdigest()


def _paths(plan: BrickPlan, release: Release, *, with_checksums: bool) -> Iterator[str]:
    """Yield the path of each file once."""
    _, first = np.unique(plan.images[["region", "brickname"]], return_index=True)
    for image in plan.images[np.sort(first)]:
        region, brickname = image["region"].decode(), image["brickname"].decode()
        if with_checksums:
            yield release.checksums(region, brickname)
        for product in plan.products:
            for band in (None,) if product == "maskbits" else image["bands"].decode():
                yield release.product(region, brickname, product, band)


def targets_of_brick(path: Path, region: str, brickname: str) -> Array:
    """Return the rows of ``plan_targets.npy`` for one brick, reading little more than those."""
    return rows_where(path, TARGET_DTYPE, ("region", "brickname"), (region.encode(), brickname.encode()))


def bricks_of_plan(path: Path, region: str, brickname: str) -> Array:
    """Return the rows of ``plan_bricks.npy`` for one home brick: first its own, then its neighbours'.

    Raises
    ------
    InputError
        If the brick is not planned.
    """
    rows = rows_where(path, IMAGE_DTYPE, ("region", "home"), (region.encode(), brickname.encode()))
    if len(rows) == 0:
        raise InputError(f"{path}: brick {region}_{brickname} is not in the plan: run `snakemake plan` again")
    return rows


def summary(plan: BrickPlan, root: str, *, transfer: str = Settings.transfer) -> str:
    """Return the table that `snakemake plan` shows: coverage, bricks, bytes to move, and bricks by region and band.

    Parameters
    ----------
    root
        Where the files are read from: nothing moves from a directory.
    transfer
        ``rows`` moves the tiles that the cutouts need; ``files`` moves whole files.
    """
    n_bricks, n_left_out = len(plan.bricks), len(plan.left_out.rows)
    if not is_url(root):
        cost = "none"
    elif transfer == "files":
        cost = f"about {size_in_words(bytes_to_read(plan, transfer))}, none of which is kept"
    else:
        cost = f"about {size_in_words(bytes_to_read(plan, transfer))}"
        cost += f"    (whole files: {size_in_words(bytes_to_read(plan, 'files'))})"
    lines = [
        f"targets           {plan.n_accepted:>9,}",
        f"  covered         {plan.n_covered:>9,}    (in the box of a brick)",
        f"  not selected    {n_left_out:>9,}    (in a brick without any of these bands)",
        f"  not covered     {plan.n_accepted - plan.n_covered - n_left_out:>9,}",
        f"bricks to read    {n_bricks:>9,}",
        f"  with neighbours {_n_with_neighbours(plan):>9,}    (for cutouts across an edge)",
        f"files             {n_files(plan):>9,}",
        f"bytes to move     {cost}",
        "",
        f"{'region':<20}{'bricks':>9}{'targets':>10}" + "".join(f"{band:>9}" for band in plan.bands),
    ]
    for region in np.unique(plan.bricks["region"]).tolist():
        here = plan.bricks["region"] == region
        counts = [(np.char.find(plan.bricks["bands"][here], band.encode()) >= 0).sum() for band in plan.bands]
        lines.append(
            f"{region.decode():<20}{here.sum():>9,}{plan.n_targets[here].sum():>10,}"
            + "".join(f"{count:>9,}" for count in counts)
        )
    if n_left_out:
        lines += ["", sentence(n_left_out, plan.left_out.totals())]
    return "\n".join(lines)


def _n_with_neighbours(plan: BrickPlan) -> int:
    is_neighbour = plan.images["home"] != plan.images["brickname"]
    return len(np.unique(plan.images[is_neighbour][["region", "home"]]))


def n_files(plan: BrickPlan) -> int:
    """Return how many files may be read; one that several bricks' jobs read counts for each."""
    return int(sum(_n_files(plan, product).sum() for product in plan.products))


def bytes_to_read(plan: BrickPlan, transfer: str) -> int:
    """Return about how many bytes are read: with ``rows`` the tiles that cutouts need, with ``files`` whole files."""
    if transfer == "files":
        return _bytes(plan, 1.0)
    return _bytes(plan, _share_of_tiles(plan), HEADER_BYTES)


def _n_files(plan: BrickPlan, product: str) -> Ints:
    """Return how many files of a product each row of ``plan.images`` has."""
    n_bands = np.char.str_len(plan.images["bands"])
    return np.ones_like(n_bands) if product == "maskbits" else n_bands


def _share_of_tiles(plan: BrickPlan) -> Floats:
    """Return which share of its tiles is read of each row of ``plan.images``, for targets that lie anywhere in a brick.

    What a cutout has of a neighbour, it does not have of the home brick.
    """
    of_cutout = min(1.0, (1 + (plan.size - 1) / TILE) ** 2 / FILE_TILES)
    is_home = plan.images["home"] == plan.images["brickname"]
    share = np.zeros(len(plan.images))
    share[is_home] = 1 - (1 - of_cutout) ** plan.n_targets
    return share


def _bytes(plan: BrickPlan, share: Floats | float, once: int = 0) -> int:
    """Return the bytes of a share of each file, and of what is read of it anyhow."""
    return int(sum((_n_files(plan, name) * (once + share * FILE_BYTES[name])).sum() for name in plan.products))
