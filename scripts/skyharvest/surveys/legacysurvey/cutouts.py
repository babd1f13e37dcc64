"""Cutouts of a brick's targets: where their pixels are, on the brick and its neighbours, and reading them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skyharvest.core.arrays import Array, Bools, Floats, Ints
from skyharvest.formats.tiled_image import Box
from skyharvest.surveys.legacysurvey.brick_images import BrickImages
from skyharvest.surveys.legacysurvey.images import PRODUCTS
from skyharvest.surveys.legacysurvey.wanted_cutouts import Layer, WantedCutouts


@dataclass
class Piece:
    """Pixels of a cutout in a band that come from a neighbour: where on the cutout, and where on the neighbour."""

    of: BrickImages
    band: str
    to: tuple[Ints, Ints]
    at: tuple[Ints, Ints]

    @property
    def box(self) -> Box:
        """The box of the neighbour that holds them."""
        y, x = self.at
        return int(y.min()), int(y.max()) + 1, int(x.min()), int(x.max()) + 1


@dataclass
class Cutout:
    """Where the pixels of a cutout are."""

    x: float
    y: float
    x0: int
    y0: int
    size: int
    box: Box  # of the home brick
    pieces: list[Piece] = field(default_factory=list)

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

    def look_elsewhere(self, home: BrickImages, others: Sequence[BrickImages], firsts: Mapping[str, Layer]) -> None:
        """Find the pixels that the home brick lacks: in each band, on the first other brick that has them."""
        self.pieces = []
        if self.is_whole:
            return
        assert home.sky is not None
        at_home = np.zeros((self.size, self.size), bool)
        at_home[self.to] = True
        y, x = np.nonzero(~at_home)
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
                    self.pieces.append(Piece(other, band, (y[its], x[its]), at))
                    left[band] &= ~its


def lay_out(home: BrickImages, targets: Array, size: int) -> list[Cutout]:
    """Return where the targets' cutouts are. If a target is not on the images, drop them and return no cutouts."""
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
        cutouts.append(Cutout(x, y, x0, y0, size, box))
    return cutouts


def _boxes(cutouts: Iterable[Cutout], of: BrickImages, home: BrickImages, band: str) -> list[Box]:
    """Return the boxes of a brick that cutouts need in a band."""
    if of is home:
        return [cutout.box for cutout in cutouts]
    return [piece.box for cutout in cutouts for piece in cutout.pieces if piece.of is of and piece.band == band]


def fetch_tiles(cutouts: Sequence[Cutout], home: BrickImages) -> None:
    """Read all tiles over the network, brick by brick."""
    bricks = {id(home): home} | {id(piece.of): piece.of for cutout in cutouts for piece in cutout.pieces}
    for brick in bricks.values():
        brick.fetch({layer: _boxes(cutouts, brick, home, layer[1]) for layer in brick.images})


def padded_cutouts(n: int, wanted: WantedCutouts) -> dict[str, Array]:
    """Return n cutouts of each product, (n, band, size, size) or (n, size, size), without data."""
    cutouts = {}
    for name in wanted.products:
        product = PRODUCTS[name]
        bands = (len(wanted.bands),) if product.per_band else ()
        dtype = np.float32 if product.kinds == "f" else np.int8
        cutouts[name] = np.full((n, *bands, wanted.size, wanted.size), product.pad, dtype)
    return cutouts


def read_cutouts(
    cutouts: Sequence[Cutout], home: BrickImages, wanted: WantedCutouts
) -> tuple[dict[str, Array], Floats]:
    """Return the cutouts of each product, (n, band, size, size) or (n, size, size), and their coverage (n, band)."""
    arrays = padded_cutouts(len(cutouts), wanted)
    coverage = np.zeros((len(cutouts), len(wanted.bands)))
    firsts = wanted.firsts
    for layer in wanted.layers:
        product, band = layer
        k: Any = wanted.bands.index(band) if band else slice(None)
        tells = layer == firsts[band] and (band or len(firsts) == 1)
        parts = _parts(layer, cutouts, home)
        pixels = arrays[product]
        dtype = np.result_type(pixels.dtype, *{values.dtype for _, _, values in parts})
        arrays[product] = pixels = pixels.astype(dtype, copy=False)
        for i, to, values in parts:
            (pixels[i, k] if band else pixels[i])[to] = values
            coverage[i, k] += values.size / wanted.size**2 if tells else 0
    return arrays, coverage


def _parts(layer: Layer, cutouts: Sequence[Cutout], home: BrickImages) -> list[tuple[int, Any, Array]]:
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


def files_read(cutouts: Sequence[Cutout], home: BrickImages, wanted: WantedCutouts) -> dict[str, Bools]:
    """Tell for each product of which cutouts its files were read, (n, band) or (n,).

    All files that the bricks of the cutout's pixels have by the plan; not so if they have none.
    """
    read = {
        name: np.zeros((len(cutouts), *((len(wanted.bands),) if PRODUCTS[name].per_band else ())), bool)
        for name in wanted.products
    }
    for product, band in wanted.layers:
        for i, cutout in enumerate(cutouts):
            of_band = (piece.of for piece in cutout.pieces if not band or piece.band == band)
            bricks = {id(brick): brick for brick in (home, *of_band)}.values()
            states = [(product, band) in of.images for of in bricks if (product, band) in of.brick.paths]
            at: Any = (i, wanted.bands.index(band)) if band else i
            read[product][at] = bool(states) and all(states)
    return read


def bands_with_data(arrays: Mapping[str, Array], wanted: WantedCutouts) -> Bools:
    """Tell which bands of which cutouts have data, (n, band)."""
    per_band = [product for product in wanted.products if PRODUCTS[product].per_band]
    if not per_band:  # nothing but bits
        return np.ones((len(arrays["maskbits"]), len(wanted.bands)), bool)
    first = "invvar" if "invvar" in per_band else per_band[0]
    has = (np.nan_to_num(arrays[first]) != 0) & (arrays[first] != PRODUCTS[first].pad)
    if "image" in per_band:
        has &= np.isfinite(arrays["image"])
    return np.asarray(has.any(axis=(2, 3)))
