"""The Legacy Surveys' data releases, and the paths of their files: https://www.legacysurvey.org/dr10/files."""

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from skyharvest.core.settings import Distinct, Limited, section, setting, subsection
from skyharvest.harvest.releases import ArchivedRelease, Roots, load_release_of, template

Band = Annotated[str, Limited("A filter, such as g, r, i or z.", pattern="^[a-zA-Z]$")]


@section
class Paths:
    """Templates of paths, filled in: region, brickname, group (its first three characters), product, band."""

    bricks: str = template("the table of a region's bricks")
    product: str = template("an image of a brick in a band")
    maskbits: str = template("the bit masks of a brick")
    checksums: str = template("the SHA-256 sums of the brick's directory")


@section
class Entry:
    """A data release of the DESI Legacy Imaging Surveys."""

    survey: Literal["legacysurvey"] = setting(MISSING, "The survey.")
    regions: Annotated[list[Literal["north", "south"]], Distinct(min_length=1)] = setting(
        MISSING, "Parts of the sky that were reduced apart."
    )
    bands: Annotated[list[Band], Distinct(min_length=1)] = setting(MISSING, "Filters of the coadded images.")
    roots: Roots = subsection(Roots, required=True)
    paths: Paths = subsection(Paths, required=True)


@dataclass(frozen=True)
class Release(ArchivedRelease):
    """A data release of the DESI Legacy Imaging Surveys, or one that is laid out like it.

    Attributes
    ----------
    regions
        ``north`` and ``south``, or the one that the release has.
    paths
        By the keys of `Paths`.
    """

    survey: ClassVar[str] = "legacysurvey"
    ways: ClassVar[tuple[str, ...]] = ("https", "local")
    holds: ClassVar[str] = "dr10/ (or another release's directory)"
    templates: ClassVar[str] = "{region} and, but for bricks, {brickname}, {group}, {product} and {band}"

    regions: tuple[str, ...]
    bands: tuple[str, ...]

    @classmethod
    def of_entry(cls, name: str, entry: dict[str, Any]) -> Self:
        """Return the release that an entry of the registry describes; each of its paths has been formed once."""
        release = cls(
            name=name,
            roots=entry["roots"],
            paths=entry["paths"],
            regions=tuple(entry["regions"]),
            bands=tuple(entry["bands"]),
        )
        region = release.regions[0]
        release.bricks(region)
        release.product(region, "0001m002", "image", "r")
        release.product(region, "0001m002", "maskbits")
        release.checksums(region, "0001m002")
        return release

    def bricks(self, region: str) -> str:
        """Return the path, relative to a root, of the table of a region's bricks."""
        return self.paths["bricks"].format(region=region)

    def product(self, region: str, brickname: str, product: str, band: str | None = None) -> str:
        """Return the path, relative to a root, of an image of a brick."""
        kind = "maskbits" if band is None else "product"
        return self._path(kind, region, brickname, product=product, band=band)

    def checksums(self, region: str, brickname: str) -> str:
        """Return the path, relative to a root, of the SHA-256 sums of a brick's directory."""
        return self._path("checksums", region, brickname)

    def _path(self, kind: str, region: str, brickname: str, **names: str | None) -> str:
        return self.paths[kind].format(region=region, brickname=brickname, group=brickname[:3], **names)


def load_release(name: str, registry: Path | None = None) -> Release:
    """Return the Legacy Surveys' release of that name; see `load_release_of`."""
    return load_release_of(Release, name, registry)
