"""The calibrated fibers of an IFU in a shot, all exposures together: places, spectra, width of images.

Positions are read with all digits from the astrometry (the shot file has them in 32 bits, 0.03″ off) and are on one
plane: the focal plane of the shot's first exposure. Rows are paired by the names of amplifier and fiber.
"""

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from skyharvest.core.arrays import Array, Float32s, Floats, Ints
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats.hdf5 import open_made
from skyharvest.reduction.hetdex.layout import AMPS, Pairing, name_of_exposure
from skyharvest.reduction.hetdex.shots.shot_tables import FIBERS
from skyharvest.reduction.hetdex.stars.tangent import Pointing

NAMES = ("multiframe", "fiber_id", "amp", "expnum", "fibidx", "fibnum", "ifux", "ifuy")
SPECTRA = ("calfib", "calfibe")


@dataclass(frozen=True)
class Exposure:
    """An exposure of a shot.

    Attributes
    ----------
    expnum
        Its number.
    fwhm
        Of images at 4500 Å, arcsec.
    norm
        How much light it has, relative to the mean of the shot; calibrated fibers know it already.
    timestamp
        As names of raw frames have it: ``20190103T054545.4``.
    """

    expnum: int
    fwhm: float
    norm: float
    timestamp: str


@dataclass(frozen=True)
class IfuFibers:
    """Fibers of an IFU in all exposures of a shot, n of them.

    Attributes
    ----------
    shot
        Name of the shot.
    ifu
        The pairing.
    pointing
        Where the first exposure points: positions ↔ the sky.
    exposures
        By number.
    failed_amps
        ``expnum, amp`` of amplifiers that have no rows → the reason.
    multiframe, fiber_id, amp
        (n,) text.
    expnum, fibidx, fibnum
        (n,) i4.
    ifux, ifuy
        (n,) f8: arcsec in the IFU.
    x, y
        (n,) f8: arcsec on the focal plane of the first exposure; images move along x with wavelength (`refraction`).
    ra, dec
        (n,) f8: degrees.
    fwhm
        (n,) f8: of images at 4500 Å in the fiber's exposure, arcsec.
    flux, error
        (n, 1036) f4: ``calfib`` and ``calfibe``, 1e-17 erg/s/cm² in 2 Å at `virus.GRID`; NaN where nothing is known.
    more
        Other columns of ``/Data/Fibers`` that were asked for.
    """

    shot: str
    ifu: Pairing
    pointing: Pointing
    exposures: Mapping[int, Exposure]
    failed_amps: Mapping[tuple[int, str], str]
    multiframe: Array
    fiber_id: Array
    amp: Array
    expnum: Ints
    fibidx: Ints
    fibnum: Ints
    ifux: Floats
    ifuy: Floats
    x: Floats
    y: Floats
    ra: Floats
    dec: Floats
    fwhm: Floats
    flux: Float32s
    error: Float32s
    more: Mapping[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.x)


class ShotFibers:
    """A shot's fibers, read IFU by IFU.

    Parameters
    ----------
    shot, astrometry, stars
        ``shots/SHOT.h5``, ``astrometry/SHOT.h5`` and ``stars/SHOT.h5``.

    Attributes
    ----------
    files
        These three.
    name
        Of the shot.
    failed
        Why the shot has no fibers; empty if it has. Nothing else can then be asked.
    row
        Its row of ``/Shot``.
    exposures
        By number.
    pointing
        Where the first exposure points.

    Raises
    ------
    MalformedFile
        If a file is not what it should be.
    InputError
        If the files are of different shots.
    """

    def __init__(self, shot: Path, astrometry: Path, stars: Path) -> None:
        self.path, self.files = shot, (shot, astrometry, stars)
        with _open(shot) as file:
            self.name, self.failed = str(file.attrs["shot"]), str(file.attrs.get("failed", ""))
            if self.failed:
                return
            self._multiframe = file["Data/FiberIndex"].fields("multiframe")[:]
            self.row = file["Shot"][0]
            failures = file["Data/FailedAmps"][:]
        names, first = np.unique(self._multiframe, return_index=True)
        # The name of an amplifier lacks the controller: a row has it, and to read a row is slow.
        self._first = {name.decode()[6:-3]: row for name, row in zip(names.tolist(), first.tolist(), strict=True)}
        self._failures: dict[str, dict[tuple[int, str], str]] = {}
        for one in failures:
            self._failures.setdefault(_pairing_of(one), {})[int(one["expnum"]), one["amp"].decode()] = one[
                "reason"
            ].decode()
        with _open(astrometry) as file:
            self._check_name(file, astrometry)
            solved = {int(row["expnum"]): row for row in file["Solution/exposures"][:]}
            self._places = {expnum: file[f"Solution/fibers/{name_of_exposure(expnum)}"][:] for expnum in solved}
        with _open(stars) as file:
            self._check_name(file, stars)
            measured = {int(row["expnum"]): row for row in file["exposures"][:]}
        self.exposures = {
            expnum: Exposure(
                expnum,
                float(measured[expnum]["fwhm"]),
                float(measured[expnum]["norm"]),
                row["timestamp"].decode(),
            )
            for expnum, row in solved.items()
            if expnum in measured
        }
        first = solved[min(solved)]
        self.pointing = Pointing(float(first["ra"]), float(first["dec"]), float(first["pa"]))

    def _check_name(self, file: h5py.File, path: Path) -> None:
        if str(file.attrs["shot"]) != self.name:
            raise InputError(f"{path}: found shot {file.attrs['shot']}; expected {self.name}, as {self.path} has it")

    @cached_property
    def ifus(self) -> list[str]:
        """Its pairings, sorted."""
        with _open(self.path) as file:
            rows = [file["Data/Fibers"][row] for row in self._first.values()]
        return sorted({*map(_pairing_of, rows), *self._failures})

    def read(self, ifu: str, more: Iterable[str] = ()) -> IfuFibers:
        """Read the fibers of an IFU; none (n = 0) if all of its amplifiers failed.

        Parameters
        ----------
        ifu
            Its pairing.
        more
            Columns of ``/Data/Fibers`` to read beside, such as calfib_counts.

        Raises
        ------
        InputError
            If the shot has no such IFU.
        MalformedFile
            If fibers have no place.
        """
        cable = ifu.rpartition("_")[0]
        if ifu not in self._failures and cable not in self._first:
            raise InputError(f"{self.path}: found no IFU {ifu}; it has {', '.join(self.ifus)}")
        own = [f"multi_{cable}_{amp}".encode() for amp in AMPS]
        rows = np.flatnonzero(np.isin(self._multiframe, np.array(own, self._multiframe.dtype)))
        wanted = (*NAMES, *SPECTRA, *more)
        with _open(self.path) as file:
            fibers = file["Data/Fibers"]
            pieces = [fibers[start:stop] for start, stop in _runs(rows)]
            if others := {_pairing_of(row) for piece in pieces for row in piece} - {ifu}:
                raise InputError(f"{self.path}: found the IFU {', '.join(sorted(others))}; expected {ifu}")
            columns = {
                name: np.concatenate([piece[name] for piece in pieces])
                if pieces
                else np.zeros((0, *FIBERS[name].shape), FIBERS[name].base)
                for name in wanted
            }
        place = self._placed(columns)
        x, y = self.pointing.to_plane(place["ra"], place["dec"])
        expnum = columns["expnum"]
        return IfuFibers(
            shot=self.name,
            ifu=Pairing.named(ifu),
            pointing=self.pointing,
            exposures=self.exposures,
            failed_amps=self._failures.get(ifu, {}),
            multiframe=columns["multiframe"].astype("U20"),
            fiber_id=columns["fiber_id"].astype("U38"),
            amp=columns["amp"].astype("U2"),
            expnum=expnum,
            fibidx=columns["fibidx"],
            fibnum=columns["fibnum"],
            ifux=columns["ifux"].astype(np.float64),
            ifuy=columns["ifuy"].astype(np.float64),
            x=x,
            y=y,
            ra=place["ra"],
            dec=place["dec"],
            fwhm=np.array([self.exposures[number].fwhm for number in expnum.tolist()], np.float64),
            flux=columns["calfib"],
            error=columns["calfibe"],
            more={name: columns[name] for name in more},
        )

    def _placed(self, columns: Mapping[str, Array]) -> dict[str, Floats]:
        """Return RA and Dec of fibers, paired with the astrometry by exposure, amplifier and fiber."""
        made = {name: np.full(len(columns["expnum"]), np.nan) for name in ("ra", "dec")}
        for expnum in np.unique(columns["expnum"]).tolist():
            if expnum not in self.exposures:
                raise MalformedFile(f"{self.path}: found fibers of exposure {expnum}, which has no astrometry or stars")
            here = np.flatnonzero(columns["expnum"] == expnum)
            places = self._places[expnum]
            places = places[np.isin(places["multiframe"], columns["multiframe"][here])]  # of the IFU, not of the shot
            of = {(name, k): i for i, (name, k) in enumerate(zip(places["multiframe"], places["fibidx"], strict=True))}
            keys = zip(columns["multiframe"][here], columns["fibidx"][here], strict=True)
            try:
                found = np.array([of[key] for key in keys], np.int64)
            except KeyError as error:
                raise MalformedFile(f"{self.path}: found fiber {error}, which has no place in the astrometry") from None
            for name, values in made.items():
                values[here] = places[name][found]
        return made


def add_shot_options(parser: argparse.ArgumentParser) -> None:
    """Give a program the options that name the files of `ShotFibers`: shot, astrometry and stars."""
    for name, step in (("shot", "shots"), ("astrometry", "astrometry"), ("stars", "stars")):
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"{step}/SHOT.h5")


def open_shot(options: argparse.Namespace) -> ShotFibers:
    """Open the files that options of `add_shot_options` name."""
    return ShotFibers(options.shot, options.astrometry, options.stars)


def _pairing_of(row: Any) -> str:
    """Return the pairing of a row of fibers, or of amplifiers."""
    return "_".join(row[name].decode() for name in ("specid", "ifuslot", "ifuid", "contid"))


def _runs(rows: Ints) -> list[tuple[int, int]]:
    """Return rows, ascending, as half-open runs."""
    if not len(rows):
        return []
    edges = np.flatnonzero(np.diff(rows) != 1) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(rows, edges)]


def _open(path: Path) -> h5py.File:
    file = open_made(path)
    if "shot" not in file.attrs:
        file.close()
        raise MalformedFile(f"{path}: found no attribute shot; expected a file of a shot: remove it and run again")
    return file
