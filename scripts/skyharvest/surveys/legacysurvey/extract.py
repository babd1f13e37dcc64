"""Cut the targets of one brick of the Legacy Surveys out of its images, and out of its neighbours' where they run on.

A cutout has the pixels of the *home* brick, the one whose box holds the target, around the one that the target is on.
Pixels off the home brick's image are the nearest ones of a neighbour, the first by name that has them in that band;
what no file has is padded: NaN, -1 for bits and counts (`skyharvest.surveys.legacysurvey.images.NOT_READ`), 0 for
inverse variances. Nothing is interpolated.

Layout of an extracted file (n cutouts, by CSV row; b bands; size x size pixels (y, x)):

=====================================  ====================================================================
``row``, ``ra``, ``dec``               (n,) CSV row and its position, degrees
``x``, ``y``                           (n,) float64 pixels of the home brick's image, 0-based
``x0``, ``y0``                         (n,) int64 the cutout's first pixel on it, < 0 where it begins off it
``n_bricks``                           (n,) bricks that its pixels are of
``band``                               (b,) the bands' letters
``coverage``                           (n, b) share of the cutout's pixels that a brick's image has
``image``, ``invvar``, ``model``, …    (n, b, size, size) as in the bricks: float32 nanomaggy, nanomaggy^-2, …
``maskbits``                           (n, size, size) integers
``maskbits_read``                      (n,) bool: whether the maskbits files of all its bricks were read
``image_read``, ``invvar_read``, …     (n, b) ditto, of the other products
``wcs``                                attributes: the home brick's celestial axes (CRPIX of the whole image)
``targets/row``                        (m,) every target of the brick
``targets/n_spectra``                  (m,) 1 where it has a cutout
``targets/nearest_arcsec``             (m,) from the brick's centre
``targets/n_bands``                    (m,) bands with data in its cutout
``targets/n_without_maskbits``         (m,) 1 where it has a cutout that lacks maskbits which were asked for
``file``, ``files/…``                  (n,) 0; every file, the home brick's first, which are of the kind ``brick``; the
                                       others are ``neighbour``: `skyharvest.harvest.extracted`
``files/brickname, product, band``     which image it is
=====================================  ====================================================================

A target has a cutout if some pixel of it has data: an image's value with an inverse variance above 0; of products
without these two, the first one's value that is neither 0 nor padding. Bits alone are data everywhere.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from skyharvest import __version__
from skyharvest.archive.archive import Archive, is_url
from skyharvest.archive.download import downloaded
from skyharvest.core.arrays import Array, Ints
from skyharvest.formats import hdf5
from skyharvest.harvest.extracted import Files, write_files
from skyharvest.sky.matching import separation_deg
from skyharvest.surveys.legacysurvey.about import SURVEY
from skyharvest.surveys.legacysurvey.brick_images import BrickFiles, BrickImages, UnusableImage
from skyharvest.surveys.legacysurvey.cutouts import (
    Cutout,
    bands_with_data,
    fetch_tiles,
    files_read,
    lay_out,
    padded_cutouts,
    read_cutouts,
)
from skyharvest.surveys.legacysurvey.images import PRODUCTS
from skyharvest.surveys.legacysurvey.release import Release
from skyharvest.surveys.legacysurvey.wanted_cutouts import WantedCutouts

FORMAT = "skyharvest extracted brick 3"
HELD_BYTES = 1 << 29  # of cutouts at once


@dataclass
class ExtractedBrick:
    """What became of a brick.

    Attributes
    ----------
    status
        ``read``, ``absent`` or ``unreadable``: the best of its own files.
    rows
        CSV rows with a cutout.
    """

    status: str
    rows: tuple[int, ...] = ()


def extract_brick(
    archive: Archive,
    release: Release,
    images: Array,
    targets: Array,
    out: Path,
    *,
    wanted: WantedCutouts,
    request: str,
    scratch: Path,
) -> ExtractedBrick:
    """Cut out all targets of a brick into one file.

    Parameters
    ----------
    images
        Rows of ``plan_bricks.npy``, `skyharvest.surveys.legacysurvey.plan.IMAGE_DTYPE`: the home brick, then its
        neighbours.
    targets
        The home brick's rows of ``plan_targets.npy``.
    request
        Digest of all this, from `request_of`, which the file keeps.
    scratch
        Where to download to, with ``whole_files``: a directory for this brick alone, for its neighbours' jobs would
        remove the files that they share. It is gone afterwards, unless something broke off in it.

    Raises
    ------
    ArchiveUnavailable, ArchiveRefused
        Never recorded: the brick fails, and the next run tries again.
    """
    bricks = [BrickFiles(release, image, wanted) for image in images]
    with ExitStack() as stack:
        place = archive
        if wanted.whole_files and is_url(archive.root):
            stack.callback(_remove_empty, scratch)
            place = stack.enter_context(downloaded(archive, [brick.directory for brick in bricks], scratch))
        home, *others = (stack.enter_context(BrickImages(brick, place, wanted)) for brick in bricks)
        home.open()
        cutouts: list[Cutout] = []
        if home.sky is not None:
            cutouts = lay_out(home, targets, wanted.size)
        if not all(cutout.is_whole for cutout in cutouts):
            for other in others:
                other.open()
        # A file that turns out to be bad is left out, and the others are gone through once more.
        while True:
            for cutout in cutouts:
                cutout.look_elsewhere(home, others, wanted.firsts)
            try:
                with hdf5.create(out, sealed=True) as file:
                    file.attrs["request"] = request
                    file.attrs["unit"] = f"{targets['region'][0].decode()}_{targets['brickname'][0].decode()}"
                    rows = _write(file, home, others, cutouts=cutouts, targets=targets, wanted=wanted)
                break
            except UnusableImage as bad:
                bad.of.drop(bad.layer, bad.reason)
                cutouts = cutouts if home.images else []
    return ExtractedBrick(home.status, rows)


def _remove_empty(directory: Path) -> None:
    """Remove what is empty of a tree of directories; what broke off may be in it, to be resumed."""
    for path, _, _ in os.walk(directory, topdown=False):
        with suppress(OSError):
            Path(path).rmdir()


def request_of(images: Array, targets: Array, wanted: WantedCutouts) -> str:
    """Return 16 hex digits of what a brick's file has to be made for; see `extract_brick`."""
    digest = hashlib.blake2b(f"{FORMAT} {wanted.size} {wanted.bands} {wanted.products}".encode(), digest_size=8)
    for array, names in ((images, ("region", "brickname", "bands")), (targets, ("row", "ra", "dec"))):
        for name in names:
            digest.update(array[name].tobytes())
    return digest.hexdigest()


def _write(
    file: h5py.File,
    home: BrickImages,
    others: Sequence[BrickImages],
    *,
    cutouts: Sequence[Cutout],
    targets: Array,
    wanted: WantedCutouts,
) -> tuple[int, ...]:
    """Write the file, and return the rows that have a cutout."""
    file.attrs["format"] = FORMAT
    file.attrs["skyharvest_version"] = __version__
    n_bands, lacks_bits = np.zeros(len(targets), np.int64), np.zeros(len(targets), bool)
    if cutouts:
        n_bands = _write_cutouts(file, home, cutouts, wanted)
        if "maskbits" in wanted.products:
            lacks_bits = ~files_read(cutouts, home, wanted)["maskbits"]
    else:
        _append(file, padded_cutouts(0, wanted))  # what they would be
    has_image = n_bands > 0
    names = ("row", "ra", "dec")
    for name, unit in zip(names, (None, "deg", "deg"), strict=True):
        hdf5.write_column(file, name, targets[name][has_image], unit=unit)
    hdf5.write_column(file, "band", np.array([band.encode() for band in wanted.bands], "S1"))
    of_target = file.create_group("targets")
    hdf5.write_column(of_target, "row", targets["row"])
    hdf5.write_column(of_target, "n_spectra", has_image.astype(np.int64))
    away = separation_deg(*home.brick.centre, targets["ra"], targets["dec"]) * 3600
    hdf5.write_column(of_target, "nearest_arcsec", away, unit="arcsec")
    hdf5.write_column(of_target, "n_bands", n_bands)
    hdf5.write_column(of_target, "n_without_maskbits", (has_image & lacks_bits).astype(np.int64))
    hdf5.write_column(file, "file", np.zeros(int(has_image.sum()), np.int32))
    _write_files(file, home, others, len(targets))
    return tuple(targets["row"][has_image].tolist())


def _write_files(file: h5py.File, home: BrickImages, others: Sequence[BrickImages], n_targets: int) -> None:
    """Write what became of every file."""
    asked = [(brick, layer, *state) for brick in (home, *others) for layer, state in brick.states.items()]
    files = Files(
        path=[brick.brick.paths[layer] for brick, layer, _, _ in asked],
        kind=[SURVEY.kind if brick is home else (SURVEY.name, "neighbour") for brick, *_ in asked],
        status=[status for *_, status, _ in asked],
        reason=[reason for *_, reason in asked],
        beside=[""] * len(asked),
        n_searched=[n_targets] * len(asked),
    )
    own = {
        "brickname": [brick.brick.name for brick, *_ in asked],
        "product": [product for _, (product, _), *_ in asked],
        "band": [band for _, (_, band), *_ in asked],
    }
    write_files(file, files, {name: np.array(values, object) for name, values in own.items()})


def _write_cutouts(file: h5py.File, home: BrickImages, cutouts: Sequence[Cutout], wanted: WantedCutouts) -> Ints:
    """Write the images, and return how many bands of each target's cutout have data."""
    assert home.sky is not None
    n_layers, size = len(wanted.layers), wanted.size
    step = max(1, HELD_BYTES // (4 * n_layers * size**2))
    n_bands = np.zeros(len(cutouts), np.int64)
    columns: list[dict[str, Array]] = []
    for first in range(0, len(cutouts), step):
        some = cutouts[first : first + step]
        fetch_tiles(some, home)
        arrays, coverage = read_cutouts(some, home, wanted)
        has = bands_with_data(arrays, wanted)
        n_bands[first : first + step] = has.sum(axis=1)
        has_image = has.any(axis=1)
        _append(file, {product: values[has_image] for product, values in arrays.items()})
        names = ("x", "y", "x0", "y0", "n_bricks")
        of_some = {name: np.array([getattr(cutout, name) for cutout in some])[has_image] for name in names}
        read = {f"{product}_read": is_read[has_image] for product, is_read in files_read(some, home, wanted).items()}
        columns.append(of_some | {"coverage": coverage[has_image]} | read)
    for name in columns[0]:
        unit = "pixel" if name in ("x", "y", "x0", "y0") else None
        hdf5.write_column(file, name, np.concatenate([part[name] for part in columns]), unit=unit)
    cards = {key: value for key, value in home.sky.cards.items() if value is not None}
    file.create_group("wcs").attrs.update(cards | {"RADESYS": "ICRS"})
    return n_bands


def _append(file: h5py.File, arrays: Mapping[str, Array]) -> None:
    """Add cutouts to the datasets of their products; a chunk is one image."""
    for product, values in arrays.items():
        if product in file and np.promote_types(file[product].dtype, values.dtype) != file[product].dtype:
            # A file of another type, of a neighbour, came later.
            values = np.concatenate([file[product][:], values])  # noqa: PLW2901
            del file[product]
        if product not in file:
            lead = values.ndim - 2
            file.create_dataset(
                product,
                (0, *values.shape[1:]),
                values.dtype,
                maxshape=(None, *values.shape[1:]),
                chunks=(1,) * lead + values.shape[lead:],
                **hdf5.GZIP,
            )
            if PRODUCTS[product].unit:
                file[product].attrs["unit"] = PRODUCTS[product].unit
        dataset = file[product]
        n = len(dataset)
        dataset.resize(n + len(values), axis=0)
        dataset[n:] = values
