"""What is asked of one HETDEX cube before a run: where it is, its images, and its sky and wavelengths."""

import re
from collections.abc import Iterator

import numpy as np

from skyharvest.archive.archive import is_url
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.core.words import counted
from skyharvest.formats.byte_source import Source
from skyharvest.formats.fits_file import FitsFile
from skyharvest.formats.fits_hdu import HDU
from skyharvest.formats.tangent_plane import Sky
from skyharvest.formats.tile_table import tile_shape
from skyharvest.harvest.check import ADAPTED, AS_ASSUMED, FAILS, NOTE, Asking, Finding
from skyharvest.sky.matching import separation_deg
from skyharvest.surveys.hetdex.check.index import REPORT, UNREADABLE, Listed, candidates
from skyharvest.surveys.hetdex.check.voxels import voxels
from skyharvest.surveys.hetdex.cube import BIN_WIDTH, IMAGES, N_SPAXELS, SHAPE, WAVE_AIR, check_image, wavelength_unit
from skyharvest.surveys.hetdex.plan import REACH

TRIED, TRIED_HERE = 3, 2000  # cubes, until one is there: behind a server, and in a directory, which may hold some only
NAME = "dex_cube_{shotid}_{ifuslot}.fits"
PLACE = "where the release's paths say"
OTHER_PATHS = (NAME, f"{{shotid}}/{NAME}", f"datacubes/{NAME}", f"datacubes/{{ifuslot}}/{NAME}")
SPAXEL_ARCSEC, OFF_CENTRE_ARCSEC = 0.5, 2.0
PER_ANGSTROM = re.compile(r"\b(A|AA|Ang\w*)\b(?!.*\bbins?\b)", re.IGNORECASE)
PER_ARCSEC2 = re.compile("arcsec", re.IGNORECASE)
SCALE = re.compile(r"(?:1\.?0?e|10\s*(?:\^|\*\*)\s*\(?)\s*([+-]?\d+)", re.IGNORECASE)


def one_cube(asking: Asking) -> Iterator[Finding]:
    """Ask about a cube that the index lists; about one that a position of the CSV is on, if there is any."""
    listed: Listed = asking.shared["listed"]
    question = "cubes"
    chosen = candidates(listed, TRIED if is_url(asking.archive.root) else TRIED_HERE)
    absent: list[str] = []
    for cube in chosen:
        path = asking.release.cube(int(cube["shotid"]), cube["ifuslot"].decode())
        if not asking.archive.has(path):
            absent.append(path)
            continue
        if absent:
            yield asking.found(
                NOTE,
                question,
                asking.archive.location(absent[0]),
                assumed=PLACE,
                seen=f"{len(absent):,} absent, until one was there",
                means="cubes that the archive does not have are recorded as absent; the others are read",
            )
        else:
            yield asking.found(AS_ASSUMED, question, asking.archive.location(path), assumed=PLACE, seen="there")
        with asking.archive.open(path) as source:
            yield from _opened(asking, source, cube)
        return
    if absent:
        yield _elsewhere(asking, chosen[0], absent)


def _opened(asking: Asking, source: Source, cube: np.void) -> Iterator[Finding]:
    """Ask about a cube's images, sky, wavelengths and values."""
    question, assumed = "images of a cube", f"{', '.join(IMAGES)}, {' x '.join(map(str, SHAPE))}"
    try:
        fits = FitsFile(source)
        for name in IMAGES:
            check_image(fits[name], source.size())
        sky = Sky(fits["DATA"].header, SHAPE[1:])
    except (MalformedFile, ValueError) as error:  # wcslib's, too
        seen = " ".join(str(error).split())
        yield asking.found(FAILS, question, source.name, assumed=assumed, seen=seen, means=UNREADABLE, change=REPORT)
        return
    asking.shared["cube_bytes"] = source.size()
    others = [hdu.name for hdu in fits.hdus if hdu.name not in (*IMAGES, "PRIMARY")]
    seen = assumed + (f"; not read: {', '.join(others)}" if others else "")
    yield asking.found(AS_ASSUMED, question, source.name, assumed=assumed, seen=seen)
    yield _compression(asking, fits)
    yield _sky(asking, fits["DATA"], sky)
    yield _centre(asking, fits["DATA"], sky, cube)
    yield _wavelengths(asking, fits["DATA"])
    yield _width(asking, fits["DATA"])
    yield _unit_of_flux(asking, fits["DATA"])
    yield from voxels(asking, fits, float(cube["flag"]))


def _elsewhere(asking: Asking, cube: np.void, absent: list[str]) -> Finding:
    """Return that cubes are not where they should be, and where one of them is."""
    shotid, ifuslot = int(cube["shotid"]), cube["ifuslot"].decode()
    means, change = "every cube would be recorded as absent", REPORT
    seen = f"no file, for {counted(len(absent), 'cube')} of the index"
    try:
        asking.archive.refuse_other_compression(absent[0])
    except InputError as error:
        seen, change = str(error), "unpack the files, or hetdex.archive: another mirror"
    for other in OTHER_PATHS:
        if other != asking.release.paths["cube"] and asking.archive.has(other.format(shotid=shotid, ifuslot=ifuslot)):
            seen += f"; {other} is there"
            change = f"in config/releases.yaml, {asking.release.name}: paths: cube: {other}"
            break
    about = asking.archive.location(absent[0])
    return asking.found(FAILS, "cubes", about, assumed=PLACE, seen=seen, means=means, change=change)


def _compression(asking: Asking, fits: FitsFile) -> Finding:
    """Return how the images are compressed: all that can be decoded will do, but some ways take long."""
    ways: dict[str, list[str]] = {}
    deepest = 1
    for name in IMAGES:
        hdu, way = fits[name], "none"
        if hdu.header.get("ZIMAGE") is True:
            tile = tile_shape(hdu, 3)
            deepest = max(deepest, tile[0])
            way = f"{hdu.header['ZCMPTYPE']}, {' x '.join(map(str, tile))}"
        ways.setdefault(way, []).append(name)
    thick = deepest > 1
    return asking.found(
        NOTE if thick else AS_ASSUMED,
        "compression of a cube",
        f"{fits.name}, ZCMPTYPE and ZTILEn",
        assumed="none, or tiles of one wavelength",
        seen="; ".join(f"{', '.join(names)}: {way}" for way, names in ways.items()),
        means="tiles of many wavelengths are decoded whole: a cube takes seconds more" if thick else "",
    )


def _sky(asking: Asking, data: HDU, sky: Sky) -> Finding:
    """Return where the cube's spaxels are on the sky."""
    question, about = "sky of a cube", f"{data}, CTYPEn, RADESYS, CDELTn"
    assumed = f"RA---TAN, DEC--TAN, ICRS, {SPAXEL_ARCSEC} arcsec a spaxel"
    frame = str(data.header.get("RADESYS") or data.header.get("RADECSYS") or "ICRS").strip()
    size = round(sky.pixel_arcsec, 3)
    seen = f"{data.header['CTYPE1']}, {data.header['CTYPE2']}, {frame}, {size:g} arcsec a spaxel"
    verdict, change = FAILS, REPORT
    if frame not in ("ICRS", "FK5"):
        means = "positions are taken for ICRS: spectra would be of other places"
    elif size > SPAXEL_ARCSEC:
        means = f"cubes are looked for within {REACH:g} arcsec of their centre: positions near an edge would be missed"
    else:
        verdict, means, change = ADAPTED, "the header is used; FK5 is ICRS to 0.03 arcsec", ""
    return asking.compare(question, about, assumed=assumed, seen=seen, otherwise=verdict, means=means, change=change)


def _centre(asking: Asking, data: HDU, sky: Sky, cube: np.void) -> Finding:
    """Return how far the cube's centre is from where the index says."""
    middle = np.array([(N_SPAXELS - 1) / 2])
    off = float(separation_deg(*sky.positions(middle, middle), cube["ra_cen"], cube["dec_cen"])[0]) * 3600
    is_near = off <= OFF_CENTRE_ARCSEC
    return asking.found(
        AS_ASSUMED if is_near else FAILS,
        "centre of a cube",
        f"{data}, CRVALn; ra_cen and dec_cen of the index",
        assumed=f"the index's, within {OFF_CENTRE_ARCSEC:g} arcsec",
        seen=f"{off:.1f} arcsec away",
        means="" if is_near else "cubes would be looked for at wrong places",
        change="" if is_near else REPORT,
    )


def _wavelengths(asking: Asking, data: HDU) -> Finding:
    """Return what the spectral axis says."""
    question, about = "wavelengths of a cube", f"{data}, CRVAL3, CDELT3, CRPIX3"
    assumed = f"{WAVE_AIR[0]:g}, {WAVE_AIR[1]:g}, … {WAVE_AIR[-1]:g} Angstrom"
    try:
        unit = wavelength_unit(data)
    except MalformedFile as error:
        return asking.found(FAILS, question, about, assumed=assumed, seen=str(error), means=UNREADABLE, change=REPORT)
    cards = ", ".join(f"{key} {data.header.get(key)!r}" for key in ("CRVAL3", "CDELT3", "CUNIT3"))
    if unit == "Å":
        return asking.found(AS_ASSUMED, question, about, assumed=assumed, seen=cards)
    means = f"these are the same wavelengths, in {unit}"
    return asking.found(ADAPTED, question, about, assumed=assumed, seen=cards, means=means)


def _width(asking: Asking, data: HDU) -> Finding:
    width = f"{data.header.get('SPECBW', BIN_WIDTH)} Angstrom"
    means = "flux and error are divided by this width, to be per Angstrom"
    about = f"{data}, SPECBW"
    return asking.compare(
        "width of a bin", about, assumed=f"{BIN_WIDTH} Angstrom", seen=width, otherwise=ADAPTED, means=means
    )


def _unit_of_flux(asking: Asking, data: HDU) -> Finding:
    """Return what BUNIT says: nothing converts the values."""
    unit = str(data.header.get("BUNIT") or "").strip()
    question, about, assumed = "unit of flux", f"{data}, BUNIT", "1e-17 erg/s/cm2 in a bin"
    scale = SCALE.search(unit)
    power = int(scale[1]) if scale else None
    if PER_ANGSTROM.search(unit):
        means = "flux and error would be divided by the width of a bin twice: spectra too faint by a factor of 2"
    elif PER_ARCSEC2.search(unit):
        means = "values are a surface brightness: summed over an aperture they are wrong by the area of a spaxel"
    elif power not in (None, -17):
        means = f"spectra would be wrong by a factor of 1e{abs(power + 17)}" if power is not None else ""
    elif power is None and unit:
        means = "a power of ten is not said; the size of the values, below, tells more"
        return asking.found(NOTE, question, about, assumed=assumed, seen=unit, means=means)
    else:
        return asking.found(AS_ASSUMED, question, about, assumed=assumed, seen=unit or "not said")
    return asking.found(FAILS, question, about, assumed=assumed, seen=unit, means=means, change=REPORT)
