"""The settings of the reduction of HETDEX's raw frames, and what may be wrong between them.

Light: it is imported whenever the workflow is parsed. A program takes the options of its step from the section of its
step (`skyharvest.core.settings.add_options`).
"""

import argparse
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

from skyharvest.core.settings import Distinct, Limited, Number, Switch, Whole, describe, section, setting, subsection
from skyharvest.reduction.hetdex.source_settings import (
    Completeness,
    Continuum,
    Cubes,
    Cutouts,
    Detections,
    Flags,
    Reports,
)

T = TypeVar("T")
Month = Annotated[int, Limited("A month, as YYYYMM.", strict=True, ge=200001, le=210012)]
Night = Annotated[int, Limited("A night, as YYYYMMDD.", strict=True, ge=20000101, le=21000101)]
Shot = Annotated[
    str, Limited("A shot: its night and observation, such as 20190103v012.", pattern="^[0-9]{8}v[0-9]{3}$")
]
Neighbour = Annotated[
    str, Limited("A month and the one whose frames stand in for it: 201902:201901.", pattern="^[0-9]{6}:[0-9]{6}$")
]

LEAST_BAND = 100.0
"""Å: stars are not measured in less."""
NEEDED = ("raw", "fplane", "ifucen", "star_catalogue")
PATHS = (*NEEDED, "seds", "swaps")
PATHS_OF_STEPS = (
    ("throughput", "reference"),
    ("flags", "tracks"),
    ("flags", "galaxies"),
    ("flags", "bad_shots"),
    ("reports", "neighbours"),
    ("quality", "limits"),
)
"""Settings that name files and directories which are there before a run."""
ASCENDING = (
    ("detections", "first_wave", "last_wave"),
    ("detections", "least_linewidth", "most_linewidth"),
    ("completeness", "faintest_sn", "brightest_sn"),
    ("completeness", "narrowest", "widest"),
)
"""Section, and a setting of it that is less than another."""


@section
class Bad:
    """What is known to be bad, as CSV files; what they name is left out, with the reason that they give."""

    frames: str | None = setting(
        None,
        "Frames: columns night, obs, expnum, ifuslot, amp (each may be an asterisk) and reason.",
        min_length=1,
        path=True,
    )
    amps: str | None = setting(
        None,
        "Amplifiers: columns specid, ifuslot, amp, first, last (nights, which may be empty) and reason.",
        min_length=1,
        path=True,
    )
    fibers: str | None = setting(
        None,
        "Fibers: columns specid, ifuslot, ifuid, amp, fibnum, first, last and reason.",
        min_length=1,
        path=True,
    )
    pixels: str | None = setting(
        None,
        "Pixels, a text file with rows such as 311RU 538 556 755 737: SPECID and amp, x1 x2 y1 y2.",
        min_length=1,
        path=True,
    )


@section
class Bias:
    """The month's bias of each detector, and its charge traps."""

    min_frames: Whole = setting(5, "As many bias frames are needed.", ge=3)
    smooth_rows: Whole = setting(7, "The bias of a column is the biweight of so many rows (an odd number).", ge=1)
    trap_sigma: Number = setting(10.0, "How many σ above its row's neighbours a pixel of a charge trap is.", gt=0)
    trap_half_width: Whole = setting(9, "So many pixels of the row, left and right, are its neighbours.", ge=2)
    trap_rows: Whole = setting(50, "A column with more such pixels has a trap.", ge=1)


@section
class Trace:
    """Where the light of each fiber falls on the detector, from twilights."""

    min_frames: Whole = setting(2, "As many twilights are needed.", ge=1)
    most_frames: Whole = setting(40, "Of more twilights those with the most light are used.", ge=1)
    level_least: Number = setting(100.0, "A twilight with less light in the middle, electrons a pixel, is not used.")
    level_most: Number = setting(20000.0, "A twilight with more light in the middle, electrons a pixel, is not used.")
    saturated_most: Number = setting(0.002, "A twilight with a larger part of saturated pixels is not used.", ge=0)
    degree: Whole = setting(4, "Degree of the polynomial of the column that is a fiber's trace.", ge=1)
    groups_y: Whole = setting(8, "Groups of fibers that have a profile of their own.", ge=1)
    groups_x: Whole = setting(8, "Groups of columns that have a profile of their own.", ge=1)
    least_light: Number = setting(0.1, "A fiber with less of the usual light is dead.", gt=0, lt=1)
    faint_light: Number = setting(0.004, "A dead fiber with less of the usual light is not seen.", gt=0, lt=1)


@section
class Flat:
    """The pixels' response, from twilights, and which pixels are masked."""

    neighbours: Whole = setting(6, "So many fibers on each side tell what a fiber's spectrum should be.", ge=2)
    least_light: Number = setting(
        1.0, "Pixels with less of fibers' light than so much of scattered light tell nothing."
    )
    defect: Number = setting(0.2, "A defect lacks at least this part of its response.", gt=0, lt=1)
    defect_sigma: Number = setting(5.0, "A defect is seen with so many σ, in a pixel or a box of 5 × 5.", gt=0)
    defect_pixels: Whole = setting(3, "A smaller defect must be seen with half as many σ more.", ge=1)


@section
class Background:
    """Scattered light of a frame, by its level: the biweight of some rows, over `level_unit`."""

    level_first_row: Whole = setting(300, "A frame's level is that of its rows from this one on.", ge=0)
    level_last_row: Whole = setting(700, "A frame's level is that of its rows up to this one.", ge=1)
    level_unit: Number = setting(25.0, "Electrons of a level of 1.", gt=0)
    sci_least: Number = setting(0.2, "The least level of a science frame; below it a frame has no light.", ge=0)
    sci_most: Number = setting(3.0, "The highest level of a frame of dark sky.", gt=0)
    bri_most: Number = setting(15.0, "The highest level of a bright frame; above it are twilights.", gt=0)
    distance_sci: Number = setting(7.0, "Pixels that are so far from all fibers are used; in frames of dark sky.", gt=0)
    distance_bri: Number = setting(7.5, "The same, in bright frames.", gt=0)
    distance_twi: Number = setting(8.0, "The same, in twilights.", gt=0)
    edge: Whole = setting(3, "So many rows at the lower and upper edge are not used.", ge=0)
    blocks: Whole = setting(24, "Light is measured in so many blocks of columns.", ge=4)
    least_pixels: Whole = setting(20, "A block with fewer pixels is not used.", ge=2)
    terms_sci: Whole = setting(2, "Degree in x of the light of a frame of dark sky.", ge=0)
    terms_bri: Whole = setting(3, "Degree in x of the light of a bright frame.", ge=0)
    terms_twi: Whole = setting(4, "Degree in x of the light of a twilight.", ge=0)


@section
class Wavelength:
    """Wavelengths of each pixel, from the Sun's lines in twilights."""

    solar_spectrum: str | None = setting(
        None,
        "Text file with a spectrum of the Sun, wavelength in air (Å) and flux; null: the one that is shipped "
        "(TSIS-1 HSRS).",
        min_length=1,
        path=True,
    )
    solar_fwhm: Number = setting(1.0, "Resolution of that spectrum, Å (FWHM).", gt=0, le=3)
    start: Number = setting(3505.0, "First guess: the wavelength of the first column, Å.", gt=3000, lt=6000)
    step: Number = setting(1.955, "First guess: Å of a pixel.", gt=0.5, lt=5)
    tolerance: Number = setting(20.0, "How far the first guess may be wrong, Å.", gt=0, le=60)
    degree_x: Whole = setting(4, "Degree of the polynomial along the spectrum.", ge=2, le=8)
    degree_y: Whole = setting(3, "Degree of the polynomial across fibers.", ge=1, le=8)
    min_fibers: Whole = setting(40, "As many fibers are needed.", ge=5)
    min_signal: Number = setting(5.0, "The twilight's signal over noise in a pixel is at least this.", gt=0)
    min_correlation: Number = setting(
        0.5, "How much the twilight's lines have to resemble the Sun's at the first guess.", gt=0, lt=1
    )
    min_segments: Whole = setting(
        60, "As many segments (of 4 fibers and 86 columns) need enough light for a shift.", ge=12
    )
    min_matched: Number = setting(0.9, "Part of the segments that has to look like the Sun, within 0.5 Å.", gt=0, le=1)
    max_rms: Number = setting(0.2, "Scatter of the shifts of segments, Å: with more an amplifier fails.", gt=0)


@section
class FiberToFiber:
    """How fibers of an amplifier differ in throughput."""

    intervals: Whole = setting(20, "Pieces of the spline that a fiber's ratio is.", ge=2, le=100)
    min_ratio: Number = setting(0.2, "A fiber with less than this of the median fiber's light is dead.", ge=0, lt=1)
    min_living: Whole = setting(40, "As many other fibers are needed.", ge=5)


@section
class AmpToAmp:
    """How amplifiers of the field differ in throughput, over a month."""

    pieces: Whole = setting(10, "Pieces of the spline that an amplifier's ratio to the mean is.", ge=2, le=50)
    min_level: Number = setting(0.2, "An amplifier with less light than this part of the mean fails.", gt=0, lt=1)
    max_level: Number = setting(5.0, "An amplifier with more light than so many times the mean fails.", gt=1)


@section
class Extract:
    """Spectra of the fibers of an exposure."""

    trace_rounds: Whole = setting(3, "How often the shift of traces is measured, at most.", ge=0)
    most_trace_shift: Number = setting(1.5, "Pixels: an amplifier whose traces have moved farther fails.", gt=0)
    most_lost: Number = setting(
        0.5, "Where more of a fiber's profile is on bad pixels, it has no spectrum.", gt=0, lt=1
    )
    most_chi2: Number = setting(10.0, "Where chi2 is higher, a fiber has no spectrum.", gt=0)
    profile_error: Number = setting(
        0.05, "Relative error of profiles, for which the chi2 of bright stars may be higher.", ge=0
    )


@section
class Cosmics:
    """Cosmic rays of science frames: pixels far above what fibers' profiles allow."""

    cosmic_sigma: Number = setting(5.0, "A pixel that is so many σ above the light of the fibers is one.", gt=0)
    cosmic_sigma_beside: Number = setting(4.0, "The same of pixels beside one.", gt=0)
    cosmic_model_error: Number = setting(0.08, "Relative error of the modelled light, which adds to σ.", ge=0)
    doubtful_lost: Number = setting(
        0.4, "Where more of a fiber's profile is lost, its neighbours along x say how much light it has.", gt=0, lt=1
    )
    doubtful_chi2: Number = setting(10.0, "The same where a part is lost and chi2 is higher.", gt=0)
    cosmic_rounds: Whole = setting(8, "Fibers are extracted at most so often.", ge=2)
    few_changes: Whole = setting(0, "Nothing is done again for changes of so few pixels.", ge=0)


@section
class Sky:
    """The sky in each fiber: from the amplifier's own fibers, and from those of the whole field."""

    sky_knots: Number = setting(1.5, "Å between the knots of the sky's spectrum.", gt=0)
    sky_samples: Number = setting(6.0, "Knots are so far apart that so many pixels are between two of them.", gt=0)
    least_sky_fibers: Whole = setting(8, "An amplifier with fewer fibers without sources fails.", ge=1)
    source_sigma: Number = setting(
        3.0, "A fiber whose median is so many σ above those of the others has a source.", gt=0
    )
    low_sigma: Number = setting(5.0, "A fiber whose median is so many σ below those of the others is low.", gt=0)
    sky_rounds: Whole = setting(3, "How often fibers without sources are chosen, at most.", ge=1)
    line_rounds: Whole = setting(2, "How often shifts of wavelength, and widths of lines, are fitted.", ge=0)
    background_fibers: Whole = setting(5, "The background is that of so many fibers in a row.", ge=1)
    most_factor: Number = setting(
        0.15, "An amplifier with a sky that is farther from the field's than this part sees something else.", gt=0
    )


@section
class Astrometry:
    """Where each exposure points, from stars."""

    first_wavelength: Number = setting(4400.0, "Å: stars are found in the light from here on.", gt=3000)
    last_wavelength: Number = setting(5400.0, "Å: to here.", gt=3000)
    threshold: Number = setting(3.0, "How many σ above its picture of an IFU a star is.", gt=0)
    least_snr: Number = setting(6.0, "Signal to noise of a star that is used.", gt=0)
    least_coverage: Number = setting(
        0.6, "Share of a star's light, by that far from an edge, that fibers have of one that is used.", ge=0
    )
    fwhm: Number = setting(1.8, "Arcsec: of stars, about, where it is not measured yet.", gt=0)
    faintest: Number = setting(22.5, "g of stars of the catalogue that are used.")
    search_radius: Number = setting(17.0, "Arcsec, by which the header's pointing may be off.", gt=0)
    exposure_radius: Number = setting(8.0, "Arcsec, by which exposures of a shot may point elsewhere.", gt=0)
    match_radius: Number = setting(3.0, "Arcsec, within which a star is that of the catalogue in the end.", gt=0)
    angle_offset: Number = setting(
        0.0, "Degrees, that are added to the header's PARANGLE at first; a real shot of 2018 lacks 1.45."
    )
    angle_range: Number = setting(2.0, "Degrees, by which the angle may then be off to either side.", ge=0)
    min_stars: Whole = setting(3, "As many stars have to match in an exposure.", ge=2)
    most_chance: Number = setting(
        1e-4, "How often unrelated lists may match as well: a worse match is refused.", gt=0, le=1
    )


@section
class Stars:
    """Spectra of stars, the width of their images, and how exposures differ in throughput."""

    faintest: Number = setting(22.0, "g of stars of the catalogue that are extracted.")
    first_wavelength: Number = setting(4400.0, "Å: stars are measured in the light from here on.", gt=3000)
    last_wavelength: Number = setting(5400.0, "Å: to here.", gt=3000)
    aperture: Number = setting(3.5, "Arcsec: fibers so near are extracted.", gt=0.75)
    least_snr: Number = setting(30.0, "Signal to noise of a star that tells the width of images, and norms.", gt=0)
    recentre_snr: Number = setting(10.0, "Signal to noise of a star whose position is measured.", gt=0)
    most_off: Number = setting(1.0, "Arcsec, by which a star may be from where the catalogue has it.", gt=0)
    least_coverage: Number = setting(
        0.75, "Share of a star's light, by that far from an edge; below it a star is on an edge.", ge=0
    )
    blend_radius: Number = setting(5.0, "Arcsec: a star so near to another is blended,", ge=0)
    blend_magnitudes: Number = setting(2.5, "if the other is no more than so much fainter.", ge=0)
    saturated: Number = setting(2e5, "Counts in 2 Å of a fiber, from which on a star is saturated.", gt=0)
    least_fraction: Number = setting(
        0.03, "Share of a star's light that fibers have, below which nothing is known of a wavelength.", gt=0
    )
    min_stars: Whole = setting(1, "As many stars have to tell the width of images in each exposure.", ge=1)


@section
class Seds:
    """Spectral energy distributions of stars, from their magnitudes."""

    ebv: Number = setting(0.02, "Reddening E(B - V) of the stars, which are behind the Galaxy's dust.", ge=0)
    errors: Annotated[list[Number], Limited(min_length=5, max_length=5)] = setting(
        [0.03, 0.02, 0.02, 0.02, 0.02], "Errors of the magnitudes u, g, r, i and z."
    )
    ab_offsets: Annotated[list[Number], Limited(min_length=5, max_length=5)] = setting(
        [0.0, 0.0, 0.0, 0.0, 0.0],
        "What makes the catalogue's u, g, r, i and z AB magnitudes; for those of SDSS -0.04, 0, 0, 0 and 0.02.",
    )
    mismatch: Number = setting(0.03, "By how many magnitudes a band of a star differs from its best template's.", gt=0)
    max_chi2: Number = setting(
        10.0, "A star whose best template has a larger chi2 for each degree of freedom has no spectrum.", gt=0
    )


@section
class Throughput:
    """The throughput of a shot, from its stars."""

    max_scatter: Number = setting(0.2, "A star is taken if its normalised ratio scatters less than this.", gt=0)
    max_rms: Number = setting(
        0.02, "A star is taken if the rms of the reference curve less its normalised ratio is less than this.", gt=0
    )
    faintest: Number = setting(
        21.0, "Stars that are fainter in g are not taken: what is left of the sky is too much of their light."
    )
    sky_left: Number = setting(
        5.0, "So many counts in 2 Å of a star may be what is left of the sky: how much faint stars count.", ge=0
    )
    min_stars: Whole = setting(2, "With fewer stars that are taken a shot has no throughput.", ge=1)
    gband_alone: Switch = setting(
        False, "Whether a shot with too few of them has the reference curve at the level of magnitudes g."
    )
    reference: str | None = setting(
        None,
        "Text file of a reference curve, wavelength and throughput; null: a typical curve of VIRUS.",
        min_length=1,
        path=True,
    )
    degree: Whole = setting(
        4,
        "Largest degree of the polynomial that the reference is multiplied by; a higher one than 1, normalisation and "
        "slope, is taken if the stars ask for it.",
        ge=1,
        le=6,
    )
    bin: Number = setting(
        40.0, "Width of the bins of wavelength, Å: rows of the table; one is at 4540 Å.", ge=10, le=200
    )
    min_sn: Number = setting(5.0, "A bin of a star with less signal-to-noise is not used.", ge=0)
    last_wavelength: Number = setting(
        5450.0, "Å: stars are judged, and the polynomial is fitted, in the light below this.", gt=4600
    )


@section
class ResidualMaps:
    """Residuals and chi2 of each pixel over a month."""

    bad_fraction: Number = setting(0.2, "A pixel that is flagged in a larger part of the frames is bad.", gt=0, lt=1)
    max_chi2: Number = setting(10.0, "A pixel of a frame with a larger chi2 is flagged.", gt=0)
    min_frames: Whole = setting(5, "With fewer frames there are no maps.", ge=2)
    memory_mb: Whole = setting(400, "Memory for the rows that are worked on at once, MB.", ge=20, outcome=False)


@section
class ShotFile:
    """Calibrated fibers of a shot, and its HDF5 file."""

    sky_error: Number = setting(0.03, "This part of the sky may be wrong; it is added to errors.", ge=0)
    sky_error_most: Number = setting(
        0.06, "The same where residual maps tell that the sky is off by a tenth; between there and 0.03 it grows.", ge=0
    )
    coverage: Number = setting(0.75, "A bin of which a smaller part is known has no value.", gt=0, le=1)
    images: Switch = setting(False, "Whether images of the detector are in it: 2.5 times as large.")
    uncompressed: Switch = setting(False, "Whether it is left uncompressed: 1.6 times as large.")


@section
class Quality:
    """How good the products are: the pages of quality."""

    limits: str | None = setting(
        None,
        "YAML file with limits of values in the place of those of config/hetdex_qa_limits.yaml; null for these.",
        min_length=1,
        path=True,
        outcome=False,
    )


@section
class Settings:
    """The reduction of HETDEX's raw frames (VIRUS): to calibrated fibers, emission lines, sources, and data cubes."""

    enabled: Switch = setting(False, "Whether raw frames are reduced.")
    raw: str | None = setting(
        None,
        "Directory of the raw frames, DATE/virus/virus0000OBS.tar.",
        min_length=1,
        path=True,
        outcome=False,
    )
    fplane: str | None = setting(
        None,
        "Directory of the focal plane's files, fplaneYYYYMMDD: a night uses the last that is not after it.",
        min_length=1,
        path=True,
        outcome=False,
    )
    ifucen: str | None = setting(
        None,
        "Directory of the files of fiber positions, IFUcen_HETDEX.txt and those of single IFUs.",
        min_length=1,
        path=True,
        outcome=False,
    )
    star_catalogue: str | None = setting(
        None,
        "Table of stars (FITS, CSV, ECSV or text) with id, ra, dec and the magnitudes u, g, r, i, z.",
        min_length=1,
        path=True,
    )
    seds: str | None = setting(
        None,
        "Directory of spectra of stars that take the place of fitted templates; null: templates are fitted to all.",
        min_length=1,
        path=True,
    )
    swaps: str | None = setting(
        None,
        "CSV file of IFUs that were connected otherwise than headers say: columns ifuslot, specid, ifuid, contid, "
        "first, last (nights).",
        min_length=1,
        path=True,
    )
    calibration_from: Annotated[list[Neighbour], Distinct()] = setting(
        [], "Months without twilights or biases, each with the neighbour whose frames are used."
    )
    months: Annotated[list[Month], Distinct()] | None = setting(None, "Months; null: all.", outcome=False)
    nights: Annotated[list[Night], Distinct()] | None = setting(
        None,
        "Nights of science exposures; null: all. Their months' biases and twilights are always used.",
        outcome=False,
    )
    shots: Annotated[list[Shot], Distinct()] | None = setting(None, "Shots; null: all. As nights.", outcome=False)
    release: str = setting(
        "own",
        "What the release is called: detect_own.h5, survey_own.h5; lower-case letters and digits.",
        pattern="^[a-z][a-z0-9]*$",
    )
    maps_in_errors: Switch = setting(
        False,
        "Whether errors of calibrated fibers know residual maps of their month: a shot then waits for all exposures "
        "of the month.",
    )
    report: Switch = setting(True, "Whether the pages of quality are written.", outcome=False)
    bad: Bad = subsection(Bad)
    bias: Bias = subsection(Bias)
    trace: Trace = subsection(Trace)
    flat: Flat = subsection(Flat)
    background: Background = subsection(Background)
    wavelength: Wavelength = subsection(Wavelength)
    fiber_to_fiber: FiberToFiber = subsection(FiberToFiber)
    amp_to_amp: AmpToAmp = subsection(AmpToAmp)
    extract: Extract = subsection(Extract)
    cosmics: Cosmics = subsection(Cosmics)
    sky: Sky = subsection(Sky)
    astrometry: Astrometry = subsection(Astrometry)
    stars: Stars = subsection(Stars)
    sed_fits: Seds = subsection(Seds)
    throughput: Throughput = subsection(Throughput)
    residual_maps: ResidualMaps = subsection(ResidualMaps)
    shot_file: ShotFile = subsection(ShotFile)
    detections: Detections = subsection(Detections)
    completeness: Completeness = subsection(Completeness)
    continuum: Continuum = subsection(Continuum)
    flags: Flags = subsection(Flags)
    cubes: Cubes = subsection(Cubes)
    cutouts: Cutouts = subsection(Cutouts)
    reports: Reports = subsection(Reports)
    quality: Quality = subsection(Quality, outcome=False)


def of_step(kind: type) -> list[str]:
    """Return the settings of a section that the program of its step has as options: all but whether it is run."""
    return [key for key in describe(kind) if key != "enabled"]


def from_options(kind: type[T], options: argparse.Namespace) -> T:
    """Return the settings of a section that the options of its step's program say."""
    return kind(**{key: getattr(options, key) for key in of_step(kind)})


def problems(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a reduction lacks: key below ``hetdex_reduction``, and the problem."""
    if not given.get("enabled"):
        return
    for key in NEEDED:
        if given.get(key) is None:
            yield key, "found nothing; expected a value, as hetdex_reduction.enabled is true"
    for pair in given.get("calibration_from") or ():
        month, _, neighbour = str(pair).partition(":")
        if month == neighbour:
            yield "calibration_from", f"found {pair}; expected another month after the colon"
    for name in ("astrometry", "stars"):
        band = given.get(name) or {}
        first, last = band.get("first_wavelength"), band.get("last_wavelength")
        if first is not None and last is not None and last < first + LEAST_BAND:
            yield f"{name}.last_wavelength", f"found {last:g}; expected {first + LEAST_BAND:g} or more"
    for name in ("blue", "red"):
        window = (given.get("continuum") or {}).get(name)
        if window is not None and not window[0] < window[1]:
            yield f"continuum.{name}", f"found {window[0]:g}, {window[1]:g}; expected the smaller wavelength first"
    yield from _even(given.get("detections") or {})
    for name, lower, upper in ASCENDING:
        low, high = ((given.get(name) or {}).get(key) for key in (lower, upper))
        if low is not None and high is not None and not low < high:
            yield f"{name}.{upper}", f"found {high:g}; expected more than {lower}, which is {low:g}"


def _even(search: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield which numbers of positions have none in the middle."""
    for key in ("grid_size", "raster_size"):
        if search.get(key) is not None and search[key] % 2 == 0:
            yield f"detections.{key}", f"found {search[key]}; expected an odd number"
