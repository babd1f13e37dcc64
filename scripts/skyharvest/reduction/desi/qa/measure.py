"""Measure a camera's exposure: from the files of its steps to its `Frame`. It fails nothing.

What cannot be measured, because a file is missing or cannot be read, is a metric ``QATYPE-MISSING`` without a value.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
from desispec.fiberflat import FiberFlat
from desispec.frame import Frame as Spectra
from desispec.io import read_frame, read_sky

from skyharvest.core.arrays import Bools, Ints
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.desi.exposure_table import Exposure
from skyharvest.reduction.desi.psf.file import read_psf
from skyharvest.reduction.desi.psf.steps import of_calibration
from skyharvest.reduction.desi.qa.definitions import STEP_OF
from skyharvest.reduction.desi.qa.extract import dead_fibers, measure_fiberflat, measure_frame
from skyharvest.reduction.desi.qa.fluxcalib import measure_calibration, measure_stars
from skyharvest.reduction.desi.qa.limits import Limits, frame_of, missing
from skyharvest.reduction.desi.qa.measured import Curve, Frame, Metric
from skyharvest.reduction.desi.qa.part import Part, known_bad
from skyharvest.reduction.desi.qa.preproc import measure_preproc
from skyharvest.reduction.desi.qa.psf import measure_psf, measure_traces
from skyharvest.reduction.desi.qa.s2n import measure_s2n
from skyharvest.reduction.desi.qa.skysub import measure_sky, measure_skycorr, subtract

log = logging.getLogger(__name__)

OF_CAMERA = 500
"""Fibers."""
COSMICS_NSIG = 6.0
"""As `desi_process_exposure` is told in DESI's productions."""


@dataclass(frozen=True)
class Exposed:
    """A camera's exposure, and the files that there are of it.

    Attributes
    ----------
    files
        Some of `skyharvest.reduction.desi.qa.definitions.FILES` → path.
    missing
        Steps that were to be done, and have not been.
    """

    exposure: Exposure
    camera: str
    files: Mapping[str, Path]
    missing: Iterable[str] = field(default=())

    @property
    def arm(self) -> str:
        """``b``, ``r`` or ``z``."""
        return self.camera[0]

    @cached_property
    def preproc(self) -> dict[str, Any]:
        """Image, inverse variances, mask, header, and fibermap (None if it has none) of the preprocessed image."""
        with _opened(self.files["preproc"]) as file:
            names = [hdu.get_extname() for hdu in file]
            made = {name: file[name].read() for name in ("IMAGE", "IVAR", "MASK")}
            fibermap = file["FIBERMAP"].read() if "FIBERMAP" in names else None
            return made | {"header": dict(file["IMAGE"].read_header()), "fibermap": fibermap}

    @cached_property
    def frame(self) -> Spectra:
        """The frame. It is to be left as it is."""
        return _read(self.files["frame"], read_frame)

    @cached_property
    def cframe(self) -> Spectra:
        """The calibrated frame, without its resolution."""
        return _read(self.files["cframe"], lambda path: read_frame(path, skip_resolution=True))

    @cached_property
    def bad(self) -> Bools:
        """(n_fiber,) bool: fibers of the frame that are known as bad."""
        return known_bad(self.frame.fibermap)

    @cached_property
    def on_sky(self) -> Bools:
        """(n_fiber,) bool: fibers of the frame that look at the sky, and are not known as bad."""
        return np.asarray((_text(self.frame.fibermap["OBJTYPE"]) == "SKY") & ~self.bad)

    @cached_property
    def dead(self) -> Bools:
        """(n_fiber,) bool: fibers of the frame without light."""
        among = ~self.bad if self.exposure.obstype == "flat" else self.on_sky
        return dead_fibers(self.frame.flux, self.frame.ivar, among)[1]


def _text(values: Any) -> Any:
    return np.char.strip(np.asarray(values).astype(str))


def _opened(path: Path) -> fitsio.FITS:
    if not path.exists():
        raise FileNotFoundError(2, "there is no file", str(path))
    return fitsio.FITS(str(path))


def _read(path: Path, read: Callable[[str], Any]) -> Any:
    if not path.exists():
        raise FileNotFoundError(2, "there is no file", str(path))
    try:
        return read(str(path))
    except OSError as error:  # FITSIO breaks lines within names of files
        raise MalformedFile(f"{path.name} cannot be read: {' '.join(str(error).split())}") from error


def _preproc(one: Exposed) -> Part:
    of = one.preproc
    return measure_preproc(of["IMAGE"], of["IVAR"], of["MASK"], of["header"], one.exposure.amps_of(one.camera))


def _psf(one: Exposed) -> Part:
    psf = read_psf(one.files["fit-psf"])
    fibermap = one.preproc["fibermap"] if "preproc" in one.files else None
    bad = None if fibermap is None or len(fibermap) < psf.n_fiber else known_bad(fibermap)[: psf.n_fiber]
    try:
        before = read_psf(of_calibration(one.files["preproc"]))
    except Exception as error:  # what cannot be compared is measured alone
        log.warning("%s: no PSF of the calibration to compare with: %s", one.files["fit-psf"], error)
        before = None
    return measure_psf(psf, before, bad)


def _traceshift(one: Exposed) -> Part:
    return measure_traces(read_psf(one.files["psf"]), read_psf(one.files["psfnight"]))


def _extract(one: Exposed) -> Part:
    frame = one.frame
    sky = None if one.exposure.obstype == "flat" else one.on_sky
    return measure_frame(frame.wave, frame.flux, frame.ivar, frame.mask, frame.chi2pix, frame.fibers, one.bad, sky)


def _fiberflat(one: Exposed) -> Part:
    flat = _read_fiberflat(one.files["fiberflat"])
    fibers = np.arange(flat.nspec) if "frame" not in one.files else one.frame.fibers
    bad = np.zeros(flat.nspec, bool) if "frame" not in one.files else one.bad | one.dead
    return measure_fiberflat(flat.wave, flat.fiberflat, flat.ivar, flat.mask, flat.meanspec, fibers, bad)


def _sky(one: Exposed) -> Part:
    sky = _read(one.files["sky"], read_sky)
    frame = one.frame
    on_sky = one.on_sky & ~one.dead
    copied = Spectra(
        frame.wave,
        frame.flux.copy(),
        frame.ivar.copy(),
        mask=frame.mask.copy(),
        resolution_data=frame.resolution_data,
        fibers=frame.fibers,
        meta=frame.meta,
        fibermap=frame.fibermap,
    )
    part = measure_sky(subtract(copied, _read_fiberflat(one.files["fiberflatnight"]), sky, COSMICS_NSIG), sky, on_sky)
    if "skycorr" in one.files:
        with _opened(one.files["skycorr"]) as file:
            if {"DWAVE", "DLSF"} <= {hdu.get_extname() for hdu in file}:
                part.metrics |= measure_skycorr(
                    file["DWAVE"].read(), file["DLSF"].read(), ~one.bad & ~one.dead, frame.fibers
                ).metrics
    return part


def _read_fiberflat(path: Path) -> FiberFlat:
    with _opened(path) as file:
        wave, flat, ivar, mask, mean = (file[name].read() for name in ("WAVELENGTH", 0, "IVAR", "MASK", "MEANSPEC"))
        return FiberFlat(wave, flat.astype(float), ivar.astype(float), mask, mean)


def _fluxcalib(one: Exposed) -> Part:
    with _opened(one.files["fluxcalib"]) as file:
        wave, calib, ivar, mask = (file[name].read() for name in ("WAVELENGTH", 0, "IVAR", "MASK"))
        used = file["STDSTAR_FIBERMAP"].read()["FIBER"] if "STDSTAR_FIBERMAP" in file else None
    with _opened(one.files["stdstars"]) as file:
        fibers, model_wave, models = (file[name].read() for name in ("FIBERS", "WAVELENGTH", "FLUX"))
    chosen = np.isin(fibers, used) if used is not None else np.ones(len(fibers), bool)
    rows = np.asarray(fibers[chosen] % OF_CAMERA % len(calib), np.int64)
    exptime = float(one.frame.meta["EXPTIME"]) if "frame" in one.files else one.exposure.exptime
    part = measure_calibration(one.arm, wave, calib, ivar, mask, rows, exptime)
    if "cframe" in one.files:
        found = _rows(one.cframe.fibers, fibers[chosen])
        stars = one.cframe
        more = measure_stars(one.arm, stars.wave, stars.flux[found], stars.ivar[found], model_wave, models[chosen])
        part.metrics |= more.metrics
        part.curves |= more.curves
    return part


def _rows(fibers: Any, wanted: Any) -> Ints:
    place = {int(fiber): k for k, fiber in enumerate(fibers)}
    return np.array([place[int(fiber)] for fiber in wanted], np.int64)


def _s2n(one: Exposed) -> Part:
    cframe = one.cframe
    fibermap = cframe.fibermap
    good = ~known_bad(fibermap) & (cframe.ivar > 0).any(axis=1)
    table = np.asarray(fibermap.as_array()) if hasattr(fibermap, "as_array") else np.asarray(fibermap)
    scores = None if cframe.scores is None else np.asarray(cframe.scores)
    exptime = float(cframe.meta["EXPTIME"])
    return measure_s2n(one.arm, cframe.flux, cframe.ivar, table, good, exptime, scores)


_PARTS: dict[str, tuple[Callable[[Exposed], Part], tuple[str, ...], tuple[str, ...]]] = {
    "PREPROC": (_preproc, ("preproc",), ("preproc",)),
    "PSF": (_psf, ("fit-psf", "preproc"), ("psf",)),
    "TRACESHIFT": (_traceshift, ("psf", "psfnight"), ("traceshift",)),
    "EXTRACT": (_extract, ("frame",), ("extract",)),
    "FIBERFLAT": (_fiberflat, ("fiberflat",), ("fiberflat",)),
    "SKYSUB": (_sky, ("sky", "fiberflatnight", "frame"), ("sky",)),
    "FLUXCALIB": (_fluxcalib, ("fluxcalib", "stdstars"), ("fluxcalib", "starfit")),
    "S2N": (_s2n, ("cframe",), ("cframe",)),
}
"""QATYPE → what measures it, the files that it needs, and the steps that make those."""
assert list(_PARTS) == list(STEP_OF)


def measure(one: Exposed, limits: Limits) -> Frame:
    """Measure what there is of a camera's exposure."""
    undone = set(one.missing)
    found: dict[str, Metric] = {}
    curves: dict[str, Curve] = {}
    for kind, (function, files, steps) in _PARTS.items():
        lacking = [step for step in steps if step in undone]
        if lacking:
            found |= missing(kind, f"{lacking[0]} has not been done")
            continue
        if files[0] not in one.files:
            continue
        try:
            if absent := [name for name in files if name not in one.files]:
                raise MalformedFile(f"there is no {absent[0]}")
            part = function(one)
        except Exception as error:  # a check that fails must not stop what it checks
            log.warning("%s %s cannot be measured", one.camera, kind, exc_info=True)
            found |= missing(kind, f"{type(error).__name__}: {error}")
        else:
            found |= part.metrics
            curves |= part.curves
    return frame_of(one.exposure, one.camera, limits, found, curves)
