"""Settings of what is made of calibrated fibers: lines and continuum sources, flags, cubes, cutouts, reports.

Light: it is imported whenever the workflow is parsed (`settings`).
"""

from typing import Annotated

from skyharvest.core.settings import Limited, Number, Switch, Whole, section, setting


@section
class Detections:
    """Emission lines, by IFU and shot: the search, what is kept, and the flux that would have been seen."""

    enabled: Switch = setting(True, "Whether lines are looked for.")
    grid_step: Number = setting(0.5, "Arcsec between positions that are searched, around every fiber.", gt=0)
    grid_size: Whole = setting(3, "So many positions along x, and along y, around every fiber (an odd number).", ge=1)
    aperture: Number = setting(3.5, "Arcsec: fibers so near are extracted.", gt=0.75)
    filter_width: Number = setting(2.7, "σ of the line that is looked for, Å.", gt=0.5, lt=20)
    search_sn: Number = setting(4.5, "A peak of the search with a higher signal to noise is a candidate.", gt=1)
    group_radius: Number = setting(3.0, "Arcsec: candidates so near,", gt=0)
    group_wave: Number = setting(4.0, "and within so many Å, are one.", gt=0)
    first_wave: Number = setting(3510.0, "Å: lines are looked for from here on.", ge=3470)
    last_wave: Number = setting(5490.0, "Å: to here.", le=5540)
    least_coverage: Number = setting(
        0.35, "Share of a source's light, by that far from an edge, that fibers have of a line that is kept.", ge=0
    )
    raster_step: Number = setting(0.15, "Arcsec between positions at which a candidate is fitted.", gt=0)
    raster_size: Whole = setting(5, "So many positions along x, and along y (an odd number).", ge=3)
    fit_half_width: Number = setting(50.0, "Å to each side of a line that it is fitted in.", ge=15)
    monte_carlo: Whole = setting(
        0, "So many fits with noise added tell the errors (the readme has 100); 0: the model does.", ge=0
    )
    least_sn: Number = setting(5.6, "A line with less signal to noise is not kept.", gt=0)
    most_chi2: Number = setting(2.0, "A line whose fit has a higher χ² by degrees of freedom is not kept.", gt=0)
    least_linewidth: Number = setting(1.7, "A line with a smaller σ, Å, is not kept.", gt=0)
    most_linewidth: Number = setting(8.0, "A line with a larger σ, Å, is not kept.", gt=1)
    least_equivalent_width: Number = setting(
        5.0,
        "Å: a line with less flux, by that of the continuum below it in 1 Å, is not kept: stars have features.",
        ge=0,
    )
    most_difference: Number = setting(
        4.0,
        "A line which one exposure, or one fiber, has so many σ more of than the others, as of a point source, is not "
        "kept: it is a cosmic ray.",
        gt=0,
    )
    limit_sn: Number = setting(5.0, "Signal to noise of flux limits.", gt=0)
    limit_step: Number = setting(1.0, "Arcsec between the positions of flux limits.", ge=0.5, le=10)


@section
class Completeness:
    """Which share of lines is found, by lines that are put into calibrated fibers (`reduce_hetdex_completeness`)."""

    lines: Whole = setting(120, "So many lines are put into each IFU, in rounds, away from one another.", ge=1)
    faintest_sn: Number = setting(3.0, "Their least signal to noise, of a line of known shape.", gt=0)
    brightest_sn: Number = setting(14.0, "Their highest.", gt=0)
    narrowest: Number = setting(2.2, "Their least width, σ, Å.", gt=0.5)
    widest: Number = setting(4.0, "Their largest.", lt=20)
    match_radius: Number = setting(2.0, "Arcsec: a line that is found so near,", gt=0)
    match_wave: Number = setting(5.0, "and within so many Å, is the one that was put in.", gt=0)
    seed: Whole = setting(1, "Of the random numbers.", ge=0)


@section
class Continuum:
    """Continuum sources of a shot."""

    enabled: Switch = setting(True, "Whether they are looked for.")
    blue: Annotated[list[Number], Limited(min_length=2, max_length=2)] = setting(
        [3700.0, 3900.0], "Å: the window in the blue."
    )
    red: Annotated[list[Number], Limited(min_length=2, max_length=2)] = setting(
        [5100.0, 5300.0], "Å: the window in the red."
    )
    counts: Number = setting(
        50.0, "Counts in 2 Å of a fiber, in the median of a window, from which on it has a source.", gt=0
    )
    group_radius: Number = setting(
        6.5,
        "Arcsec on the sky: fibers so near to each other are one group (HETDEX's readme has 5.5, its code 6.5).",
        gt=0,
    )
    least_apart: Number = setting(
        2.8,
        "Arcsec: peaks of light in a group that are nearer to each other are one source; more than fibers of an "
        "exposure are apart, 2.54.",
        ge=2.6,
    )
    one_each: Switch = setting(False, "Whether a group has one source, its brightest, as HETDEX's own.")
    aperture: Number = setting(3.5, "Arcsec: fibers so near are extracted.", gt=0.75)
    most_moved: Number = setting(2.0, "Arcsec, by which a source may be from the light's centre of its fibers.", gt=0)


@section
class Flags:
    """What is wrong on the sky, as CSV files: flags of fibers and bits of cubes' masks."""

    tracks: str | None = setting(
        None,
        "Meteors and satellites: columns shot, expnum (may be an asterisk), kind (meteor or satellite), ra1, dec1, "
        "ra2, dec2 (its ends; may be far outside the field) and width_arcsec.",
        min_length=1,
        path=True,
    )
    galaxies: str | None = setting(
        None,
        "Large galaxies: columns ra, dec, major_arcsec, minor_arcsec (semi-axes) and pa (of the major axis).",
        min_length=1,
        path=True,
    )
    bad_shots: str | None = setting(None, "Shots that are bad: columns shot and reason.", min_length=1, path=True)
    least_response: Number = setting(0.08, "Throughput at 4540 Å of a shot: with less it is flagged.", ge=0)
    most_chi2: Number = setting(5.0, "χ² of its extraction, median: a fiber with more is bad.", gt=1)
    least_fiber_to_fiber: Number = setting(
        0.5, "Throughput over that of a mean fiber, median: a fiber with less is bad.", ge=0, lt=1
    )
    least_known: Number = setting(
        0.5, "Share of its wavelengths that have a flux: a fiber with less is bad.", ge=0, le=1
    )
    most_bad: Number = setting(0.5, "Share of its fibers that are bad: an amplifier with more is bad.", ge=0, le=1)


@section
class Cubes:
    """Data cubes as HETDEX's public releases have them, which `hetdex: {archive: …}` harvests."""

    enabled: Switch = setting(True, "Whether they are made: 19 MB for each IFU of a shot.")
    kernel_fwhm: Number = setting(1.2, "Arcsec: of the kernel that fibers' light is spread with.", gt=0, le=5)
    uncompressed: Switch = setting(False, "Whether they are left uncompressed: 112 MB each.")


@section
class Cutouts:
    """Pieces of the detector's images around each detection, for machine learning: im2D_SHOTID.h5."""

    enabled: Switch = setting(True, "Whether they are made.")
    width: Whole = setting(100, "Pixels along the spectrum.", ge=10, le=1032)
    height: Whole = setting(9, "Pixels across fibers (an odd number).", ge=3, le=99)


@section
class Reports:
    """A picture of each detection, in SQLite files, and pages to browse them."""

    enabled: Switch = setting(True, "Whether they are made.")
    neighbours: str | None = setting(
        None,
        "Table of objects (FITS, CSV, ECSV or text) with id, ra, dec, and magnitudes and a redshift z if it has them, "
        "that reports name as neighbours; null: the catalogue of stars alone.",
        min_length=1,
        path=True,
    )
    radius: Number = setting(10.0, "Arcsec: neighbours are looked for so far.", gt=0, le=120)
    least_sn: Number = setting(0.0, "A detection with less signal to noise has no report.", ge=0)
