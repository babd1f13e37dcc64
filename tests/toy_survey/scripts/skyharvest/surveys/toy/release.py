"""The toy survey's releases, and the paths of their files."""

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from skyharvest.core.settings import section, setting, subsection
from skyharvest.harvest.releases import ArchivedRelease, Roots, load_release_of, template


@section
class Paths:
    """Templates of paths."""

    list: str = template("the list of tables")
    table: str = template("the table of a pix16")


@section
class Entry:
    """A release of the toy survey."""

    survey: Literal["toy"] = setting(MISSING, "The survey.")
    roots: Roots = subsection(Roots, required=True)
    paths: Paths = subsection(Paths, required=True)


@dataclass(frozen=True)
class Release(ArchivedRelease):
    """A release of the toy survey; its ``paths`` are ``list`` and ``table``."""

    survey: ClassVar[str] = "toy"
    ways: ClassVar[tuple[str, ...]] = ("https", "local")
    holds: ClassVar[str] = "list.fits"
    templates: ClassVar[str] = "{pix16} in table"

    @classmethod
    def of_entry(cls, name: str, entry: dict[str, Any]) -> Self:
        """Return the release that an entry of the registry describes; each of its paths has been formed once."""
        release = cls(name=name, roots=entry["roots"], paths=entry["paths"])
        release.list()
        release.table(0)
        return release

    def list(self) -> str:
        """Return the path, relative to a root, of the list of tables."""
        return self.paths["list"]

    def table(self, pix16: int) -> str:
        """Return the path, relative to a root, of the table of an NSIDE=16 pixel (NESTED)."""
        return self.paths["table"].format(pix16=pix16)


def load_release(name: str, registry: Path | None = None) -> Release:
    """Return the toy survey's release of that name; see `load_release_of`."""
    return load_release_of(Release, name, registry)
