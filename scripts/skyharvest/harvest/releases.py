"""Data releases: from a name, and what is wanted of it, to the paths of files in an archive.

The registry is ``config/releases.yaml``. Directory layouts: https://desidatamodel.readthedocs.io, DESI_SPECTRO_REDUX;
HETDEX Public Data Release 1, below http://web.corral.tacc.utexas.edu/hetdex/HETDEX/pdr/pdr1; the Legacy Surveys:
https://www.legacysurvey.org/dr10/files.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from skyharvest.core.errors import InputError
from skyharvest.core.paths import CHECKOUT, expand_user
from skyharvest.core.words import nearest
from skyharvest.core.yaml_file import read_yaml

REGISTRY = CHECKOUT / "config" / "releases.yaml"
SCHEMA = REGISTRY.parent / "schema" / "releases.schema.yaml"
TRANSPORTS = ("https", "s3", "local")
"""Names of roots in the registry; any other ``archive`` is itself the path or URL of a mirror."""
GLOBUS = "globus"
"""The ``archive`` that is first copied, by Globus, to a directory of this machine."""

_UNUSABLE = (LookupError, TypeError, ValueError, AttributeError)  # what an entry with a mistake gives rise to

_COADD_NAME = re.compile(r"coadd-([a-z0-9]+)-([a-z0-9]+)-([0-9]+)\.fits")


DESI, HETDEX, LEGACYSURVEY = "desi", "hetdex", "legacysurvey"
"""Surveys: what an entry of the registry says it is of, and the configuration's key that names a release of it."""


@dataclass(frozen=True)
class Archived:
    """What every survey's data release has.

    Attributes
    ----------
    survey
        `DESI`, `HETDEX` or `LEGACYSURVEY`.
    ways
        What the survey's ``archive`` may say besides a path or URL.
    holds
        What is found directly below a root.
    name
        Its key in the registry, such as ``dr1``.
    roots
        Directory or address that its paths are relative to, by transport.
    paths
        Templates of paths relative to a root.
    """

    survey: ClassVar[str]
    ways: ClassVar[tuple[str, ...]]
    holds: ClassVar[str]

    name: str
    roots: Mapping[str, str]
    paths: Mapping[str, str]

    def root(self, archive: str) -> str:
        """Return the directory or URL, without a trailing slash, that the release's paths are relative to.

        Parameters
        ----------
        archive
            One of `TRANSPORTS`, or else the path (``~`` is expanded) or URL of a mirror.

        Raises
        ------
        InputError
            If the registry has no root of that transport for this release.
        """
        if archive in TRANSPORTS:
            if archive not in self.roots:
                known = ", ".join(self.roots) or "none"
                raise InputError(
                    f"release {self.name!r} has no {archive!r} root in {REGISTRY.name} (it has: {known}); "
                    f"give the path or URL of a mirror that holds {self.holds}"
                )
            return self.roots[archive]
        if "://" in archive:
            return archive.rstrip("/")
        return str(expand_user(archive))


@dataclass(frozen=True)
class Release(Archived):
    """A data release of DESI, or one that is laid out like it.

    Attributes
    ----------
    specprod
        Its spectroscopic production, such as ``iron``.
    nside
        NSIDE of the HEALPix pixels (NESTED, by TARGET_RA and TARGET_DEC) that its files are divided by.
    group
        Pixel ``p`` lies in the directory ``p // group``.
    paths
        ``tilepix``, ``coadd``, ``redrock``, ``checksums``.
    globus
        ``endpoint`` (UUID of a Globus collection) and ``path`` (on it, of what holds ``spectro/``); or empty.
    """

    survey: ClassVar[str] = DESI
    ways: ClassVar[tuple[str, ...]] = (*TRANSPORTS, GLOBUS)
    holds: ClassVar[str] = "spectro/"

    specprod: str
    nside: int
    group: int
    globus: Mapping[str, str] = field(default_factory=dict)

    def list_root(self, otherwise: str) -> str:
        """Return the root that ``tilepix.fits`` is read from when the archive itself is not there yet: the first one.

        Parameters
        ----------
        otherwise
            The directory or URL to return for a release without any root.
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

    def _path(self, kind: str, survey: str, program: str, pix: int) -> str:
        return self.paths[kind].format(
            specprod=self.specprod, survey=survey, program=program, pix=pix, group=pix // self.group
        )


@dataclass(frozen=True)
class HetdexRelease(Archived):
    """A public data release of HETDEX, or one that is laid out like it.

    Attributes
    ----------
    max_connections
        Connections that its archive may be asked for, over all jobs together.
    paths
        ``index``, ``cube``; ``catalogue``, ``catalogue_spectra``; ``detect_index``, ``detections``,
        ``detect_correction``; ``elixer``.
    """

    survey: ClassVar[str] = HETDEX
    ways: ClassVar[tuple[str, ...]] = ("https", "local")
    holds: ClassVar[str] = "ifu-index.fits"

    max_connections: int

    def connections(self, wanted: int) -> int:
        """Return how many connections to open where the configuration wants so many: `max_connections` at most."""
        return min(wanted, self.max_connections)

    def index(self) -> str:
        """Return the path, relative to a root, of the table of all cubes."""
        return self.paths["index"]

    def cube(self, shotid: int, ifuslot: str) -> str:
        """Return the path, relative to a root, of a cube.

        Parameters
        ----------
        shotid
            The observation, such as 20190405020.
        ifuslot
            Three digits, such as ``034``.
        """
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


@dataclass(frozen=True)
class LegacyRelease(Archived):
    """A data release of the DESI Legacy Imaging Surveys, or one that is laid out like it.

    Attributes
    ----------
    regions
        ``north`` and ``south``, or the one that the release has.
    bands
        Filters of its coadded images.
    paths
        ``bricks``, ``product``, ``maskbits``, ``checksums``.
    """

    survey: ClassVar[str] = LEGACYSURVEY
    ways: ClassVar[tuple[str, ...]] = ("https", "local")
    holds: ClassVar[str] = "dr10/ (or another release's directory)"

    regions: tuple[str, ...]
    bands: tuple[str, ...]

    def bricks(self, region: str) -> str:
        """Return the path, relative to a root, of the table of a region's bricks."""
        return self.paths["bricks"].format(region=region)

    def product(self, region: str, brickname: str, product: str, band: str | None = None) -> str:
        """Return the path, relative to a root, of an image of a brick.

        Parameters
        ----------
        region
            One of `regions`.
        brickname
            Such as ``1234p567``.
        product
            ``image``, ``invvar``, …; ``maskbits`` is the one without a band.
        band
            Such as ``r``.
        """
        kind = "maskbits" if band is None else "product"
        return self._path(kind, region, brickname, product=product, band=band)

    def checksums(self, region: str, brickname: str) -> str:
        """Return the path, relative to a root, of the SHA-256 sums of a brick's directory."""
        return self._path("checksums", region, brickname)

    def _path(self, kind: str, region: str, brickname: str, **names: str | None) -> str:
        return self.paths[kind].format(region=region, brickname=brickname, group=brickname[:3], **names)


def load_registry(registry: Path | None = None) -> dict[str, Any]:
    """Return the registry of releases as it is written, checked against its schema.

    Parameters
    ----------
    registry
        ``config/releases.yaml`` unless given.

    Raises
    ------
    InputError
        If the file is not valid; the message lists everything that is wrong.
    """
    import jsonschema  # noqa: PLC0415 (0.15 s that jobs, which come after this check, do not pay)

    path = registry or REGISTRY
    entries = read_yaml(path)
    problems = [
        f"  {'.'.join(map(str, error.absolute_path)) or 'the file'}: {error.message}"
        for error in jsonschema.Draft202012Validator(read_yaml(SCHEMA)).iter_errors(entries)
    ]
    if problems:
        raise InputError("\n".join([f"{path} is not a valid registry of releases:", *sorted(problems)]))
    return entries


def load_release(name: str, registry: Path | None = None) -> Release:
    """Return the release of DESI of that name. (`load_registry` checks the registry as a whole, and says more.)

    Parameters
    ----------
    name
        A key of the registry.
    registry
        ``config/releases.yaml`` unless given.

    Raises
    ------
    InputError
        If DESI has no such release, or its entry lacks something, or a path template asks for what there is not.
    """
    path = registry or REGISTRY
    entry = _entry(path, name, DESI)
    try:
        release = Release(
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
    except _UNUSABLE as error:
        raise InputError(
            f"{path}: release {name!r} cannot be used ({error!r}); an entry has what {SCHEMA.name} says, and its paths "
            "are made of {specprod} and, but for tilepix, {survey}, {program}, {group} and {pix}"
        ) from error
    return release


def load_hetdex_release(name: str, registry: Path | None = None) -> HetdexRelease:
    """Return the release of HETDEX of that name; see `load_release`."""
    path = registry or REGISTRY
    entry = _entry(path, name, HETDEX)
    try:
        release = HetdexRelease(
            name=name, roots=entry["roots"], paths=entry["paths"], max_connections=int(entry["max_connections"])
        )
        release.index()
        release.cube(20190405020, "034")
        release.catalogue("v1.5")
        release.catalogue_spectra("v1.5")
        release.detections("detect", "hdr5")
        release.elixer(3002665003)
    except _UNUSABLE as error:
        raise InputError(
            f"{path}: release {name!r} cannot be used ({error!r}); an entry has what {SCHEMA.name} says, and its "
            "paths are made of what the registry's first lines say"
        ) from error
    return release


def load_legacy_release(name: str, registry: Path | None = None) -> LegacyRelease:
    """Return the release of the Legacy Surveys of that name; see `load_release`."""
    path = registry or REGISTRY
    entry = _entry(path, name, LEGACYSURVEY)
    try:
        release = LegacyRelease(
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
    except _UNUSABLE as error:
        raise InputError(
            f"{path}: release {name!r} cannot be used ({error!r}); an entry has what {SCHEMA.name} says, and its paths "
            "are made of {region} and, but for bricks, {brickname}, {group}, {product} and {band}"
        ) from error
    return release


def survey_of(entry: Any) -> str:
    """Return the survey that an entry of the registry says it is of; DESI where it says nothing."""
    return str(entry.get("survey", DESI)) if isinstance(entry, dict) else DESI


def wrong_survey(name: str, entries: Mapping[str, Any], survey: str) -> str:
    """Return that the registry's release ``name`` is of another survey than is wanted, and which are of that one."""
    other = survey_of(entries[name])
    of_survey = ", ".join(key for key, entry in entries.items() if survey_of(entry) == survey)
    return (
        f"a release of {other.upper()}, which {other}.release may name; {survey}.release wants one of "
        f"{survey.upper()}: {of_survey}"
    )


def _entry(path: Path, name: str, survey: str) -> dict[str, Any]:
    """Return the entry of a release of a survey, as it is written."""
    entries = read_yaml(path)
    if name not in entries:
        of_survey = [key for key, entry in entries.items() if survey_of(entry) == survey]
        raise InputError(f"no release {name!r}{nearest(name, of_survey)} (see {path})")
    if survey_of(entries[name]) != survey:
        raise InputError(f"{name!r} is {wrong_survey(name, entries, survey)} (see {path})")
    entry: dict[str, Any] = entries[name]
    return entry


def redrock_beside(coadd: str) -> str:
    """Return the path or URL of the redrock file in the directory of a coadd.

    Raises
    ------
    InputError
        If the file's name does not begin with ``coadd-``.
    """
    directory, slash, name = coadd.rpartition("/")
    if not name.startswith("coadd-"):
        raise InputError(f"{coadd}: expected a file name like coadd-main-dark-27258.fits, to find its redrock file")
    return f"{directory}{slash}redrock-{name.removeprefix('coadd-')}"


def parse_coadd_name(coadd: str) -> tuple[str, str, int] | None:
    """Return the survey, program and pixel that a coadd's file name says, or None if it is not named like one.

    Parameters
    ----------
    coadd
        Path or URL, such as ``…/coadd-main-dark-27258.fits``; tiles' coadds (``coadd-0-1000-thru20210517.fits``)
        give None.
    """
    found = _COADD_NAME.fullmatch(coadd.rpartition("/")[2])
    return (found[1], found[2], int(found[3])) if found else None
