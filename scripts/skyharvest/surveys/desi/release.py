"""DESI's data releases, and the paths of their files: https://desidatamodel.readthedocs.io, DESI_SPECTRO_REDUX."""

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal, Self

from skyharvest.core.paths import expand_user
from skyharvest.core.settings import Whole, section, setting, subsection
from skyharvest.harvest import releases
from skyharvest.harvest.releases import TRANSPORTS, ArchivedRelease, address, load_release_of, template

GLOBUS = "globus"
"""The ``archive`` that is first copied, by Globus, to a directory of this machine."""

PRODUCTION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
"""Name of a production: a directory."""
NSIDE, GROUP = 64, 100
_PIXEL = "spectro/redux/{specprod}/healpix/{survey}/{program}/{group}/{pix}"
PATHS = {
    "tilepix": "spectro/redux/{specprod}/healpix/tilepix.fits",
    "coadd": f"{_PIXEL}/coadd-{{survey}}-{{program}}-{{pix}}.fits",
    "redrock": f"{_PIXEL}/redrock-{{survey}}-{{program}}-{{pix}}.fits",
    "checksums": f"{_PIXEL}/redux_{{specprod}}_healpix_{{survey}}_{{program}}_{{group}}_{{pix}}.sha256sum",
}
"""Of every production (desidatamodel.readthedocs.io), by the keys of `Paths`."""

_COADD_NAME = re.compile(r"coadd-([a-z0-9]+)-([a-z0-9]+)-([0-9]+)\.fits")


@section
class Roots(releases.Roots):
    """Directory or address that holds spectro/, by transport."""

    s3: str = address("Address of the public bucket over HTTPS.")


@section
class Globus:
    """A Globus collection that holds the release."""

    endpoint: str = setting(MISSING, "UUID of the collection.", pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
    path: str = setting(MISSING, "Absolute path, on it, of the directory that holds spectro/.", pattern="^/")


@section
class Pixels:
    """HEALPix scheme of the files, by TARGET_RA and TARGET_DEC."""

    nside: Literal[1, 2, 4, 8, 16, 32, 64, 128, 256, 512] = setting(MISSING, "HEALPix NSIDE.")
    order: Literal["nested"] = setting(MISSING, "HEALPix ordering.")
    group: Whole = setting(MISSING, "Pixel p lies in the directory p // group.", ge=1)


@section
class Paths:
    """Templates of paths, filled in: specprod, survey, program, pix, group."""

    tilepix: str = template("the table of the tiles, petals and pixels of the release")
    coadd: str = template("the co-added spectra of a survey, program and pixel")
    redrock: str = template("the redshifts of the same")
    checksums: str = template("the SHA-256 sums of the directory that holds both")


@section
class Entry:
    """A data release of DESI."""

    survey: Literal["desi"] = setting("desi", "The survey.")
    specprod: str = setting(
        MISSING, "Spectroscopic production, the directory below spectro/redux/.", pattern="^[A-Za-z0-9._-]+$"
    )
    roots: Roots = subsection(Roots, required=True)
    globus: Globus = subsection(Globus, optional=True)
    pixels: Pixels = subsection(Pixels, required=True)
    paths: Paths = subsection(Paths, required=True)


@dataclass(frozen=True)
class Release(ArchivedRelease):
    """A data release of DESI, or one that is laid out like it.

    Attributes
    ----------
    nside
        NSIDE of the HEALPix pixels (NESTED, by TARGET_RA and TARGET_DEC) that its files are divided by.
    group
        Pixel ``p`` lies in the directory ``p // group``.
    paths, globus
        By the keys of `Paths` and `Globus`; ``globus`` may be empty.
    is_production
        Whether it is one that no registry describes: see `of_directory`.
    """

    survey: ClassVar[str] = "desi"
    ways: ClassVar[tuple[str, ...]] = (*TRANSPORTS, GLOBUS)
    holds: ClassVar[str] = "spectro/"
    templates: ClassVar[str] = "{specprod} and, but for tilepix, {survey}, {program}, {group} and {pix}"
    in_directories: ClassVar[str] = (
        "where the archive is a directory of this machine, a production in its spectro/redux/ can be named without one"
    )

    specprod: str
    nside: int
    group: int
    globus: Mapping[str, str] = field(default_factory=dict)
    is_production: bool = False

    @classmethod
    def of_entry(cls, name: str, entry: dict[str, Any]) -> Self:
        """Return the release that an entry of the registry describes; each of its paths has been formed once."""
        release = cls(
            name=name,
            specprod=entry["specprod"],
            nside=entry["pixels"]["nside"],
            group=entry["pixels"]["group"],
            roots=entry["roots"],
            paths=entry["paths"],
            globus=entry.get("globus", {}),
        )
        release.tilepix()
        for kind in ("coadd", "redrock", "checksums"):
            release._path(kind, "main", "dark", 0)
        return release

    @classmethod
    def of_directory(cls, name: str, archive: str) -> Self | None:
        """Return the production of a name that a directory of this machine has; None if it has none.

        Productions are laid out as DESI's releases are, which are productions: ``dr1`` is ``iron``.

        Parameters
        ----------
        archive
            The directory that holds spectro/. Names of transports and URLs are none.
        """
        if not archive or archive in cls.ways or "://" in archive or not PRODUCTION.fullmatch(name):
            return None
        if not (expand_user(archive) / "spectro" / "redux" / name).is_dir():
            return None
        return cls(name=name, specprod=name, nside=NSIDE, group=GROUP, roots={}, paths=PATHS, is_production=True)

    def list_root(self, otherwise: str) -> str:
        """Return the root that ``tilepix.fits`` is read from when the archive itself is not there yet: the first one.

        ``otherwise`` is returned for a release without any root.
        """
        return next(iter(self.roots.values()), otherwise)

    def tilepix(self) -> str:
        """Return the path, relative to a root, of the table of tiles, petals and pixels."""
        return self.paths["tilepix"].format(specprod=self.specprod)

    def coadd(self, survey: str, program: str, pix: int) -> str:
        """Return the path, relative to a root, of the co-added spectra of a pixel."""
        return self._path("coadd", survey, program, pix)

    def redrock(self, survey: str, program: str, pix: int) -> str:
        """Return the path, relative to a root, of the redshifts of a pixel."""
        return self._path("redrock", survey, program, pix)

    def checksums(self, survey: str, program: str, pix: int) -> str:
        """Return the path, relative to a root, of the SHA-256 sums of a pixel's directory."""
        return self._path("checksums", survey, program, pix)

    def sums(self, archive: str, survey: str, program: str, pix: int) -> str:
        """Return the lines of a pixel's checksum file that tell which coadd and redshifts a production has now.

        "" of a release, whose files never change, and of a pixel without that file.

        Parameters
        ----------
        archive
            The directory that holds spectro/.
        """
        if not self.is_production:
            return ""
        place = (survey, program, pix)
        names = tuple(f" {PurePosixPath(path).name}" for path in (self.coadd(*place), self.redrock(*place)))
        try:
            text = (expand_user(archive) / self.checksums(*place)).read_text("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return "".join(f"{line}\n" for line in text.splitlines() if line.endswith(names))

    def _path(self, kind: str, survey: str, program: str, pix: int) -> str:
        return self.paths[kind].format(
            specprod=self.specprod, survey=survey, program=program, pix=pix, group=pix // self.group
        )


def load_release(name: str, registry: Path | None = None, *, archive: str = "") -> Release:
    """Return DESI's release of that name, or the production of that name in a directory; see `load_release_of`."""
    return load_release_of(Release, name, registry, archive)


@dataclass(frozen=True)
class CoaddFile:
    """Which coadd is to be read.

    Attributes
    ----------
    path, redrock
        Of the coadd and of its redshifts, relative to the archive's root (or full paths or URLs). ``redrock`` is empty
        if nobody knows where they are.
    survey, program, pix64
        Empty and -1 where neither a plan nor the file's name tells them.
    sums
        Which content they have, where that may change: `Release.sums`.
    """

    path: str
    redrock: str
    survey: str = ""
    program: str = ""
    pix64: int = -1
    sums: str = ""

    @classmethod
    def of_release(cls, release: Release, survey: str, program: str, pix64: int, archive: str = "") -> Self:
        """Return a coadd of a release; with its `sums` if the directory is given where it is."""
        place = (survey, program, pix64)
        sums = release.sums(archive, *place) if archive else ""
        return cls(release.coadd(*place), release.redrock(*place), *place, sums)

    @classmethod
    def of_path(cls, path: str) -> Self:
        """Return the coadd with a path or URL, as far as its name tells what it is; the redrock file is beside it.

        Such as ``coadd-main-dark-27258.fits``; the names of tiles' coadds (``coadd-0-1000-thru20210517.fits``) say
        neither survey nor program.
        """
        directory, slash, name = path.rpartition("/")
        if not name.startswith("coadd-"):
            return cls(path, "")
        redrock = f"{directory}{slash}redrock-{name.removeprefix('coadd-')}"
        parts = _COADD_NAME.fullmatch(name)
        return cls(path, redrock, parts[1], parts[2], int(parts[3])) if parts else cls(path, redrock)
