"""Step: the throughput of a shot, from its stars and what they send.

The product, ``throughput/{shot}.h5``: the table ``throughput`` as HETDEX's shot files have it (wavelength, throughput,
tp_low and tp_high of 1 σ, rat_poly: what stars say over the throughput, NaN where they say nothing, tp_gband: the
reference at the level of the g magnitudes alone); ``curve``, the throughput at 3470 + 2 i Å; the table ``stars``: which
were taken, and why others were not. Attributes: shot, response_4540, c1, c2, coefficients, n_stars, n_taken, from
(``stars`` or ``gband``), failed.

The table is also a text, ``{shot}sedtp_f.dat``, as HETDEX's own has it; of a shot without throughput it is a comment.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats.pytables import open_new, write_array, write_table
from skyharvest.reduction.hetdex import biweight
from skyharvest.reduction.hetdex.settings import Throughput
from skyharvest.reduction.hetdex.stars.sed import read_seds
from skyharvest.reduction.hetdex.stars.star_spectra import StarSpectra, read_stars
from skyharvest.reduction.hetdex.stars.throughput_curve import (
    ANCHOR,
    LEAST,
    Curve,
    bin_centres,
    combine_exposures,
    fit_curve,
    judge,
    level_in_g,
    photons_per_bin,
    ratios,
    reference_curve,
)
from skyharvest.reduction.hetdex.virus import GRID

log = logging.getLogger(__name__)

THROUGHPUT = np.dtype(
    [(name, "<f8") for name in ("wavelength", "throughput", "tp_low", "tp_high", "rat_poly", "tp_gband")]
)
"""Of bins: the six columns of HETDEX's text, and of the table in its shot files."""
STARS = np.dtype(
    [
        ("star_id", "S32"),
        ("g", "<f8"),
        ("taken", "?"),
        ("reason", "S120"),
        ("level", "<f8"),
        ("scatter", "<f8"),
        ("rms", "<f8"),
        ("level_g", "<f8"),
    ]
)


@dataclass(frozen=True)
class Measured:
    """The throughput of a shot.

    Attributes
    ----------
    table
        (n_bin,) of `THROUGHPUT`.
    curve
        (1036,) f8 at `GRID`; NaN if there is none.
    stars
        (n_star,) of `STARS`.
    values
        What else there is to say, by name.
    failed
        Why there is no throughput; empty if there is.
    """

    table: Array
    curve: Floats
    stars: Array
    values: dict[str, Any]
    failed: str = ""


def measure_throughput(stars: Path, seds: Path, out: Path, text: Path, settings: Throughput) -> None:
    """Write the throughput of a shot.

    Parameters
    ----------
    stars, seds
        ``stars/{shot}.h5`` and ``seds/{shot}.h5``.
    out, text
        ``throughput/{shot}.h5`` and ``{shot}sedtp_f.dat``. They tell why, if there is no throughput.
    """
    measured = read_stars(stars)
    ids, flux, reasons, _ = read_seds(seds)
    if list(ids) != list(measured.ids):
        raise MalformedFile(
            f"{seds}: found {len(ids)} stars, not the {len(measured.ids)} of {stars}; remove it and run again"
        )
    made = throughput_of(measured, flux, reasons, settings)
    with atomic_path(out) as temporary, open_new(temporary, f"Throughput of {measured.shot}") as file:
        file.attrs.update(shot=measured.shot, failed=made.failed, **made.values)
        write_table(file, "throughput", made.table, "Throughput curve")
        write_table(file, "stars", made.stars, "Stars")
        write_array(file, "curve", made.curve)
    with atomic_path(text) as temporary:
        temporary.write_text(as_text(made), encoding="utf-8")
    taken = int(made.stars["taken"].sum())
    log.info("%s: %d of %d stars are taken%s", out, taken, len(ids), f"; {made.failed}" if made.failed else "")


def throughput_of(stars: StarSpectra, flux: Floats, reasons: Array, settings: Throughput) -> Measured:
    """Return the throughput that stars tell.

    Parameters
    ----------
    stars
        Of the shot.
    flux
        (n_star, 1036): what they send, erg/s/cm²/Å; NaN where that is not known.
    reasons
        (n_star,) text: why it is not known.
    settings
        Of the step.
    """
    given = Path(settings.reference) if settings.reference else None
    centres = bin_centres(settings.bin)
    reference, on_grid = reference_curve(centres, given), reference_curve(GRID, given)
    rows = np.zeros(len(stars.ids), STARS)
    rows["star_id"] = np.char.encode(stars.ids, "ascii", "replace")
    rows["g"] = stars.magnitudes[:, 1]
    if stars.failed:
        return _nothing(rows, stars.failed)
    counts, variance = combine_exposures(stars.counts, stars.variance, stars.norm)
    found = ratios(counts, variance, photons_per_bin(flux), settings.bin, settings.sky_left)
    judged = judge(
        found, reference, max_scatter=settings.max_scatter, max_rms=settings.max_rms, last=settings.last_wavelength
    )
    why = [
        str(wrong)
        or (f"g {g:.2f}, fainter than {settings.faintest:g}" if g > settings.faintest else str(no_sed) or shape)
        for wrong, g, no_sed, shape in zip(stars.wrong, rows["g"], reasons, judged.reason, strict=True)
    ]
    judged = replace(judged, reason=tuple(why))
    rows["reason"], rows["taken"] = [w.encode("ascii", "replace") for w in why], judged.taken
    rows["level"], rows["scatter"], rows["rms"] = judged.level, judged.scatter, judged.rms
    rows["level_g"] = level_in_g(counts, rows["g"], on_grid)
    level_g = float(biweight.location(rows["level_g"][(stars.wrong == "") & ~(rows["g"] > settings.faintest)]))
    values: dict[str, Any] = {"n_stars": len(rows), "n_taken": int(rows["taken"].sum()), "level_g": level_g}
    try:
        if values["n_taken"] < settings.min_stars:
            raise InputError(
                f"{values['n_taken']} of {len(rows)} stars are taken, fewer than throughput.min_stars = "
                f"{settings.min_stars}; {_most_frequent(why)}"
            )
        curve = fit_curve(found, judged, reference, on_grid, settings.degree, settings.min_sn, settings.last_wavelength)
    except InputError as error:
        if not settings.gband_alone or not level_g > 0:
            return _nothing(rows, str(error), values)
        return _measured(
            rows, values | {"from": "gband"}, centres, _flat(reference, on_grid, level_g), level_g, reference
        )
    return _measured(rows, values | {"from": "stars"}, centres, curve, level_g, reference)


def _measured(
    rows: Array, values: dict[str, Any], centres: Floats, curve: Curve, level_g: float, reference: Floats
) -> Measured:
    table = np.zeros(centres.size, THROUGHPUT)
    table["wavelength"], table["throughput"], table["rat_poly"] = centres, curve.throughput, curve.data_over_fit
    table["tp_low"], table["tp_high"], table["tp_gband"] = curve.low, curve.high, level_g * reference
    response = float(curve.throughput[np.argmin(np.abs(centres - ANCHOR))])
    more = {"response_4540": response, "c1": curve.linear[0], "c2": curve.linear[1], "coefficients": curve.coefficients}
    return Measured(table, curve.on_grid, rows, values | more)


def _flat(reference: Floats, on_grid: Floats, level: float) -> Curve:
    """Return the reference curve at a level."""
    curve = np.maximum(level * reference, LEAST)
    unknown = np.full(curve.size, np.nan)
    coefficients = np.array([level, 0.0])
    return Curve(curve, unknown, unknown, unknown, np.maximum(level * on_grid, LEAST), coefficients, coefficients)


def _nothing(rows: Array, failed: str, values: dict[str, Any] | None = None) -> Measured:
    unknown = {"n_stars": len(rows), "n_taken": 0, "response_4540": np.nan}
    return Measured(np.zeros(0, THROUGHPUT), np.full(GRID.size, np.nan), rows, unknown | (values or {}), failed)


def _most_frequent(reasons: list[str]) -> str:
    """Return the reasons of refused stars, shortened."""
    refused = [reason for reason in reasons if reason]
    return f"refused: {'; '.join(refused[:3])}{'; …' if len(refused) > 3 else ''}" if refused else "there are no others"


def as_text(made: Measured) -> str:
    """Return the six columns of HETDEX's text of a throughput, or a comment that says why there is none."""
    if made.failed:
        return f"# {made.failed}\n"
    lines = []
    for row in made.table:
        wavelength, *others = (float(row[name]) for name in THROUGHPUT.names or ())
        lines.append(f" {wavelength:6.1f}" + "".join(f" {value:7.4f}" for value in others))
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class ShotThroughput:
    """The throughput of a shot that is read: see `Measured`."""

    table: Array
    curve: Floats
    response_4540: float
    failed: str


def read_throughput(path: Path) -> ShotThroughput:
    """Read ``throughput/{shot}.h5``.

    Raises
    ------
    MalformedFile
        If it is no such file.
    """
    try:
        with h5py.File(path, "r") as file:
            return ShotThroughput(
                file["throughput"][:], file["curve"][:], float(file.attrs["response_4540"]), str(file.attrs["failed"])
            )
    except (OSError, KeyError) as error:
        raise MalformedFile(f"{path}: found no throughput of a shot ({error}); remove it and run again") from None
