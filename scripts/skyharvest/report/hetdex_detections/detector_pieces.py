"""Pieces of the detector around a detection: those of the fibers with the highest weight, and their mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skyharvest.core.arrays import Array, Bools, Float32s, Floats
from skyharvest.core.errors import HarvestError
from skyharvest.reduction.hetdex.sources.cutouts import BEST_FIBERS, DetectorImages, Fiber, weighted_mean

WIDTH, HEIGHT = 80, 11
"""Pixels: 160 Å, and a fiber with half of each of its neighbours."""
_LIGHT, _MEASURED = "clean_image", "processed"


@dataclass(frozen=True)
class FiberPiece:
    """The piece of a fiber.

    Attributes
    ----------
    fiber
        Its row of ``/Fibers``.
    light
        (11, 80) f4, electrons without the sky, the first row lowest; NaN where masked or beyond the detector.
    masked
        (11, 80): pixels that were measured and are left out: cosmic rays and bad pixels.
    wave
        (80,) f8 Å of the columns.
    trace
        (80,) f8: the row at which the fiber is.
    why
        Why there is no piece; then arrays are NaN.
    """

    fiber: Any
    light: Float32s
    masked: Bools
    wave: Floats
    trace: Floats
    why: str = ""


@dataclass(frozen=True)
class Pieces:
    """Pieces of a detection.

    Attributes
    ----------
    of_fibers
        Up to four, those of the highest weight first.
    mean
        (11, 80) f4: of those that are there, by weight; NaN if there are none.
    """

    of_fibers: list[FiberPiece]
    mean: Float32s

    @property
    def failures(self) -> list[str]:
        """Why pieces are not there, each reason once."""
        return list(dict.fromkeys(piece.why for piece in self.of_fibers if piece.why))


def cut_pieces(images: DetectorImages, fibers: Array, wave: float) -> Pieces:
    """Return the pieces of a detection.

    Parameters
    ----------
    fibers
        Rows of ``/Fibers``, those of the highest weight first.
    wave
        Å.
    """
    pieces = [_cut(images, fiber, wave) for fiber in fibers[:BEST_FIBERS]]
    there = [piece for piece in pieces if not piece.why]
    weights = np.array([float(piece.fiber["weight"]) for piece in there])
    mean = _mean(there, weights) if there else np.full((HEIGHT, WIDTH), np.nan, np.float32)
    return Pieces(pieces, mean)


def _mean(pieces: Sequence[FiberPiece], weights: Floats) -> Float32s:
    known = np.where(weights > 0, weights, 0)
    return weighted_mean([piece.light for piece in pieces], known if known.any() else np.ones(len(pieces)))


def _cut(images: DetectorImages, fiber: Any, wave: float) -> FiberPiece:
    name = Fiber(int(fiber["expnum"]), fiber["multiframe"].decode(), int(fiber["fibnum"]))
    try:
        piece = images.piece(name, wave, (_LIGHT, _MEASURED), width=WIDTH, height=HEIGHT)
    except HarvestError as error:
        nothing = np.full((HEIGHT, WIDTH), np.nan, np.float32)
        return FiberPiece(
            fiber, nothing, np.zeros((HEIGHT, WIDTH), bool), np.full(WIDTH, np.nan), np.full(WIDTH, np.nan), str(error)
        )
    light = piece.images[_LIGHT]
    masked = ~np.isfinite(light) & np.isfinite(piece.images[_MEASURED])
    return FiberPiece(fiber, light, masked, piece.wave, piece.trace)
