"""HETDEX's data releases, and the paths of their files: http://web.corral.tacc.utexas.edu/hetdex/HETDEX/pdr/pdr1."""

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from skyharvest.core.settings import Whole, section, setting, subsection
from skyharvest.harvest.releases import ArchivedRelease, Roots, load_release_of, template


@section
class Paths:
    """Templates of paths, filled in as the first lines of releases.yaml say."""

    index: str = template("the table of all cubes")
    cube: str = template("the cube of a shotid and ifuslot")
    catalogue: str = template("the catalogue of sources, by version")
    catalogue_spectra: str = template("the spectra of the same, by version")
    detect_index: str = template("the table of all raw detections")
    detections: str = template("the database of raw detections, by kind and survey")
    detect_correction: str = template("the table that their spectra are to be divided by")
    elixer: str = template("ELiXer's picture of a detection")


@section
class Entry:
    """A data release of HETDEX."""

    survey: Literal["hetdex"] = setting(MISSING, "The survey.")
    roots: Roots = subsection(Roots, required=True)
    max_connections: Whole = setting(
        MISSING, "Connections that the archive may be asked for, over all jobs together.", ge=1
    )
    paths: Paths = subsection(Paths, required=True)


@dataclass(frozen=True)
class Release(ArchivedRelease):
    """A public data release of HETDEX, or one that is laid out like it.

    Attributes
    ----------
    max_connections
        Connections that its archive may be asked for, over all jobs together.
    paths
        By the keys of `Paths`.
    """

    survey: ClassVar[str] = "hetdex"
    ways: ClassVar[tuple[str, ...]] = ("https", "local")
    holds: ClassVar[str] = "ifu-index.fits"
    templates: ClassVar[str] = "what the registry's first lines say"

    max_connections: int

    @classmethod
    def of_entry(cls, name: str, entry: dict[str, Any]) -> Self:
        """Return the release that an entry of the registry describes; each of its paths has been formed once."""
        release = cls(
            name=name, roots=entry["roots"], paths=entry["paths"], max_connections=int(entry["max_connections"])
        )
        release.index()
        release.cube(20190405020, "034")
        release.catalogue("v1.5")
        release.catalogue_spectra("v1.5")
        release.detections("detect", "hdr5")
        release.elixer(3002665003)
        return release

    @property
    def changes(self) -> bool:
        """Whether its files may be made again: it has no root, so that it is somebody's own. Public ones stay."""
        return not self.roots

    def connections(self, wanted: int) -> int:
        """Return how many connections to open where the configuration wants so many: `max_connections` at most."""
        return min(wanted, self.max_connections)

    def index(self) -> str:
        """Return the path, relative to a root, of the table of all cubes."""
        return self.paths["index"]

    def cube(self, shotid: int, ifuslot: str) -> str:
        """Return the path, relative to a root, of a cube."""
        return self.paths["cube"].format(shotid=shotid, ifuslot=ifuslot)

    def catalogue(self, version: str) -> str:
        """Return the path, relative to a root, of the catalogue of sources, such as of version ``v1.5``."""
        return self.paths["catalogue"].format(version=version)

    def catalogue_spectra(self, version: str) -> str:
        """Return the path, relative to a root, of the spectra of the catalogued sources."""
        return self.paths["catalogue_spectra"].format(version=version)

    def detections(self, kind: str, survey: str) -> str:
        """Return the path, relative to a root, of the raw detections of a kind (``detect`` or ``cont``)."""
        return self.paths["detections"].format(kind=kind, survey=survey)

    def elixer(self, detectid: int) -> str:
        """Return the path, relative to a root, of ELiXer's picture of a detection."""
        return self.paths["elixer"].format(prefix=str(detectid)[:5], detectid=detectid)


def load_release(name: str, registry: Path | None = None) -> Release:
    """Return HETDEX's release of that name; see `load_release_of`."""
    return load_release_of(Release, name, registry)
