"""Flags of fibers, as HETDEX's fiber index has them: 1 where a fiber is good, 0 where it is bad.

========================  =========================================================================================
``flag_badamp``           the amplifier failed in this exposure, or most of its fibers are bad
``flag_badfib``           dead or odd: hardly a wavelength with a flux, no position, little light in twilights, or χ²
                          of the extraction far from 1
``flag_meteor``           on the track of a meteor
``flag_satellite``        on the track of a satellite
``flag_largegal``         in a large galaxy
``flag_shot``             the shot is named as bad
``flag_throughput``       the shot's throughput at 4540 Å is low, or not known
``flag``                  all of these
========================  =========================================================================================

Names and meanings are those of the field's own tables (hetdex_api: ``survey.FiberIndex``), and so are the limits of χ²
and fiber to fiber (its mask bits CHI2FIB and FTF, here by fiber and not by wavelength).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from skyharvest.core.arrays import Array, Bools, Floats, Ints
from skyharvest.reduction.hetdex.layout import shot_of
from skyharvest.reduction.hetdex.shots.shot_tables import columns_of
from skyharvest.reduction.hetdex.source_settings import Flags
from skyharvest.reduction.hetdex.sources.sky_faults import SkyFaults
from skyharvest.reduction.hetdex.virus import FIBER_RADIUS

FLAGS = columns_of(
    """flag i4, flag_badamp i1, flag_badfib i1, flag_meteor i1, flag_satellite i1, flag_largegal i1, flag_shot i1,
    flag_throughput i1"""
)
PARTS = tuple(name for name in FLAGS.names or () if name != "flag")
QUALITY_COLUMNS = ("calfib", "chi2", "fiber_to_fiber")
"""Of ``/Data/Fibers``, which `FiberQuality.of` reads."""


@dataclass(frozen=True)
class FiberQuality:
    """How good the spectra of n fibers are.

    Attributes
    ----------
    known
        (n,) f8: share of wavelengths that have a calibrated flux.
    chi2
        (n,) f8: of the extraction, median; NaN if nothing is known.
    fiber_to_fiber
        (n,) f8: median; NaN if nothing is known.
    """

    known: Floats
    chi2: Floats
    fiber_to_fiber: Floats

    @classmethod
    def of(cls, rows: Array | Mapping[str, Array]) -> "FiberQuality":
        """Return that of rows with the columns `QUALITY_COLUMNS`, (n,)."""
        known = np.isfinite(rows["calfib"]).mean(axis=1)
        return cls(known, _median(rows["chi2"]), _median(rows["fiber_to_fiber"]))

    @classmethod
    def joined(cls, parts: Collection["FiberQuality"]) -> "FiberQuality":
        """Return that of fibers that were read in pieces."""
        names = ("known", "chi2", "fiber_to_fiber")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def bad(self, settings: Flags) -> Bools:
        """Tell which fibers are dead or odd, (n,)."""
        fine = (
            (self.known >= settings.least_known)
            & (self.chi2 <= settings.most_chi2)
            & (self.fiber_to_fiber >= settings.least_fiber_to_fiber)
        )
        return ~fine


def _median(values: Array) -> Floats:
    """Return the median of what is known of each row; NaN if nothing is."""
    made = np.full(len(values), np.nan)
    lit = np.isfinite(values).any(axis=1)
    made[lit] = np.nanmedian(values[lit], axis=1)
    return made


def flag_fibers(
    shot: Array,
    expnum: Ints,
    multiframe: Array,
    ra: Floats,
    dec: Floats,
    quality: FiberQuality,
    faults: SkyFaults,
    settings: Flags,
    failed_amps: Collection[tuple[int, str]] = (),
) -> Array:
    """Return the flags of a shot's fibers, or of those of some of its amplifiers, each with all of its fibers.

    Parameters
    ----------
    shot
        Its row of ``/Shot``.
    expnum, multiframe
        (n,): of the fibers; multiframes as text or bytes.
    ra, dec
        (n,) f8, degrees: where they are.
    quality
        Of their spectra.
    faults
        What is known of the sky.
    settings
        Limits.
    failed_amps
        Exposures and multiframes that failed: fibers that are asked for nevertheless, as those of a whole IFU may be,
        are bad.

    Returns
    -------
    (n,) of type `FLAGS`
    """
    name = shot_of(int(shot["shotid"]))
    bad = quality.bad(settings) | ~(np.isfinite(ra) & np.isfinite(dec))
    made = np.ones(len(bad), FLAGS)
    made["flag_badfib"] = ~bad
    made["flag_badamp"] = ~_of_bad_amps(expnum, np.asarray(multiframe).astype("U20"), bad, settings, failed_amps)
    for kind in ("meteor", "satellite"):
        made[f"flag_{kind}"] = ~faults.on_track(kind, name, expnum, ra, dec, FIBER_RADIUS)
    made["flag_largegal"] = ~faults.in_galaxy(ra, dec)
    made["flag_shot"] = name not in faults.bad_shots
    made["flag_throughput"] = bool(shot["response_4540"] >= settings.least_response)
    made["flag"] = np.all([made[part] for part in PARTS], axis=0)
    return made


def _of_bad_amps(
    expnum: Ints, multiframe: Array, bad: Bools, settings: Flags, failed: Collection[tuple[int, str]]
) -> Bools:
    """Tell which fibers are of an amplifier that is bad, (n,)."""
    names, of = np.unique(multiframe, return_inverse=True)
    amps, amp = np.unique(np.stack([expnum, of]), axis=1, return_inverse=True)
    share = np.bincount(amp, bad, amps.shape[1]) / np.bincount(amp, minlength=amps.shape[1])
    has_failed = [(int(number), str(names[k])) in failed for number, k in amps.T]
    found: Bools = ((share > settings.most_bad) | np.array(has_failed, bool))[amp]
    return found
