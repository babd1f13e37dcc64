"""Which spectra are wanted of coadds, and the options that say so."""

import argparse
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from skyharvest.core.arrays import Floats, Ints
from skyharvest.core.errors import InputError
from skyharvest.core.settings import add_options
from skyharvest.harvest.settings import Match
from skyharvest.surveys.desi.plan import NO_TARGETID, targets_of_pixel
from skyharvest.surveys.desi.release import CoaddFile
from skyharvest.surveys.desi.settings import Settings, Spectra

FORMAT = "skyharvest extracted DESI coadds 4"


@dataclass
class Positions:
    """Targets to look for.

    Attributes
    ----------
    row : (n,) int64, CSV row
    ra, dec : (n,) float64, degrees
    targetid : (n,) int64 or None
        When given, a match is equality of TARGETID, not nearness.
    """

    row: Ints
    ra: Floats
    dec: Floats
    targetid: Ints | None = None

    @classmethod
    def of_pixel(cls, plan_targets: Path, pix64: int) -> Self:
        """Read a pixel's targets from ``plan_targets.npy``."""
        rows = targets_of_pixel(plan_targets, pix64)
        by_id = len(rows) > 0 and bool((rows["targetid"] != NO_TARGETID).all())
        return cls(rows["row"], rows["ra"], rows["dec"], rows["targetid"] if by_id else None)


@dataclass(frozen=True)
class Wanted:
    """What to extract: see the options of ``scripts/extract_desi_coadd.py``.

    ``resolution`` keeps the resolution matrices, ``lsf`` the widths of the combined spectra that follow from them.
    ``check_absence`` is called before a file is recorded as absent, and raises if that is not to be believed.
    """

    targets: Positions | None = None
    radius_arcsec: float = Match.radius_arcsec
    report_radius_arcsec: float = Match.report_radius_arcsec
    resolution: bool = True
    lsf: bool = False
    redshifts: bool = True
    sky_fibers: bool = False
    record_missing: bool = False
    check_absence: Callable[[str], None] | None = None
    targetid_radius_arcsec: float = Settings.targetid_radius_arcsec

    @property
    def reads_resolution(self) -> bool:
        """Whether the coadds' resolution matrices are read: 79 % of a row's bytes."""
        return self.resolution or self.lsf

    @property
    def by_targetid(self) -> bool:
        """Whether targets are matched by TARGETID; then the coadds need no positions."""
        return self.targets is not None and self.targets.targetid is not None

    def digest(self, coadds: Sequence[CoaddFile]) -> str:
        """Return a digest of what decides the content of an extracted file, but for what a release holds."""
        digest = hashlib.blake2b(digest_size=16)
        radii = (self.radius_arcsec, self.report_radius_arcsec)
        how = (FORMAT, *radii, self.resolution, self.lsf, self.redshifts, self.sky_fibers)
        digest.update(repr((*how, *(file.path for file in coadds))).encode())
        for file in coadds:
            digest.update(file.sums.encode())
        if self.by_targetid:
            digest.update(repr(self.targetid_radius_arcsec).encode())
        if self.targets is not None:
            for column in (self.targets.row, self.targets.ra, self.targets.dec, self.targets.targetid):
                digest.update(b"none" if column is None else np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()


def add_wanted_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of all programs that extract."""
    add_options(parser, Match, radius="radius_arcsec", report_radius="report_radius_arcsec")
    add_options(parser, Settings, "sky_fibers")
    add_options(parser, Spectra, "redshifts")


def wanted_of(options: argparse.Namespace) -> Wanted:
    """Return what to extract as far as these options tell: nothing of targets, nor of line-spread functions."""
    if options.report_radius < options.radius or options.radius <= 0:
        raise InputError("--radius must be positive and --report-radius not smaller")
    return Wanted(
        radius_arcsec=options.radius,
        report_radius_arcsec=options.report_radius,
        redshifts=not options.no_redshifts,
        sky_fibers=options.sky_fibers,
    )
