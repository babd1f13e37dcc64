"""The step that finds where a shot's exposures point, and how fibers and stars are on the sky.

Stars are found in each IFU and exposure (`find_stars`) and matched with the catalogue (`astrometry_solution`). A shot
that has too few stars, or whose match is worth no more than one of unrelated lists, fails with the reason.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.core.errors import InputError
from skyharvest.core.words import counted
from skyharvest.formats.pytables import rows_of
from skyharvest.reduction.hetdex.frames import fplane
from skyharvest.reduction.hetdex.layout import Pairing, name_of_exposure
from skyharvest.reduction.hetdex.settings import Astrometry as Options
from skyharvest.reduction.hetdex.spectra.multifits import multiframe
from skyharvest.reduction.hetdex.stars import astrometry_file, fibers, field_picture, find_stars, refraction
from skyharvest.reduction.hetdex.stars import star_catalogue as catalogues
from skyharvest.reduction.hetdex.stars.astrometry_file import Content, of_exposure
from skyharvest.reduction.hetdex.stars.astrometry_solution import Observed, Solution, solve
from skyharvest.reduction.hetdex.stars.star_catalogue import BANDS, StarCatalogue
from skyharvest.reduction.hetdex.stars.star_match import Match
from skyharvest.reduction.hetdex.stars.tangent import ARCSEC, Pointing
from skyharvest.reduction.hetdex.virus import DITHERS

log = logging.getLogger(__name__)

_TIMESTAMP = re.compile(r"(\d{8}T\d{6})(?:\.(\d))?")
FIELD_RADIUS = 0.25
"""Degrees: the catalogue is cut to that about the pointing; the focal plane has 0.17."""


@dataclass
class _Exposure:
    """An exposure that is being read: its IFUs, one after the other."""

    header: Mapping[str, object] = field(default_factory=dict)
    ifus: list[fibers.Fibers] = field(default_factory=list)
    light: list[tuple[Floats, Floats]] = field(default_factory=list)
    stars: list[find_stars.FoundStars] = field(default_factory=list)
    fwhm: float = np.nan


def solve_shot(multifits: Sequence[Path], star_catalogue: Path, fplane_path: Path, out: Path, options: Options) -> None:
    """Find where a shot's exposures point, and write it.

    Parameters
    ----------
    multifits
        Directories ``science/{shot}/exp{NN}/{ifu}``.
    star_catalogue, fplane_path
        Files.
    out
        ``astrometry/{shot}.h5``. A shot that cannot be solved has the reason in it.

    Raises
    ------
    InputError
        If the catalogue or the fplane file is wrong, or the latter lacks an IFU.
    MalformedFile
        If a multifits is damaged.
    """
    catalogue = catalogues.read(star_catalogue)
    slots = fplane.read(fplane_path)
    shot = multifits[0].parent.parent.name
    exposures = _read(multifits, slots, fplane_path, options)
    content = Content(values={"shot": shot})
    try:
        _fill(content, exposures, catalogue, slots, options)
    except InputError as error:
        log.error("%s: %s", shot, error)
        content = Content(values={"shot": shot, "failed": str(error)})
    astrometry_file.write(out, content)


def _read(
    directories: Sequence[Path], slots: Mapping[str, fplane.Slot], fplane_path: Path, options: Options
) -> dict[int, _Exposure]:
    made: dict[int, _Exposure] = {}
    for directory in sorted(directories, key=lambda path: (path.parent.name, Pairing.named(path.name, path).ifuslot)):
        ifu = fibers.read(directory)
        if ifu is None:
            log.warning("%s: all amplifiers failed: left out", directory)
            continue
        if ifu.ifuslot not in slots:
            raise InputError(
                f"{fplane_path}: found no row of IFUSLOT {ifu.ifuslot}, which {directory.parent.name} has; add it"
            )
        exposure = made.setdefault(int(directory.parent.name.removeprefix("exp")), _Exposure(ifu.header))
        exposure.ifus.append(ifu.without_spectra())
        exposure.light.append(
            fibers.light(ifu.wavelength, ifu.counts, ifu.error, options.first_wavelength, options.last_wavelength)
        )
    for exposure in made.values():
        seen = [(ifu.x, ifu.y, *light) for ifu, light in zip(exposure.ifus, exposure.light, strict=True)]
        exposure.stars, exposure.fwhm = find_stars.find(
            seen, threshold=options.threshold, least_snr=options.least_snr, fwhm=options.fwhm
        )
    return dict(sorted(made.items()))


def _fill(
    content: Content,
    exposures: Mapping[int, _Exposure],
    catalogue: StarCatalogue,
    slots: Mapping[str, fplane.Slot],
    options: Options,
) -> None:
    if not exposures:
        raise InputError("no exposure has an amplifier that could be reduced: see their states")
    observed = [_observed(expnum, exposure, slots, options) for expnum, exposure in exposures.items()]
    start = observed[0].start
    near = catalogue.near(start.ra, start.dec, FIELD_RADIUS).each_once()
    if not len(near):
        raise InputError(
            f"{catalogue.path}: found no star within {FIELD_RADIUS}° of {start.ra:.5f}, {start.dec:.5f}; expected "
            "those of the field: is this the catalogue, and are TRAJCRA (hours) and TRAJCDEC right?"
        )
    solution = solve(observed, near, options)
    for name, match in solution.matches.items():
        log.info(
            "%s: %s matched of %d found, rms %.2f″ and %.2f″, position angle %.3f°, chance %.1g",
            name_of_exposure(name),
            counted(len(match), "star"),
            len(next(e for e in observed if e.expnum == name)),
            match.rms_x,
            match.rms_y,
            match.pointing.pa,
            match.chance,
        )
    dithers = _dithers(observed, solution)
    widths = {expnum: exposure.fwhm for expnum, exposure in exposures.items()}
    _put_exposures(content, observed, solution, dithers, widths)
    _put_lists(content, near, slots)
    for exposure in observed:
        name = exposure.expnum
        match = solution.matches[name]
        _put_stars(content, exposure, match, near, slots)
        _put_fibers(content, exposure, exposures[name], match.pointing, slots)
        centres = [(slots[ifu.ifuslot].y, slots[ifu.ifuslot].x) for ifu in exposures[name].ifus]
        pictures = [
            (ifu.x, ifu.y, light) for ifu, (light, _) in zip(exposures[name].ifus, exposures[name].light, strict=True)
        ]
        mosaic, corner = field_picture.mosaic(centres, pictures)
        own = name_of_exposure(name)
        content.images[f"Astrometry/CoaddImages/{own}"] = mosaic
        content.images[f"Astrometry/CoaddImages/png_{own}"] = field_picture.grey(mosaic)
        content.images[f"Astrometry/CoaddImages/match_{own}"] = field_picture.marked(
            mosaic,
            corner,
            np.column_stack([exposure.x, exposure.y])[match.detected],
            np.column_stack(match.pointing.to_plane(near.ra, near.dec)),
        )
    _put_ifu_offsets(content, observed, solution)


def _observed(expnum: int, exposure: _Exposure, slots: Mapping[str, fplane.Slot], options: Options) -> Observed:
    header = exposure.header
    try:
        start = Pointing(
            float(str(header["TRAJCRA"])) * 15, float(str(header["TRAJCDEC"])), float(str(header["PARANGLE"]))
        )
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{name_of_exposure(expnum)}: found no number under {error}; expected TRAJCRA (hours), TRAJCDEC and "
            "PARANGLE (degrees) in its header"
        ) from error
    moved = float(refraction.shift(np.array([(options.first_wavelength + options.last_wavelength) / 2]))[0])
    ifuslot = np.concatenate(
        [np.repeat(ifu.ifuslot, len(stars)) for ifu, stars in zip(exposure.ifus, exposure.stars, strict=True)]
    )
    values = {
        name: np.concatenate([getattr(stars, name) for stars in exposure.stars])
        for name in ("x", "y", "total", "error", "chi2", "coverage")
    }
    x_ifu, y_ifu = values["x"] - moved, values["y"]
    return Observed(
        expnum,
        start,
        timestamp(header),
        ifuslot,
        x_ifu,
        y_ifu,
        x_ifu + np.array([slots[slot].y for slot in ifuslot]),
        y_ifu + np.array([slots[slot].x for slot in ifuslot]),
        values["total"],
        values["error"],
        values["chi2"],
        values["coverage"],
    )


def timestamp(header: Mapping[str, object]) -> str:
    """Return when an exposure began, ``20190103T054545.0``: of its raw frame's name, or DATE; "" if neither has it."""
    for text in (str(header.get("NAME0", "")), str(header.get("DATE", "")).replace("-", "").replace(":", "")):
        if found := _TIMESTAMP.match(text):
            return f"{found[1]}.{found[2] or '0'}"
    return ""


def _dithers(observed: Sequence[Observed], solution: Solution) -> dict[int, tuple[float, float]]:
    first = solution.matches[observed[0].expnum].pointing
    made = {}
    for exposure in observed:
        own = solution.matches[exposure.expnum].pointing
        x, y = first.to_plane(np.array([own.ra]), np.array([own.dec]))
        made[exposure.expnum] = (float(x[0]), float(y[0]))
    return made


def _put_exposures(
    content: Content,
    observed: Sequence[Observed],
    solution: Solution,
    dithers: Mapping[int, tuple[float, float]],
    widths: Mapping[int, float],
) -> None:
    expnum = [exposure.expnum for exposure in observed]
    matches = [solution.matches[name] for name in expnum]
    dither = np.array([dithers[name] for name in expnum])
    nominal = np.array([DITHERS[name - 1] if 0 < name <= len(DITHERS) else (np.nan, np.nan) for name in expnum])
    norm = [solution.norms[name] for name in expnum]
    stamps = [exposure.timestamp for exposure in observed]
    content.tables["Astrometry/QA"] = rows_of(
        astrometry_file.QA,
        {
            "expnum": expnum,
            "xoffset": (dither - nominal + nominal[0])[:, 0],
            "yoffset": (dither - nominal + nominal[0])[:, 1],
            "xrms": [match.rms_x for match in matches],
            "yrms": [match.rms_y for match in matches],
            "nstars": [len(match) for match in matches],
        },
    )
    content.tables["Astrometry/NominalVals"] = rows_of(
        astrometry_file.NOMINAL,
        {
            "expnum": expnum,
            "ra": [match.pointing.ra for match in matches],
            "dec": [match.pointing.dec for match in matches],
            "parangle": [match.pointing.pa for match in matches],
            "x_dither_pos": dither[:, 0],
            "y_dither_pos": dither[:, 1],
            "relflux_virus": norm,
            "als_filename": "",
        },
    )
    content.tables["Solution/exposures"] = rows_of(
        astrometry_file.EXPOSURES,
        {
            "expnum": expnum,
            "ra": [match.pointing.ra for match in matches],
            "dec": [match.pointing.dec for match in matches],
            "pa": [match.pointing.pa for match in matches],
            "pa_error": [match.pa_error for match in matches],
            "pa_alone": [solution.alone[name] for name in expnum],
            "dither_x": dither[:, 0],
            "dither_y": dither[:, 1],
            "norm": norm,
            "fwhm": [widths[name] for name in expnum],
            "rms_x": [match.rms_x for match in matches],
            "rms_y": [match.rms_y for match in matches],
            "n_found": [len(exposure) for exposure in observed],
            "n_matched": [len(match) for match in matches],
            "chance": [match.chance for match in matches],
            "timestamp": stamps,
        },
    )


def _put_lists(content: Content, near: StarCatalogue, slots: Mapping[str, fplane.Slot]) -> None:
    content.tables["Astrometry/StarCatalog"] = rows_of(
        astrometry_file.CATALOG,
        {"ignore": 1, "star_ID": near.ids, "ra_cat": near.ra, "dec_cat": near.dec}
        | {band: near.magnitude(band) for band in BANDS},
    )
    table = list(slots.values())
    content.tables["Astrometry/fplane"] = rows_of(
        astrometry_file.FPLANE,
        {
            "ifuslot": [int(slot.ifuslot) for slot in table],
            "fpx": [slot.x for slot in table],
            "fpy": [slot.y for slot in table],
            "specid": [int(slot.specid) for slot in table],
            "specslot": [int(slot.specslot) for slot in table],
            "ifuid": [int(slot.ifuid) for slot in table],
            "ifurot": [slot.ifurot for slot in table],
            "platesc": [slot.platesc for slot in table],
        },
    )


def _put_stars(
    content: Content, exposure: Observed, match: Match, near: StarCatalogue, slots: Mapping[str, fplane.Slot]
) -> None:
    ra, dec = match.pointing.to_sky(exposure.x, exposure.y)
    ids = np.full(len(exposure), "", dtype=near.ids.dtype if len(near) else "U1")
    ids[match.detected] = near.ids[match.catalogued]
    content.tables[of_exposure("Solution/found", exposure.expnum)] = rows_of(
        astrometry_file.FOUND,
        {
            "ifuslot": exposure.ifuslot,
            "xifu": exposure.x_ifu,
            "yifu": exposure.y_ifu,
            "ra": ra,
            "dec": dec,
            "light": exposure.light,
            "light_error": exposure.error,
            "chi2": exposure.chi2,
            "coverage": exposure.coverage,
            "star_ID": ids,
        },
    )
    ra, dec = ra[match.detected], dec[match.detected]
    ra_cat, dec_cat = near.ra[match.catalogued], near.dec[match.catalogued]
    own = exposure.ifuslot[match.detected]
    slot = own.astype(np.int64)
    x_cat, y_cat = match.pointing.to_plane(ra_cat, dec_cat)
    content.tables[of_exposure("Astrometry/PositionOffsets", exposure.expnum)] = rows_of(
        astrometry_file.OFFSETS,
        {
            "xoffset": ((ra - ra_cat + 180) % 360 - 180) * np.cos(np.radians(dec_cat)) / ARCSEC,
            "yoffset": (dec - dec_cat) / ARCSEC,
            "ra_dex": ra,
            "dec_dex": dec,
            "ra_cat": ra_cat,
            "dec_cat": dec_cat,
            "ifuslot": slot,
        },
    )
    content.tables[of_exposure("Astrometry/CatalogMatches", exposure.expnum)] = rows_of(
        astrometry_file.MATCHES,
        {
            "RA_det": ra,
            "DEC_det": dec,
            "IFUSLOT_det": slot,
            "xifu_det": exposure.x_ifu[match.detected],
            "yifu_det": exposure.y_ifu[match.detected],
            "ifuslot_det": slot,
            "RA_cat": ra_cat,
            "DEC_cat": dec_cat,
            "IFUSLOT_cat": slot,
            "xifu_cat": x_cat - np.array([slots[name].y for name in own]),
            "yifu_cat": y_cat - np.array([slots[name].x for name in own]),
            "ifuslot_cat": slot,
        },
    )


def _put_fibers(
    content: Content, observed: Observed, exposure: _Exposure, pointing: Pointing, slots: Mapping[str, fplane.Slot]
) -> None:
    columns: dict[str, list[Array]] = {}
    for ifu in exposure.ifus:
        slot = slots[ifu.ifuslot]
        frame = [multiframe(ifu.specid, ifu.ifuslot, ifu.ifuid, amp) for amp in ifu.amp]
        for name, values in (
            ("slot", np.repeat(ifu.ifuslot, len(ifu))),
            ("frame", np.array(frame)),
            ("fibidx", ifu.fibidx),
            ("x", ifu.x),
            ("y", ifu.y),
            ("fpx", ifu.x + slot.y),
            ("fpy", ifu.y + slot.x),
        ):
            columns.setdefault(name, []).append(values)
    have = {name: np.concatenate(values) for name, values in columns.items()}
    ra, dec = pointing.to_sky(have["fpx"], have["fpy"])
    content.tables[of_exposure("Astrometry/Dithall", observed.expnum)] = rows_of(
        astrometry_file.DITHALL,
        {
            "ra": ra,
            "dec": dec,
            "XS": have["x"],
            "YS": have["y"],
            "exposure": name_of_exposure(observed.expnum),
            "ifuslot": have["slot"],
            "multifits": [f"{f}_{i + 1:03d}.ixy" for f, i in zip(have["frame"], have["fibidx"], strict=True)],
            "timestamp": observed.timestamp,
            "xfplane": have["fpx"],
            "yfplane": have["fpy"],
        },
    )
    content.tables[of_exposure("Solution/fibers", observed.expnum)] = rows_of(
        astrometry_file.FIBERS,
        {
            "multiframe": have["frame"],
            "fibidx": have["fibidx"],
            "ifux": have["x"],
            "ifuy": have["y"],
            "fpx": have["fpx"],
            "fpy": have["fpy"],
            "ra": ra,
            "dec": dec,
        },
    )


def _put_ifu_offsets(content: Content, observed: Sequence[Observed], solution: Solution) -> None:
    """Measure by how much the stars of each IFU are off, all exposures together."""
    slot = np.concatenate([e.ifuslot[solution.matches[e.expnum].detected] for e in observed])
    dx = np.concatenate([solution.matches[e.expnum].dx for e in observed])
    dy = np.concatenate([solution.matches[e.expnum].dy for e in observed])
    names = sorted(set(slot.tolist()))
    values: dict[str, list[float]] = {"n_stars": [], "dx": [], "dy": [], "dx_error": [], "dy_error": []}
    for name in names:
        own = slot == name
        n = int(own.sum())
        values["n_stars"].append(n)
        for key, offsets in (("dx", dx[own]), ("dy", dy[own])):
            values[key].append(float(offsets.mean()))
            values[f"{key}_error"].append(float(offsets.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan)
    content.tables["Solution/ifu_offsets"] = rows_of(
        astrometry_file.IFU_OFFSETS, {"ifuslot": np.array(names, "U3")} | {k: np.array(v) for k, v in values.items()}
    )
