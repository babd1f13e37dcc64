"""Which cutouts are wanted."""

from collections.abc import Callable
from dataclasses import dataclass

from skyharvest.core.errors import InputError
from skyharvest.surveys.legacysurvey.images import PRODUCTS
from skyharvest.surveys.legacysurvey.plan import LARGEST
from skyharvest.surveys.legacysurvey.settings import Settings

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
    check_absence: Callable[[str], None] | None = None

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
