"""A whole night: arcs, flats and science exposures of one tile, with the faults that real nights have.

Below the directory: ``data`` (raw exposures and fibermaps), ``calibration`` (a ``DESI_SPECTRO_CALIB`` tree),
``desimodel``, ``templates``, the truth, ``truth.fits``; and where an amplifier is bad ``exposure_tables``, of a person
who has seen it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import numpy.typing as npt
from astropy import units
from astropy.table import Column, Table
from desispec.io import write_fibermap
from desispec.io.fibermap import _set_fibermap_columns  # `empty_fibermap` wants the real $DESIMODEL
from desispec.io.filters import load_legacy_survey_filter
from desitarget.targetmask import desi_mask

from skyharvest.core.arrays import Floats
from skyharvest.core.atomic import atomic_path
from skyharvest.reduction.desi.cameras import create_camword
from skyharvest.reduction.desi.exposure_table import path_of, write_table
from skyharvest.reduction.desi.psf.file import write_psf
from skyharvest.reduction.desi.psf.lines import read_lines
from skyharvest.reduction.desi.psf.model import Psf
from skyharvest.reduction.desi.psf.shifts import read_sky
from skyharvest.reduction.desi.psf.steps import SHAPE_DEGREE
from skyharvest.simulate.desi_night.camera import Camera, cameras
from skyharvest.simulate.desi_night.desimodel import write_desimodel
from skyharvest.simulate.desi_night.objects import FIRST_TARGETID, SKY_BIT, Objects, draw, electrons
from skyharvest.simulate.desi_night.psf import psf_of
from skyharvest.simulate.desi_night.raw import OVERSCAN, PRESCAN, Exposure, expose, write_exposure
from skyharvest.simulate.desi_night.templates import write_redrock, write_standards

NIGHT = 20250115
STEP = 0.1
"""Å, of the light that is simulated."""
CALIBRATION_OFF = (0.25, -0.35)
"""How far the calibration's traces are from the arcs', pixels."""
CALIBRATION_WIDER = 1.05
"""How much wider its spots are."""


@dataclass(frozen=True)
class Plan:
    """What is simulated.

    Attributes
    ----------
    arcs, flats, science
        Numbers of exposures.
    dead
        A fiber without light; None for none.
    many_cosmics
        Number of the science exposure that cosmic rays have hit hard; None for none.
    missing
        Number of a science exposure, and the camera that it lacks.
    bad_amp
        Number of a science exposure, and an amplifier of its: ``r0D``; None for none.
    truncated
        Whether one more arc is there whose file is cut off.
    """

    n_fiber: int = 25
    arcs: int = 2
    flats: int = 2
    science: int = 2
    dead: int | None = 9
    many_cosmics: int | None = 1
    missing: tuple[int, str] | None = (1, "z0")
    bad_amp: tuple[int, str] | None = (1, "r0D")
    truncated: bool = True
    seed: int = 12345
    cameras: Sequence[str] = field(default=("b0", "r0", "z0"))


def simulate(root: Path, plan: Plan = Plan()) -> list[Exposure]:
    """Write a night; return its exposures."""
    rng = np.random.default_rng(plan.seed)
    wave = np.arange(3540.0, 9870.0, STEP)
    objects = draw(wave, plan.n_fiber)
    own = {name: camera for name, camera in cameras(0, plan.n_fiber).items() if name in plan.cameras}
    write_desimodel(root / "desimodel")
    write_redrock(root / "templates" / "redrock")
    write_standards(root / "templates" / "standard_stars.fits")
    _write_calibration(root / "calibration", own)
    through = 1 + 0.06 * np.sin(np.arange(plan.n_fiber) * 2.3) + rng.normal(0, 0.02, plan.n_fiber)
    if plan.dead is not None:
        through[plan.dead] = 0
    lights = _Lights(wave, objects, through, rng)
    exposures = _exposures(plan)
    for exposure in exposures:
        directory = root / "data" / str(NIGHT) / f"{exposure.expid:08d}"
        images = {}
        for name in exposure.cameras:
            camera = own[name]
            light = lights.of(exposure)
            clean = camera.image(wave, light, exposure.dx, exposure.dy)
            bad = exposure.bad_amp[2:] if exposure.bad_amp[:2] == name else ""
            images[name] = expose(camera, clean, exposure.n_cosmics, rng, bad)
        path = directory / f"desi-{exposure.expid:08d}.fits.fz"
        write_exposure(path, exposure, images)
        _write_fibermap(directory / f"fibermap-{exposure.expid:08d}.fits", exposure, objects)
        if plan.truncated and exposure.expid == plan.arcs + 1:
            with path.open("r+b") as stream:
                stream.truncate(path.stat().st_size // 2)
    _write_truth(root / "truth.fits", objects, through, exposures)
    seen = [one for one in exposures if one.bad_amp]
    if seen:
        write_table(path_of(root, NIGHT), [_row(one) for one in seen])
    return exposures


def _row(exposure: Exposure) -> dict[str, Any]:
    """Return an exposure's line of a table, as somebody has edited it."""
    said = exposure.header()
    same = ("EXPID", "NIGHT", "TILEID", "EXPTIME", "AIRMASS", "TARGTRA", "TARGTDEC", "PROGRAM", "PURPOSE", "MJD-OBS")
    known = {"OBSTYPE": exposure.obstype, "SURVEY": "main", "FA_SURV": "main", "FAPRGRM": "dark"}
    cells = {"CAMWORD": create_camword(exposure.cameras), "BADAMPS": exposure.bad_amp}
    return {name: said[name] for name in same} | known | cells | {"COMMENTS": ["its noise is 80 electrons"]}


def _exposures(plan: Plan) -> list[Exposure]:
    made: list[Exposure] = []

    def add(obstype: str, **how: Any) -> None:
        made.append(Exposure(NIGHT, len(made) + 1, obstype, cameras=how.pop("cameras", tuple(plan.cameras)), **how))

    for _ in range(plan.arcs + plan.truncated):
        add("arc", exptime=5.0, program="CALIB short Arcs all", n_cosmics=2)
    for k in range(plan.flats):
        program = f"CALIB DESI-CALIB-{k:02d} LEDs only"
        add("flat", exptime=100.0, program=program, dx=0.12, dy=-0.15, n_cosmics=5)
    for k in range(plan.science):
        missing, bad_amp = (one[1] if one and one[0] == k else "" for one in (plan.missing, plan.bad_amp))
        add(
            "science",
            exptime=1000.0,
            program="simulated dark",
            tileid=1,
            dx=-0.10 + 0.05 * k,
            dy=0.18 - 0.1 * k,
            n_cosmics=400 if plan.many_cosmics == k else 40,
            cameras=tuple(camera for camera in plan.cameras if camera != missing),
            bad_amp=bad_amp,
        )
    return made


def arc_light(wave: Floats, rng: np.random.Generator) -> Floats:
    """Return the electrons of arc lamps at wavelengths `STEP` apart: lines as bright as it falls, and a faint glow."""
    made = np.full(wave.size, 0.3 * STEP)
    for line in read_lines():
        if wave[0] < line < wave[-2]:
            place = (line - wave[0]) / STEP
            amount = np.exp(rng.uniform(np.log(1500), np.log(40000)))
            made[int(place)] += amount * (1 - place % 1)
            made[int(place) + 1] += amount * (place % 1)
    return made


def sky_flux(wave: Floats) -> Floats:
    """Return the sky's light in a fiber, 1e-17 erg/s/cm²/Å: a glow, and desispec's lines.

    As those lines are given, the one at 5577 Å has 225 Rayleigh in a fiber of 1.8 arcsec²: what it has.
    """
    lines = np.interp(wave, *read_sky())
    glow = np.interp(wave, [3500, 4000, 5000, 6000, 8000, 9850], [1.2, 1.2, 1.1, 1.3, 1.6, 2.2])
    return np.asarray(glow + lines)


class _Lights:
    """Electrons of each fiber at each wavelength, by kind of exposure."""

    def __init__(self, wave: Floats, objects: Objects, through: Floats, rng: np.random.Generator) -> None:
        arc = arc_light(wave, rng)
        lamp = 4000 * np.exp(-(((wave - 6500) / 3500) ** 2)) * STEP
        sky = sky_flux(wave)
        self._of = {
            "arc": np.outer(through, arc),
            "flat": np.outer(through, lamp),
            "science": through[:, None] * (objects.flux + sky) * electrons(wave, 1000.0) * STEP,
        }

    def of(self, exposure: Exposure) -> Floats:
        return self._of[exposure.obstype]


def _write_calibration(root: Path, own: dict[str, Camera]) -> None:
    for name, camera in own.items():
        of_spectrograph = root / "spec" / f"sp{name[1]}"
        write_psf(of_spectrograph / f"psf-{name}.fits", calibration_psf(camera), name)
        width = PRESCAN + camera.n_x // 2 + OVERSCAN
        images = {
            "bias": np.zeros((camera.n_y, 2 * width), np.float32),
            "mask": np.zeros((camera.n_y, camera.n_x), np.int32),
            "pixflat": np.ones((camera.n_y, camera.n_x), np.float32),
        }
        for kind, image in images.items():
            with atomic_path(root / "ccd" / f"{kind}-{name}.fits") as temporary:
                fitsio.write(str(temporary), image, clobber=True)
        lines = [
            f"{name}:",
            "  V1:",
            "    DATE-OBS-BEGIN: '20240101'",
            "    DETECTOR: SIM",
            f"    PSF: spec/sp{name[1]}/psf-{name}.fits",
            *(f"    {kind.upper()}: ccd/{kind}-{name}.fits" for kind in images),
        ]
        with atomic_path(of_spectrograph / f"{name}.yaml") as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with atomic_path(root / "spec" / "smsp.txt") as temporary:
        temporary.write_text("".join(f"sp{k} sm{k}\n" for k in range(10)), encoding="utf-8")


def calibration_psf(camera: Camera) -> Psf:
    """Return the PSF that a calibration has of a camera: a little off, and a little too wide."""
    return psf_of(camera, *CALIBRATION_OFF, CALIBRATION_WIDER, SHAPE_DEGREE[camera.name[0]])


def _write_fibermap(path: Path, exposure: Exposure, objects: Objects) -> None:
    n = objects.n_fiber
    table = Table()
    for name, dtype, unit, *_ in _set_fibermap_columns("main"):
        table.add_column(Column(name=name, dtype=dtype, unit=unit, length=n))
    fiber = np.arange(n)
    table["FIBER"], table["DEVICE_LOC"] = fiber.astype(np.int32), fiber.astype(np.int32)
    table["TARGETID"], table["LOCATION"], table["PETAL_LOC"] = _targetids(objects), fiber, 0
    table["TARGET_RA"], table["TARGET_DEC"] = exposure.ra + 0.002 * fiber, exposure.dec + 0.001 * fiber
    table["FIBER_X"], table["FIBER_Y"] = 100 + 2.0 * fiber, -50 + 1.0 * fiber
    table["LAMBDA_REF"], table["EXPTIME"], table["OBJTYPE"] = 5400.0, exposure.exptime, "TGT"
    if exposure.obstype == "science":
        _add_targets(table, objects)
    table.meta |= exposure.header() | {"SURVEY": "main", "EXTNAME": "FIBERMAP"}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_fibermap(str(path), table)


def _targetids(objects: Objects) -> npt.NDArray[np.int64]:
    """Return the TARGETID of each fiber, (n_fiber,) i8."""
    sky = [SKY_BIT if kind == "SKY" else 0 for kind in objects.kind]
    return FIRST_TARGETID + np.arange(objects.n_fiber) + np.array(sky, np.int64)


def _add_targets(table: Table, objects: Objects) -> None:
    bits = {"SKY": desi_mask.SKY, "STD": desi_mask.STD_BRIGHT | desi_mask.STD_FAINT, "QSO": desi_mask.QSO}
    wave = np.concatenate(
        [objects.wave[0] - 0.2 * np.arange(300, 0, -1), objects.wave, objects.wave[-1] + np.arange(1, 1501)]
    )
    for k, kind in enumerate(objects.kind):
        table["DESI_TARGET"][k] = bits.get(kind, desi_mask.ELG)
        if kind == "SKY":
            table["OBJTYPE"][k] = "SKY"
            continue
        flux = np.pad(objects.flux[k], (300, 1500), mode="edge") * 1e-17 * units.erg / units.s / units.cm**2 / units.AA
        for band in "GRZ":
            response = load_legacy_survey_filter(band, "S")
            padded = response.pad_spectrum(flux, wave * units.AA, method="edge")
            nanomaggies = 10 ** (-0.4 * (response.get_ab_magnitude(*padded) - 22.5))
            for name, share in (("FLUX_", 1.0), ("FIBERFLUX_", 0.78), ("FIBERTOTFLUX_", 0.78)):
                table[name + band][k] = share * nanomaggies
        table["MORPHTYPE"][k] = "PSF"
    table["PHOTSYS"], table["EBV"] = "S", 0.0
    magnitude = 22.5 - 2.5 * np.log10(np.clip(table["FLUX_R"], 0.1, None))
    table["GAIA_PHOT_G_MEAN_MAG"] = magnitude
    table["GAIA_PHOT_BP_MEAN_MAG"], table["GAIA_PHOT_RP_MEAN_MAG"] = magnitude + 0.3, magnitude - 0.4


def _write_truth(path: Path, objects: Objects, through: Floats, exposures: Sequence[Exposure]) -> None:
    table = np.zeros(
        objects.n_fiber, [("FIBER", "i4"), ("TARGETID", "i8"), ("KIND", "S8"), ("Z", "f8"), ("THROUGHPUT", "f8")]
    )
    table["FIBER"] = np.arange(objects.n_fiber)
    table["TARGETID"], table["KIND"] = _targetids(objects), objects.kind
    table["Z"], table["THROUGHPUT"] = objects.z, through
    with atomic_path(path) as temporary, fitsio.FITS(str(temporary), "rw", clobber=True) as file:
        file.write(table, extname="OBJECTS")
        file.write(objects.wave[::4], extname="WAVELENGTH")
        file.write(objects.flux[:, ::4].astype(np.float32), extname="FLUX")
        moved = np.array(
            [(one.expid, one.dx, one.dy) for one in exposures], [("EXPID", "i4"), ("DX", "f8"), ("DY", "f8")]
        )
        file.write(moved, extname="EXPOSURES")
