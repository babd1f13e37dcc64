"""Every task of a production, and what it is made from: out of exposure tables alone.

Light: it is imported whenever the workflow is parsed. A month has 300,000 tasks, which are made in seconds.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from skyharvest.reduction.desi.cameras import ARMS
from skyharvest.reduction.desi.exposure_healpix import ExposurePixel
from skyharvest.reduction.desi.exposure_table import STAR_ARMS, Exposure
from skyharvest.reduction.desi.layout import fibermap_path, raw_path
from skyharvest.reduction.desi.steps import QA, reaches

RUN = ("arc", "flat", "science")
"""Types of exposures that are run."""
LINKED = "linked"
"""What a task is made from that only links a file of another production."""


class Key(NamedTuple):
    """Which task.

    Attributes
    ----------
    kind
        Of the task: mostly its step's name.
    owner
        Where its record is, below the production's ``tasks``: ``20250115/00000006``, ``20250115``, or
        ``healpix/main/dark/97/9712``.
    unit
        A camera, a spectrograph, or "" where an owner has one such task.
    """

    kind: str
    owner: str
    unit: str


@dataclass(frozen=True, slots=True)
class Task:
    """A task.

    Attributes
    ----------
    about
        What it is made from beside files of other tasks: cells of the table, sizes of raw files. None if that cannot be
        told now, because the raw file is gone.
    needs
        Tasks that must have been done.
    some_of
        Tasks of which one is enough, and all that have been done are used.
    """

    key: Key
    about: str | None = ""
    needs: tuple[Key, ...] = ()
    some_of: tuple[Key, ...] = ()


@dataclass(frozen=True)
class Selection:
    """What of a production is asked for; None is all.

    ``expids`` and ``tiles`` choose science exposures; the arcs and flats of their nights are always used.
    """

    nights: Collection[int] | None = None
    expids: Collection[int] | None = None
    tiles: Collection[int] | None = None
    cameras: Collection[str] | None = None

    @property
    def is_all(self) -> bool:
        """Whether all is asked for."""
        return self == Selection()

    def of(self, exposures: Iterable[Exposure]) -> list[Exposure]:
        """Return the exposures of a night that are asked for, with the cameras that are."""
        kept = [self._with_cameras(one) for one in exposures if self._has(one)]
        chosen = self.expids is not None or self.tiles is not None
        return kept if not chosen or any(one.obstype == "science" for one in kept) else []

    def has_night(self, night: int) -> bool:
        """Tell whether a night is asked for."""
        return self.nights is None or night in self.nights

    def _has(self, exposure: Exposure) -> bool:
        if exposure.obstype not in RUN:
            # Its raw file does not tell what it is: it is accounted for.
            return exposure.obstype == "unknown" and bool(exposure.reason)
        if exposure.obstype != "science":
            return True
        return (self.expids is None or exposure.expid in self.expids) and (
            self.tiles is None or exposure.tileid in self.tiles
        )

    def _with_cameras(self, exposure: Exposure) -> Exposure:
        if self.cameras is None:
            return exposure
        wanted = frozenset(self.cameras)
        return replace(exposure, cameras=exposure.cameras & wanted, left_out=exposure.left_out & wanted)


@dataclass(frozen=True)
class Graph:
    """How a production is made, as far as it decides which tasks there are.

    Attributes
    ----------
    raw
        Directory of the raw data.
    forms
        Coadds beside the one of each camera.
    redshifts
        Whether they are measured.
    linked
        What another production gives: ``psfnight``, ``fiberflatnight``, ``cframe``.
    calibration, stars, templates
        What is known of CCDs; models of stars; what redshifts are measured with: names and sizes of their files.
    quality
        Whether it is measured how good each camera's exposure is.
    """

    raw: Path
    forms: Sequence[str] = ()
    redshifts: bool = True
    linked: Collection[str] = ()
    calibration: str = ""
    stars: str = ""
    templates: str = ""
    quality: bool = True
    _sizes: dict[Path, int | None] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> "Graph":
        """Return that of the configuration's section."""
        start, options = settings["start_from"], settings["options"]
        return cls(
            raw=Path(settings["raw"] or ""),  # where cframes are given, nobody looks there
            forms=tuple(options["spectra"]["forms"]),
            redshifts=options["redshift"]["enabled"],
            linked=frozenset(start["products"]),
            calibration=_content_of(settings["calibration"], "spec/*/*.yaml"),
            stars=_content_of(settings["star_templates"]),
            templates=_content_of(settings["redshift_templates"], "rrtemplate-*"),
            quality=settings["qa"]["enabled"],
        )

    def of_night(self, exposures: Sequence[Exposure]) -> Iterator[Task]:
        """Yield the tasks of a night's exposures, each after those that it needs."""
        run = [exposure for exposure in exposures if not exposure.reason]
        of_type = {kind: [exposure for exposure in run if exposure.obstype == kind] for kind in RUN}
        cframes = "cframe" in self.linked
        if not cframes and "psfnight" not in self.linked:
            for exposure in of_type["arc"]:
                yield from self._measured(exposure, self._arc(exposure))
        nights = sorted({exposure.night for exposure in run})
        used = {kind: self._used(of_type[kind]) for kind in RUN}
        for night in () if cframes else nights:
            cameras = used["flat"].keys() | used["science"].keys() | used["arc"].keys()
            yield from self._by_night("psfnight", "psf", night, cameras, used["arc"])
        if not cframes and "fiberflatnight" not in self.linked:
            for exposure in of_type["flat"]:
                yield from self._measured(exposure, self._flat(exposure))
        for night in () if cframes else nights:
            cameras = used["science"].keys() | used["flat"].keys()
            yield from self._by_night("fiberflatnight", "fiberflat", night, cameras, used["flat"])
        for exposure in of_type["science"]:
            yield from self._measured(exposure, (self._linked_cframes if cframes else self._science)(exposure))

    def of_pixels(self, exposures: Iterable[Exposure], pixels: Iterable[ExposurePixel]) -> Iterator[Task]:
        """Yield the tasks of HEALPix pixels.

        Parameters
        ----------
        exposures
            Those of all nights.
        pixels
            In which pixels the targets of each exposure's spectrographs lie.
        """
        science = {one.expid: one for one in exposures if one.obstype == "science" and not one.reason}
        frames: dict[str, list[Key]] = {}
        for found in pixels:
            exposure = science.get(found.expid)
            if exposure is None or not reaches(exposure.laststep, "spectra"):
                continue
            owner = owner_of_pixel(found.survey, found.program, found.healpix)
            if "cframe" not in self.linked and str(found.spectro) not in exposure.with_stars:
                continue
            cameras = [f"{arm}{found.spectro}" for arm in ARMS if f"{arm}{found.spectro}" in exposure.cameras]
            frames.setdefault(owner, []).extend(Key("cframe", owner_of(exposure), camera) for camera in cameras)
        for owner, keys in sorted(frames.items()):
            spectra = Key("spectra", owner, "")
            yield Task(spectra, some_of=tuple(sorted(set(keys))))
            for form in self.forms:
                yield Task(Key(f"coadd-{form}", owner, ""), needs=(spectra,))
            if self.redshifts:
                yield Task(Key("redshift", owner, ""), about=self.templates, needs=(spectra,))

    def _measured(self, exposure: Exposure, tasks: Iterable[Task]) -> Iterator[Task]:
        """Yield an exposure's tasks, and those that measure what they have made of each camera."""
        made = list(tasks)
        yield from made
        if self.quality:
            for camera in sorted(exposure.cameras):
                own = tuple(task.key for task in made if task.key.unit in (camera, camera[1], ""))
                yield Task(Key(QA, owner_of(exposure), camera), some_of=own)

    def _arc(self, exposure: Exposure) -> Iterator[Task]:
        yield from self._each(exposure, "preproc")
        yield from self._each(exposure, "psf", "preproc")

    def _flat(self, exposure: Exposure) -> Iterator[Task]:
        yield from self._frames(exposure)
        yield from self._each(exposure, "fiberflat", "extract")

    def _each(self, exposure: Exposure, kind: str, *needs: str) -> Iterator[Task]:
        owner = owner_of(exposure)
        for camera in sorted(exposure.cameras):
            about = self._raw(exposure, camera) if kind == "preproc" else ""
            yield Task(Key(kind, owner, camera), about, tuple(Key(need, owner, camera) for need in needs))

    def _frames(self, exposure: Exposure) -> Iterator[Task]:
        owner, night = owner_of(exposure), str(exposure.night)
        yield from self._each(exposure, "preproc")
        for camera in sorted(exposure.cameras):
            preproc, psf = Key("preproc", owner, camera), Key("traceshift", owner, camera)
            yield Task(psf, needs=(preproc, Key("psfnight", night, camera)))
            yield Task(Key("extract", owner, camera), needs=(preproc, psf))

    def _science(self, exposure: Exposure) -> Iterator[Task]:
        owner, night, last = owner_of(exposure), str(exposure.night), exposure.laststep
        cameras = sorted(exposure.cameras)
        yield from self._frames(exposure)
        light = {
            camera: (Key("extract", owner, camera), Key("fiberflatnight", night, camera), Key("sky", owner, camera))
            for camera in cameras
        }
        for camera in cameras:
            yield Task(light[camera][2], needs=light[camera][:2])
        if not reaches(last, "starfit"):
            return
        stars = {}
        for spectrograph in exposure.with_stars:
            key = stars[spectrograph] = Key("starfit", owner, spectrograph)
            own = {camera[0]: light[camera][2] for camera in cameras if camera[1] == spectrograph}
            # Frames, flats and skies of an arm come together: an arm that lacks one of them is left out.
            yield Task(key, self.stars, tuple(own[arm] for arm in STAR_ARMS), tuple(own.values()))
        if not stars or not reaches(last, "fluxcalib"):
            return
        chosen = Key("calibstars", owner, "")
        yield Task(chosen, some_of=tuple(stars.values()))
        cameras = [camera for camera in cameras if camera[1] in stars]
        for camera in cameras:
            yield Task(Key("fluxcalib", owner, camera), needs=(*light[camera], stars[camera[1]], chosen))
        for camera in cameras:
            yield Task(Key("cframe", owner, camera), needs=(*light[camera], Key("fluxcalib", owner, camera)))

    def _linked_cframes(self, exposure: Exposure) -> Iterator[Task]:
        for camera in sorted(exposure.cameras):
            yield Task(Key("cframe", owner_of(exposure), camera), LINKED)

    def _by_night(
        self, kind: str, of: str, night: int, cameras: Iterable[str], used: Mapping[str, list[Key]]
    ) -> Iterator[Task]:
        for camera in sorted(cameras):
            key = Key(kind, str(night), camera)
            if kind in self.linked:
                yield Task(key, LINKED)
            else:
                yield Task(key, some_of=tuple(one._replace(kind=of) for one in used.get(camera, ())))

    @staticmethod
    def _used(exposures: Iterable[Exposure]) -> dict[str, list[Key]]:
        """Return the exposures of each camera."""
        made: dict[str, list[Key]] = {}
        for exposure in exposures:
            for camera in exposure.cameras:
                made.setdefault(camera, []).append(Key("", owner_of(exposure), camera))
        return made

    def _raw(self, exposure: Exposure, camera: str) -> str | None:
        sizes = [self._size(path) for path in raw_files(self.raw, exposure.night, exposure.expid)]
        return None if sizes[0] is None else f"{exposure.amps_of(camera)} {sizes[0]} {sizes[1]} {self.calibration}"

    def _size(self, path: Path) -> int | None:
        if path not in self._sizes:
            try:
                self._sizes[path] = path.stat().st_size
            except FileNotFoundError:
                self._sizes[path] = None
        return self._sizes[path]


def _content_of(path: str | None, pattern: str = "") -> str:
    """Return names and sizes of files below a directory, or of a file."""
    if path is None or not Path(path).exists():
        return "none"
    found = sorted(Path(path).glob(pattern)) if pattern else [Path(path)]
    return digest_of(" ".join(f"{one.name}:{one.stat().st_size}" for one in found))


def digest_of(text: str) -> str:
    """Return the digest of what a text says: 16 hex digits."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def raw_files(raw: Path, night: int, expid: int) -> tuple[Path, Path]:
    """Return the paths of a raw exposure and of its fibermap."""
    directory = raw / str(night) / f"{expid:08d}"
    return raw_path(directory, expid), fibermap_path(directory, expid)


def owner_of(exposure: Exposure) -> str:
    """Return the owner of an exposure's tasks."""
    return f"{exposure.night}/{exposure.expid:08d}"


def owner_of_pixel(survey: str, program: str, pix64: int) -> str:
    """Return the owner of the tasks of an NSIDE=64 pixel."""
    return f"healpix/{survey}/{program}/{pix64 // 100}/{pix64}"


def pixel_of(owner: str) -> tuple[str, str, int]:
    """Return survey, program and NSIDE=64 pixel of a pixel's owner."""
    _, survey, program, _, pix64 = owner.split("/")
    return survey, program, int(pix64)


def exposure_of(owner: str) -> tuple[int, int]:
    """Return night and expid of an exposure's owner."""
    night, expid = owner.split("/")
    return int(night), int(expid)
