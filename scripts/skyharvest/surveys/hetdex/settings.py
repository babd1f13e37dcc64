"""HETDEX's settings, and what may be wrong between them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from skyharvest.core.errors import InputError
from skyharvest.core.paths import expand_user
from skyharvest.core.settings import Distinct, Limited, Number, Switch, section, setting, subsection
from skyharvest.core.words import show
from skyharvest.harvest.settings import Again, Given, Problem, forbidden_is_absent
from skyharvest.sky.spectral_lines import rest_wave
from skyharvest.surveys.hetdex.mask_bits import mask_bits

Bit = Annotated[str, Limited("A bit of the masks, by name or number.", pattern="^[A-Za-z0-9]+$")]
Field = Annotated[
    str,
    Limited(
        "A field, such as dex-spring, dex-fall, nep, cosmos, ssa22 or goods-n; lower-case letters, digits and hyphens.",
        pattern="^[a-z0-9][a-z0-9-]*$",
    ),
]
FROM_CATALOGUE = "catalogue"
"""What ``hetdex: detections: detectids`` says for those of the sources that the catalogue has."""


@section
class Maps:
    """Images around every position that has a spectrum."""

    enabled: Switch = setting(False, "Whether to make broad-band, narrow-band and line images.")
    size_arcsec: Number = setting(20.0, "Side of the square, in arcseconds.", gt=0, le=104)
    wavelength: str | None = setting(
        None, "Column of the CSV with the wavelength at which the line is observed, in Angstrom, in air.", min_length=1
    )
    redshift: str | None = setting(
        None, "Column of the CSV with a redshift, at which the line is looked for.", min_length=1
    )
    line: str | None = setting(
        None,
        "The line for the column redshift: a name, such as LyA, CIV, MgII, OII, Hb or OIII, or a rest "
        "wavelength in Angstrom, in vacuum.",
        min_length=1,
    )
    half_width: Number = setting(10.0, "Half the width of the narrow band, in Angstrom.", gt=0, le=500)
    fits: Switch = setting(False, "Whether to write the maps of each source as a FITS file as well, some 100 kB each.")


@section
class Catalogue:
    """Sources of HETDEX's own catalogue (HPSC2) near the positions, with their spectra."""

    enabled: Switch = setting(False, "Whether to match the catalogue; its table of 230 MB is read once.")
    radius_arcsec: Number = setting(1.5, "Radius of the match, in arcseconds.", gt=0, le=60)
    version: str | None = setting(
        None,
        "Version of the catalogue, such as v1.5; null for the newest that the archive has.",
        pattern="^v[0-9]+([.][0-9]+)*$",
    )


@section
class Detections:
    """Spectra of raw detections, by their detectids."""

    detectids: str | None = setting(
        None,
        "A CSV or text file that lists them, or catalogue for those of the sources that hetdex.catalogue "
        "finds; null for none.",
        min_length=1,
        path=True,
    )
    column: str = setting("detectid", "Column of that CSV.", min_length=1)
    pictures: Literal["addresses", "files"] | None = setting(
        None,
        "ELiXer's pictures of them: addresses writes a list of where they are, files fetches them as well, "
        "some 150 kB each, into SQLite files.",
    )


@section
class Settings:
    """The HETDEX survey's spectra, through apertures laid on its IFU cubes."""

    enabled: Switch = setting(False, "Whether to harvest HETDEX.")
    release: str = setting("pdr1", "A key of config/releases.yaml, of a release of HETDEX.")
    archive: str = setting(
        "https",
        "Where the release is read from: https or local (the roots in config/releases.yaml), or the path or "
        "URL of a mirror, the directory that holds ifu-index.fits.",
        min_length=1,
        outcome=False,
    )
    aperture_radius_arcsec: Number = setting(
        3.5, "Radius of the circle, in arcseconds, that the light is summed in.", gt=0, le=20
    )
    min_coverage: Number = setting(
        0.2,
        "At wavelengths where less than this fraction of the circle has good data, the spectrum is NaN; 0 to 1.",
        ge=0,
        le=1,
    )
    exclude_bits: list[Bit] | Bit = setting(
        "any",
        "Bits of the cubes' masks that make a voxel bad: any, or a list of names (MAIN, FTF, CHI2FIB, BADPIX, "
        "BADAMP, LARGEGAL, METEOR, BADSHOT, THROUGHPUT, BADFIB, SAT, BADCAL, PIXMASK, BADDET) or numbers. An "
        "empty list excludes none.",
    )
    keep_bits: list[Bit] = setting(
        [],
        "Bits that make a voxel good whatever else is excluded, such as BADCAL for bright sources; a list of "
        "names or numbers.",
    )
    include_only_bits: list[Bit] = setting(
        [],
        "When not empty, only voxels with one of these bits are good, and exclude_bits and keep_bits do not "
        "count; a list of names or numbers.",
    )
    optimal: Literal["gaussian", "moffat"] | None = setting(
        None,
        "A second spectrum, weighted by a point source's profile of the width that the index gives "
        "(fwhm_virus): gaussian or moffat; null for none.",
    )
    min_flag: Number | None = setting(
        None,
        "Cubes whose flag in the index is smaller, or not a number, are left out; 0 (all bad) to 1 (all "
        "good). Null takes every cube.",
        ge=0,
        le=1,
    )
    fields: Annotated[list[Field], Distinct(min_length=1)] | None = setting(
        None, "Fields of the survey to search; null for all."
    )
    forbidden_is_absent: Switch = forbidden_is_absent()
    read_again: Again = setting(
        ["unreadable"],
        "Cubes that every run tries once more, by what an earlier one found: unreadable (there, but malformed "
        "on two readings), absent (said not to exist). An empty list takes what was found as final.",
        outcome=False,
    )
    maps: Maps = subsection(Maps)
    catalogue: Catalogue = subsection(Catalogue)
    detections: Detections = subsection(Detections)


def problems(given: Given, _registry: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with bits of masks, and with how products go together."""
    for key in ("exclude_bits", "keep_bits", "include_only_bits"):
        bits = given(key) or []
        for name in [bits] if isinstance(bits, str) else bits:
            try:
                mask_bits(name)
            except InputError as error:
                yield key, str(error)
    if given("maps.enabled"):
        yield from _maps_problems(*(given(f"maps.{key}") for key in ("wavelength", "redshift", "line")))
    if given("enabled") and given("detections") and given("catalogue"):
        detectids, pictures = given("detections.detectids"), given("detections.pictures")
        yield from _detections_problems(detectids, pictures, has_catalogue=bool(given("catalogue.enabled")))


def _maps_problems(wavelength: str | None, redshift: str | None, line: str | None) -> Iterator[Problem]:
    """Yield what is wrong with how the maps find their line."""
    if wavelength and redshift:
        yield "maps.wavelength", "found both wavelength and redshift; expected one of them, the other null"
    if bool(redshift) != bool(line):
        key, other = ("line", "redshift") if redshift else ("redshift", "line")
        yield f"maps.{key}", f"missing: hetdex.maps.{other} needs it, or set both to null"
    if line:
        try:
            rest_wave(line)
        except InputError as error:
            yield "maps.line", str(error)


def _detections_problems(detectids: str | None, pictures: str | None, *, has_catalogue: bool) -> Iterator[Problem]:
    """Yield what is wrong with which raw detections are asked for."""
    key = "detections.detectids"
    if detectids is None:
        if pictures:
            yield key, "missing: hetdex.detections.pictures needs it, or set that to null"
    elif detectids == FROM_CATALOGUE:
        if not has_catalogue:
            yield key, f"found {detectids!r}, but hetdex.catalogue.enabled is false: set it to true, or give a file"
    elif not expand_user(detectids).is_file():
        yield key, f"found {show(detectids)}; expected {FROM_CATALOGUE}, or a file that is there (from {Path.cwd()})"
