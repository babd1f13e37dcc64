"""The images of a brick: opened, checked against one another, and read; failures are noted, file by file."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import numpy as np

from skyharvest.archive.archive import Archive, is_url
from skyharvest.core.arrays import Array
from skyharvest.core.errors import Absent, HarvestError, MalformedFile
from skyharvest.formats.tangent_plane import Sky
from skyharvest.formats.tiled_image import Box, TiledImage
from skyharvest.harvest.extracted import best
from skyharvest.surveys.legacysurvey.images import PIXEL_ARCSEC, PRODUCTS
from skyharvest.surveys.legacysurvey.release import Release
from skyharvest.surveys.legacysurvey.wanted_cutouts import Layer, WantedCutouts

log = logging.getLogger(__name__)


SECOND_READING_S = 1.0  # between a malformed reading and the second one
SAME_PIXEL = 1e-4  # pixels: two images of a brick are on one grid if they differ by no more


class BrickFiles:
    """The files that a brick has by the plan."""

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


class UnusableImage(Exception):
    """A file whose tiles cannot be read."""

    def __init__(self, of: "BrickImages", layer: Layer, reason: str) -> None:
        super().__init__(reason)
        self.of, self.layer, self.reason = of, layer, reason


class BrickImages:
    """A brick's images, opened."""

    def __init__(self, brick: BrickFiles, archive: Archive, wanted: WantedCutouts) -> None:
        self.brick, self._archive, self._wanted = brick, archive, wanted
        self.images: dict[Layer, TiledImage] = {}
        self.states: dict[Layer, tuple[str, str]] = {}  # status and reason of every file that was asked for
        self.sky: Sky | None = None
        self.shape = (0, 0)
        self._sources = ExitStack()

    def __enter__(self) -> "BrickImages":
        return self

    def __exit__(self, *_: object) -> None:
        self._sources.close()

    @property
    def status(self) -> str:
        """The best status of its files."""
        return best({status for status, _ in self.states.values()})

    def open(self) -> None:
        """Read the headers and tile tables of all files; note those that are absent or unreadable."""
        if is_url(self._archive.root):
            _ = self._archive.client  # created before the threads
        with ThreadPoolExecutor(max(1, self._archive.connections)) as threads:
            opened = list(threads.map(self._open, self.brick.paths))
        usable: dict[Layer, TiledImage] = {}
        for layer, image in zip(self.brick.paths, opened, strict=True):
            if isinstance(image, Absent):
                if self._wanted.check_absence:
                    self._wanted.check_absence(self.brick.paths[layer])
                log.info("absent: %s", image)
                self.states[layer] = "absent", "not in the archive"
            elif isinstance(image, MalformedFile):
                self._note_unreadable(layer, str(image))
            elif wrong := self._misplaced(image):
                self._note_unreadable(layer, f"{image}: {wrong}")
            else:
                usable[layer] = image
        self._keep_alike(usable)

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

    def _keep_alike(self, usable: Mapping[Layer, TiledImage]) -> None:
        """Keep the images on the pixel grid that most of them share; of equally common grids, the first."""
        alike: list[list[Layer]] = []
        for layer, image in usable.items():
            same = next((group for group in alike if _same_pixels(usable[group[0]], image)), None)
            if same is None:
                alike.append([layer])
            else:
                same.append(layer)
        most = max(alike, key=len, default=[])
        for layer, image in usable.items():
            first = usable[most[0]]
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
        arrays: list[Array] = self._try(layer, lambda image: image.read(boxes))
        kinds = PRODUCTS[layer[0]].kinds
        for array in arrays[:1]:
            if array.dtype.kind not in kinds:
                expected = "floating-point numbers" if kinds == "f" else "whole numbers"
                raise UnusableImage(self, layer, f"{self.images[layer]}: holds {array.dtype}, expected {expected}")
        return arrays

    def _try(self, layer: Layer, action: Callable[[TiledImage], Any]) -> Any:
        """Do something with an image; if that fails, open it again and do it once more."""
        for again in (True, False):
            try:
                return action(self.images[layer])
            except MalformedFile as error:
                if not again:
                    raise UnusableImage(self, layer, str(error)) from error
                log.warning("%s; reading it once more", error)
                time.sleep(SECOND_READING_S)
                image = self._open(layer)
                if isinstance(image, HarvestError):
                    raise UnusableImage(self, layer, str(image)) from error
                self.images[layer] = image
        raise AssertionError


def _same_pixels(image: TiledImage, other: TiledImage) -> bool:
    """Tell whether two images have the same pixel grid: whether their corners agree."""
    height, width = image.shape
    corners = np.array([0, width - 1, 0, width - 1.0]), np.array([0, 0, height - 1, height - 1.0])
    at = other.sky.pixels(*image.sky.positions(*corners))
    return image.shape == other.shape and np.allclose(at, corners, rtol=0, atol=SAME_PIXEL)
