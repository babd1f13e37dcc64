"""Cut the targets of one brick of the Legacy Surveys out of its images, and out of its neighbours' where they run on.

A cutout has the pixels of the *home* brick, the one whose box holds the target, around the one that the target is on.
Pixels off the home brick's image are the nearest ones of a neighbour, the first by name that has them in that band;
what no brick has is padded: NaN, or 0 for inverse variances, counts and bits. Nothing is interpolated.

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
``wcs``                                attributes: the home brick's celestial axes (CRPIX of the whole image)
``targets/row``                        (m,) every target of the brick
``targets/n_spectra``                  (m,) 1 where it has a cutout
``targets/nearest_arcsec``             (m,) from the brick's centre
``targets/n_bands``                    (m,) bands with data in its cutout
``file``, ``files/…``                  (n,) 0; every file, the home brick's first, which are of the kind ``brick``; the
                                       others are ``neighbour``: `skyharvest.harvest.extracted`
``files/brickname, product, band``     which image it is
=====================================  ====================================================================

A target has a cutout if some pixel of it has data: an image's value with an inverse variance above 0; of products
without these two, the first one's value that is neither 0 nor NaN. Bits alone are data everywhere.
"""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from skyharvest import __version__
from skyharvest.archive.archive import Archive, is_url
from skyharvest.archive.download import downloaded
from skyharvest.core.errors import Absent, HarvestError, InputError, MalformedFile
from skyharvest.formats import hdf5
from skyharvest.formats.tangent_plane import Sky
from skyharvest.formats.tiled_image import Box, TiledImage
from skyharvest.harvest.extracted import Files, best, write_files
from skyharvest.sky.matching import separation_deg
from skyharvest.surveys.legacysurvey.about import SURVEY
from skyharvest.surveys.legacysurvey.images import PIXEL_ARCSEC, PRODUCTS
from skyharvest.surveys.legacysurvey.plan import LARGEST
from skyharvest.surveys.legacysurvey.release import Release
from skyharvest.surveys.legacysurvey.settings import Settings

log = logging.getLogger(__name__)

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

FORMAT = "skyharvest extracted brick 2"
SECOND_READING_S = 1.0  # between a malformed reading and the second one
HELD_BYTES = 1 << 29  # of cutouts at once
SAME_PIXEL = 1e-4  # pixels: two images of a brick are on one grid if they differ by no more

Layer = tuple[str, str]
"""Product and band; "" for the product that has no bands."""


@dataclass(frozen=True)
class WantedCutouts:
    """What to cut out.

    Attributes
    ----------
    size
        Side of a cutout, pixels.
    bands
        Letters; every cutout has all of them, those that a brick lacks are padded.
    products
        Names of `skyharvest.surveys.legacysurvey.images.PRODUCTS`.
    whole_files
        Download the files and verify them, instead of reading tiles.
    check_absence
        Called before a file is recorded as absent; raises if that is not to be believed.

    Raises
    ------
    InputError
        If the size is not from 1 to `skyharvest.surveys.legacysurvey.plan.LARGEST`.
    """

    size: int = Settings.size
    bands: tuple[str, ...] = ("g", "r", "i", "z")
    products: tuple[str, ...] = ("image", "invvar", "maskbits")
    whole_files: bool = False
    check_absence: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        """Check the size."""
        if not 1 <= self.size <= LARGEST:
            raise InputError(f"a cutout of {self.size} pixels: expected 1 to {LARGEST}; correct legacysurvey.size")

    @property
    def layers(self) -> list[Layer]:
        """Every product and band."""
        return [
            (product, band)
            for product in self.products
            for band in (self.bands if PRODUCTS[product].per_band else ("",))
        ]

    @property
    def firsts(self) -> dict[str, Layer]:
        """The first product of every band: the one whose pixels say what a brick has."""
        return {band: (product, band) for product, band in reversed(self.layers)}


@dataclass
class Extracted:
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
    images: npt.NDArray[Any],
    targets: npt.NDArray[Any],
    out: Path,
    *,
    wanted: WantedCutouts,
    request: str,
    scratch: Path,
) -> Extracted:
    """Cut out all targets of a brick into one file.

    Parameters
    ----------
    archive, release
        Where the images are.
    images
        Rows of ``plan_bricks.npy``, `skyharvest.surveys.legacysurvey.plan.IMAGE_DTYPE`: the home brick, then its
        neighbours.
    targets
        The home brick's rows of ``plan_targets.npy``.
    out
        The HDF5 file to write; its layout is the module's.
    wanted
        Size, bands, products.
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
    bricks = [_Brick(release, image, wanted) for image in images]
    with ExitStack() as stack:
        place = archive
        if wanted.whole_files and is_url(archive.root):
            stack.callback(_remove_empty, scratch)
            place = stack.enter_context(downloaded(archive, [brick.directory for brick in bricks], scratch))
        home, *others = (stack.enter_context(_Opened(brick, place, wanted)) for brick in bricks)
        home.open()
        cutouts: list[_Cutout] = []
        if home.sky is not None:
            cutouts = _lay_out(home, targets, wanted.size)
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
                    rows = _write(file, home, others, cutouts=cutouts, targets=targets, wanted=wanted)
                break
            except _Bad as bad:
                bad.of.drop(bad.layer, bad.reason)
                cutouts = cutouts if home.images else []
    return Extracted(home.status, rows)


def _remove_empty(directory: Path) -> None:
    """Remove what is empty of a tree of directories; what broke off may be in it, to be resumed."""
    for path, _, _ in os.walk(directory, topdown=False):
        with suppress(OSError):
            Path(path).rmdir()


def request_of(images: npt.NDArray[Any], targets: npt.NDArray[Any], wanted: WantedCutouts) -> str:
    """Return 16 hex digits of what a brick's file has to be made for; see `extract_brick`."""
    digest = hashlib.blake2b(f"{FORMAT} {wanted.size} {wanted.bands} {wanted.products}".encode(), digest_size=8)
    for array, names in ((images, ("region", "brickname", "bands")), (targets, ("row", "ra", "dec"))):
        for name in names:
            digest.update(array[name].tobytes())
    return digest.hexdigest()


class _Brick:
    """A brick's files: what the plan says is there."""

    def __init__(self, release: Release, image: np.void, wanted: WantedCutouts) -> None:
        region, self.name = image["region"].decode(), image["brickname"].decode()
        self.centre = float(image["ra"]), float(image["dec"])
        has = image["bands"].decode()
        self.paths: dict[Layer, str] = {
            (product, band): release.product(region, self.name, product, band or None)
            for product, band in wanted.layers
            if not band or band in has
        }
        self.directory = list(self.paths.values()), release.checksums(region, self.name)


class _Bad(Exception):
    """A file whose tiles cannot be read."""

    def __init__(self, of: "_Opened", layer: Layer, reason: str) -> None:
        super().__init__(reason)
        self.of, self.layer, self.reason = of, layer, reason


class _Opened:
    """A brick's images, opened."""

    def __init__(self, brick: _Brick, archive: Archive, wanted: WantedCutouts) -> None:
        self.brick, self._archive, self._wanted = brick, archive, wanted
        self.images: dict[Layer, TiledImage] = {}
        self.states: dict[Layer, tuple[str, str]] = {}  # status and reason of every file that was asked for
        self.sky: Sky | None = None
        self.shape = (0, 0)
        self._sources = ExitStack()

    def __enter__(self) -> "_Opened":
        return self

    def __exit__(self, *_: object) -> None:
        self._sources.close()

    @property
    def status(self) -> str:
        """The best that became of a file."""
        return best({status for status, _ in self.states.values()})

    def open(self) -> None:
        """Read the headers and tile tables of all files; those that are not there, or not good, are noted."""
        if is_url(self._archive.root):
            _ = self._archive.client  # made before there are threads
        with ThreadPoolExecutor(max(1, self._archive.connections)) as threads:
            opened = list(threads.map(self._open, self.brick.paths))
        found: dict[Layer, TiledImage] = {}
        for layer, image in zip(self.brick.paths, opened, strict=True):
            if isinstance(image, Absent):
                if self._wanted.check_absence:
                    self._wanted.check_absence()
                log.info("absent: %s", image)
                self.states[layer] = "absent", "not in the archive"
            elif isinstance(image, MalformedFile):
                self._note_unreadable(layer, str(image))
            elif wrong := self._misplaced(image):
                self._note_unreadable(layer, f"{image}: {wrong}")
            else:
                found[layer] = image
        self._keep_alike(found)

    def _open(self, layer: Layer) -> TiledImage | Absent | MalformedFile:
        path = self.brick.paths[layer]
        for again in (True, False):
            try:
                return TiledImage(self._sources.enter_context(self._archive.open(path)))
            except Absent as error:
                return error
            except MalformedFile as error:
                if not again:
                    return error
                log.warning("%s; reading it once more", error)
                time.sleep(SECOND_READING_S)
        raise AssertionError

    def _misplaced(self, image: TiledImage) -> str:
        """Return why an image cannot be this brick's."""
        if abs(image.sky.pixel_arcsec / PIXEL_ARCSEC - 1) > 0.01:
            return f"pixels of {image.sky.pixel_arcsec:.4g}″, expected {PIXEL_ARCSEC}″"
        ((x,), (y,)) = image.sky.pixels(*np.transpose([self.brick.centre]))
        if not (-0.5 <= x < image.shape[1] - 0.5 and -0.5 <= y < image.shape[0] - 0.5):
            ra, dec = self.brick.centre
            return f"the brick's centre, RA {ra:.5f}, Dec {dec:.5f}, is at x {x:.0f}, y {y:.0f}, off {image.shape}"
        return ""

    def _keep_alike(self, found: Mapping[Layer, TiledImage]) -> None:
        """Keep the images that are on the same pixels as most of them; of equally many, as the first."""
        alike: list[list[Layer]] = []
        for layer, image in found.items():
            same = next((some for some in alike if _same_pixels(found[some[0]], image)), None)
            if same is None:
                alike.append([layer])
            else:
                same.append(layer)
        most = max(alike, key=len, default=[])
        for layer, image in found.items():
            first = found[most[0]]
            if layer in most:
                self.images[layer] = image
                self.states[layer] = "read", ""
                self.sky, self.shape = first.sky, first.shape
            else:
                self._note_unreadable(
                    layer, f"{image}: its pixels, {image.shape}, are not those of {first}, {first.shape}"
                )

    def _note_unreadable(self, layer: Layer, reason: str) -> None:
        log.warning("unreadable: %s", reason)
        self.states[layer] = "unreadable", reason.replace(f"{self._archive.root}/", "")

    def drop_all(self, reason: str) -> None:
        """Leave out all images from now on."""
        for layer in list(self.images):
            self.drop(layer, f"{self.images[layer]}: {reason}")

    def drop(self, layer: Layer, reason: str) -> None:
        """Leave out an image from now on."""
        self._note_unreadable(layer, reason)
        del self.images[layer]

    def fetch(self, boxes: Mapping[Layer, Sequence[Box]]) -> None:
        """Read the tiles of boxes of several images, over all connections."""
        with ThreadPoolExecutor(max(1, self._archive.connections)) as threads:
            list(threads.map(lambda layer: self._try(layer, lambda image: image.fetch(boxes[layer])), boxes))

    def read(self, layer: Layer, boxes: Sequence[Box]) -> list[Array]:
        """Return boxes of an image."""
        found: list[Array] = self._try(layer, lambda image: image.read(boxes))
        kinds = PRODUCTS[layer[0]].kinds
        for array in found[:1]:
            if array.dtype.kind not in kinds:
                expected = "floating-point numbers" if kinds == "f" else "whole numbers"
                raise _Bad(self, layer, f"{self.images[layer]}: holds {array.dtype}, expected {expected}")
        return found

    def _try(self, layer: Layer, what: Callable[[TiledImage], Any]) -> Any:
        for again in (True, False):
            try:
                return what(self.images[layer])
            except MalformedFile as error:
                if not again:
                    raise _Bad(self, layer, str(error)) from error
                log.warning("%s; reading it once more", error)
                time.sleep(SECOND_READING_S)
                image = self._open(layer)
                if isinstance(image, HarvestError):
                    raise _Bad(self, layer, str(image)) from error
                self.images[layer] = image
        raise AssertionError


def _same_pixels(one: TiledImage, other: TiledImage) -> bool:
    """Tell whether two images are on the same pixels: whether their corners are."""
    height, width = one.shape
    corners = np.array([0, width - 1, 0, width - 1.0]), np.array([0, 0, height - 1, height - 1.0])
    at = other.sky.pixels(*one.sky.positions(*corners))
    return one.shape == other.shape and np.allclose(at, corners, rtol=0, atol=SAME_PIXEL)


@dataclass
class _Piece:
    """Pixels of a cutout in a band that are a neighbour's: where they are on the cutout, and on the neighbour."""

    of: _Opened
    band: str
    to: tuple[Ints, Ints]
    at: tuple[Ints, Ints]

    @property
    def box(self) -> Box:
        """The box of the neighbour that holds them."""
        y, x = self.at
        return int(y.min()), int(y.max()) + 1, int(x.min()), int(x.max()) + 1


@dataclass
class _Cutout:
    """Where the pixels of a cutout are."""

    x: float
    y: float
    x0: int
    y0: int
    size: int
    box: Box  # of the home brick
    pieces: list[_Piece] = field(default_factory=list)

    @property
    def to(self) -> tuple[slice, slice]:
        """Where the home brick's box is on the cutout."""
        y0, y1, x0, x1 = self.box
        return slice(y0 - self.y0, y1 - self.y0), slice(x0 - self.x0, x1 - self.x0)

    @property
    def is_whole(self) -> bool:
        """Whether the home brick has all of its pixels."""
        y0, y1, x0, x1 = self.box
        return (y1 - y0, x1 - x0) == (self.size, self.size)

    @property
    def n_bricks(self) -> int:
        """Bricks that its pixels are of."""
        return 1 + len({id(piece.of) for piece in self.pieces})

    def look_elsewhere(self, home: _Opened, others: Sequence[_Opened], firsts: Mapping[str, Layer]) -> None:
        """Find the pixels that the home brick does not have: in each band on the first other brick that has them."""
        self.pieces = []
        if self.is_whole:
            return
        assert home.sky is not None
        there = np.zeros((self.size, self.size), bool)
        there[self.to] = True
        y, x = np.nonzero(~there)
        ra, dec = home.sky.positions(x + self.x0, y + self.y0)
        left = {band: np.ones(len(x), bool) for band in firsts}
        for other in others:
            if other.sky is None:
                continue
            on_x, on_y = (np.floor(at + 0.5) for at in other.sky.pixels(ra, dec))
            inside = (on_x >= 0) & (on_x < other.shape[1]) & (on_y >= 0) & (on_y < other.shape[0])
            for band, first in firsts.items():
                its = inside & left[band]
                if first in other.images and its.any():
                    at = on_y[its].astype(np.int64), on_x[its].astype(np.int64)
                    self.pieces.append(_Piece(other, band, (y[its], x[its]), at))
                    left[band] &= ~its


def _lay_out(home: _Opened, targets: npt.NDArray[Any], size: int) -> list[_Cutout]:
    """Return where the targets' cutouts are; none, and no images, if a target of the brick's box is not on them."""
    assert home.sky is not None
    height, width = home.shape
    cutouts = []
    for x, y in zip(*(at.tolist() for at in home.sky.pixels(targets["ra"], targets["dec"])), strict=True):
        if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
            home.drop_all(
                f"the brick's box holds a target that the image, of {home.shape} pixels, does not: at x {x:.0f}, "
                f"y {y:.0f}. The table of bricks, or the image, is not what it says"
            )
            return []
        x0, y0 = (int(np.floor(at + 0.5)) - size // 2 for at in (x, y))
        box = max(y0, 0), min(y0 + size, height), max(x0, 0), min(x0 + size, width)
        cutouts.append(_Cutout(x, y, x0, y0, size, box))
    return cutouts


def _write(
    file: h5py.File,
    home: _Opened,
    others: Sequence[_Opened],
    *,
    cutouts: Sequence[_Cutout],
    targets: npt.NDArray[Any],
    wanted: WantedCutouts,
) -> tuple[int, ...]:
    """Write the file, and return the rows that have a cutout."""
    file.attrs["format"] = FORMAT
    file.attrs["skyharvest_version"] = __version__
    n_bands = np.zeros(len(targets), np.int64)
    if cutouts:
        n_bands = _write_cutouts(file, home, cutouts, wanted)
    if not cutouts:
        _append(file, _padded(0, wanted))  # what they would be
    found = n_bands > 0
    names = ("row", "ra", "dec")
    for name, unit in zip(names, (None, "deg", "deg"), strict=True):
        hdf5.write_column(file, name, targets[name][found], unit=unit)
    hdf5.write_column(file, "band", np.array([band.encode() for band in wanted.bands], "S1"))
    of_target = file.create_group("targets")
    hdf5.write_column(of_target, "row", targets["row"])
    hdf5.write_column(of_target, "n_spectra", found.astype(np.int64))
    away = separation_deg(*home.brick.centre, targets["ra"], targets["dec"]) * 3600
    hdf5.write_column(of_target, "nearest_arcsec", away, unit="arcsec")
    hdf5.write_column(of_target, "n_bands", n_bands)
    hdf5.write_column(file, "file", np.zeros(int(found.sum()), np.int32))
    _write_files(file, home, others, len(targets))
    return tuple(targets["row"][found].tolist())


def _write_files(file: h5py.File, home: _Opened, others: Sequence[_Opened], n_targets: int) -> None:
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


def _write_cutouts(file: h5py.File, home: _Opened, cutouts: Sequence[_Cutout], wanted: WantedCutouts) -> Ints:
    """Write the images, and return how many bands of each target's cutout have data."""
    assert home.sky is not None
    n_layers, size = len(wanted.layers), wanted.size
    step = max(1, HELD_BYTES // (4 * n_layers * size**2))
    n_bands = np.zeros(len(cutouts), np.int64)
    columns: list[dict[str, Array]] = []
    for first in range(0, len(cutouts), step):
        some = cutouts[first : first + step]
        _fetch(some, home)
        arrays, coverage = _read(some, home, wanted)
        has = _has_data(arrays, wanted)
        n_bands[first : first + step] = has.sum(axis=1)
        found = has.any(axis=1)
        _append(file, {product: values[found] for product, values in arrays.items()})
        names = ("x", "y", "x0", "y0", "n_bricks")
        of_some = {name: np.array([getattr(cutout, name) for cutout in some])[found] for name in names}
        columns.append(of_some | {"coverage": coverage[found]})
    for name in columns[0]:
        unit = None if name in ("n_bricks", "coverage") else "pixel"
        hdf5.write_column(file, name, np.concatenate([part[name] for part in columns]), unit=unit)
    cards = {key: value for key, value in home.sky.cards.items() if value is not None}
    file.create_group("wcs").attrs.update(cards | {"RADESYS": "ICRS"})
    return n_bands


def _boxes(cutouts: Iterable[_Cutout], of: _Opened, home: _Opened, band: str) -> list[Box]:
    """Return the boxes of a brick that cutouts need in a band."""
    if of is home:
        return [cutout.box for cutout in cutouts]
    return [piece.box for cutout in cutouts for piece in cutout.pieces if piece.of is of and piece.band == band]


def _fetch(cutouts: Sequence[_Cutout], home: _Opened) -> None:
    """Read all tiles over the network, brick by brick."""
    bricks = {id(home): home} | {id(piece.of): piece.of for cutout in cutouts for piece in cutout.pieces}
    for brick in bricks.values():
        brick.fetch({layer: _boxes(cutouts, brick, home, layer[1]) for layer in brick.images})


def _padded(n: int, wanted: WantedCutouts) -> dict[str, Array]:
    """Return n cutouts of each product, (n, band, size, size) or (n, size, size), without data."""
    made = {}
    for name in wanted.products:
        product = PRODUCTS[name]
        bands = (len(wanted.bands),) if product.per_band else ()
        dtype = np.float32 if product.kinds == "f" else np.uint8
        made[name] = np.full((n, *bands, wanted.size, wanted.size), product.pad, dtype)
    return made


def _read(
    cutouts: Sequence[_Cutout], home: _Opened, wanted: WantedCutouts
) -> tuple[dict[str, Array], npt.NDArray[np.float64]]:
    """Return the cutouts of each product, (n, band, size, size) or (n, size, size), and their coverage (n, band)."""
    arrays = _padded(len(cutouts), wanted)
    coverage = np.zeros((len(cutouts), len(wanted.bands)))
    firsts = wanted.firsts
    for layer in wanted.layers:
        product, band = layer
        k: Any = wanted.bands.index(band) if band else slice(None)
        tells = layer == firsts[band] and (band or len(firsts) == 1)
        parts = _parts(layer, cutouts, home)
        made = arrays[product]
        dtype = np.result_type(made.dtype, *{values.dtype for _, _, values in parts})
        arrays[product] = made = made.astype(dtype, copy=False)
        for i, to, values in parts:
            (made[i, k] if band else made[i])[to] = values
            coverage[i, k] += values.size / wanted.size**2 if tells else 0
    return arrays, coverage


def _parts(layer: Layer, cutouts: Sequence[_Cutout], home: _Opened) -> list[tuple[int, Any, Array]]:
    """Return one product and band of the cutouts in parts: number of the cutout, where on it, and the pixels."""
    parts: list[tuple[int, Any, Array]] = []
    if layer in home.images:
        read = home.read(layer, [cutout.box for cutout in cutouts])
        parts += [(i, cutout.to, values) for i, (cutout, values) in enumerate(zip(cutouts, read, strict=True))]
    pieces = [(i, piece) for i, cutout in enumerate(cutouts) for piece in cutout.pieces if piece.band == layer[1]]
    for other in {id(piece.of): piece.of for _, piece in pieces if layer in piece.of.images}.values():
        of_other = [(i, piece) for i, piece in pieces if piece.of is other]
        read = other.read(layer, [piece.box for _, piece in of_other])
        for (i, piece), values in zip(of_other, read, strict=True):
            y, x = piece.at
            parts.append((i, piece.to, values[y - piece.box[0], x - piece.box[2]]))
    return parts


def _has_data(arrays: Mapping[str, Array], wanted: WantedCutouts) -> npt.NDArray[np.bool_]:
    """Tell which bands of which cutouts have data, (n, band)."""
    per_band = [product for product in wanted.products if PRODUCTS[product].per_band]
    if not per_band:  # nothing but bits
        return np.ones((len(arrays["maskbits"]), len(wanted.bands)), bool)
    has = np.nan_to_num(arrays["invvar" if "invvar" in per_band else per_band[0]]) != 0
    if "image" in per_band:
        has &= np.isfinite(arrays["image"])
    return np.asarray(has.any(axis=(2, 3)))


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
