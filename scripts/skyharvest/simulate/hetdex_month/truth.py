"""The truth of a simulated month: an HDF5 file that is written as frames are, and read to compare with.

``/amps/{specid}_{ifuslot}_{ifuid}_{contid}_{amp}``
    trace, wavelength, dispersion, sigma, lsf, fiber_to_fiber (112, 1032); amp_to_amp (1032,); alive (112,);
    bias, flat (1032, 1032); attributes gain, read_noise, traps (column, first row), defect (first row, column),
    scattered, dead, missing, dark.
``/nights/{date}``
    Attributes ifus: its pairings; biases, twilights: how many frames of each.
``/ifus/{ifuslot}``
    Attribute middle: where the IFU truly is in the turned focal plane, ″ (`field.Pointing`).
``/throughput``
    wavelength, throughput: on the grid of 2 Å.
``/catalogue``
    The catalogue of stars, as it is written.
``/shots/{date}v{obs}``
    Attributes ra, dec, pa (true) and header_ra, header_dec, header_pa, exptime. Tables stars and lines; star_flux and
    line_flux (n, 1036), erg/s/cm²/Å on the grid.
``/shots/{date}v{obs}/exp0N``
    Attributes fwhm, norm, sky, shift, drift, dither. Below, by amplifier: sky (112, 1032), sources: fibidx (n,) and
    spectra (n, 1032), all in electrons per 2 Å of a mean fiber; cosmics: y, x of each pixel that was hit, (n, 2);
    scattered: mean of scattered light, electrons a pixel; attribute readable: whether the raw frame is.
"""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from skyharvest.core.arrays import Array, Bools, Floats
from skyharvest.simulate.hetdex_month.detector import Detector
from skyharvest.simulate.hetdex_month.field import Pointing
from skyharvest.simulate.hetdex_month.optics import NX, NY, SCATTERED, Fibers, Optics
from skyharvest.simulate.hetdex_month.sources import Line, Source, Star
from skyharvest.simulate.hetdex_month.spectra import throughput

GRID: Floats = 3470.0 + 2.0 * np.arange(1036, dtype=np.float64)
"""Å: of calibrated fibers."""


class Writer:
    """The truth that is written."""

    def __init__(self, path: Path) -> None:
        self._file = h5py.File(path, "w")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def amp(self, name: str, optics: Optics, detector: Detector, fibers: Fibers) -> None:
        """Write an amplifier."""
        group = self._file.create_group(f"amps/{name}")
        group["wavelength"] = optics.wavelength
        for key in ("trace", "dispersion", "sigma", "lsf", "fiber_to_fiber", "amp_to_amp"):
            group[key] = getattr(optics, key).astype(np.float32)
        group["alive"] = optics.alive
        for key in ("bias", "flat"):
            group[key] = getattr(detector, key)
        group.attrs.update(
            gain=detector.gain,
            read_noise=detector.read_noise,
            traps=np.array(detector.traps),
            defect=np.array(detector.defect),
            scattered=SCATTERED,
            dead=np.array(fibers.dead, int),
            missing=np.array(fibers.missing, int),
            dark=fibers.dark,
        )

    def night(self, date: int, ifus: Sequence[str], biases: int, twilights: int) -> None:
        """Write what there is in a night: pairings, and how many frames of each."""
        self._file.create_group(f"nights/{date}").attrs.update(ifus=list(ifus), biases=biases, twilights=twilights)

    def place(self, ifuslot: str, middle: tuple[float, float]) -> None:
        """Write where an IFU truly is in the turned focal plane, ″."""
        self._file.require_group(f"ifus/{ifuslot}").attrs["middle"] = middle

    def general(self, catalogue: Array) -> None:
        """Write the throughput and the catalogue."""
        self._file["throughput/wavelength"] = GRID
        self._file["throughput/throughput"] = throughput(GRID)
        self._file["catalogue"] = catalogue

    def shot(self, name: str, true: Pointing, told: Pointing, exptime: float, sources: Sequence[Source]) -> None:
        """Write a shot's pointing and sources."""
        group = self._file.create_group(f"shots/{name}")
        group.attrs.update(ra=true.ra, dec=true.dec, pa=true.pa, exptime=exptime)
        group.attrs.update(header_ra=told.ra, header_dec=told.dec, header_pa=told.pa)
        for kind, made in (("star", Star), ("line", Line)):
            chosen = [one for one in sources if isinstance(one.light, made)]
            group[f"{kind}s"] = _table(chosen, made)
            spectra = [one.light.flux(GRID) for one in chosen]
            group[f"{kind}_flux"] = np.array(spectra, np.float32).reshape(len(chosen), GRID.size)

    def exposure(self, shot: str, expnum: int, values: dict[str, Any]) -> None:
        """Write what holds for an exposure."""
        self._file.create_group(f"shots/{shot}/exp{expnum:02d}").attrs.update(values)

    def frame(
        self,
        shot: str,
        expnum: int,
        amp: str,
        sky: Floats,
        sources: Floats,
        cosmics: Bools,
        *,
        scattered: float,
        readable: bool,
    ) -> None:
        """Write a science frame: spectra in electrons per 2 Å of a mean fiber, and the pixels that cosmic rays hit."""
        group = self._file[f"shots/{shot}/exp{expnum:02d}"].create_group(amp)
        group["sky"] = sky.astype(np.float32)
        lit = np.flatnonzero(sources.max(1) > 0)
        group["sources/fibidx"], group["sources/spectra"] = lit, sources[lit].astype(np.float32)
        group["cosmics"] = np.argwhere(cosmics).astype(np.int16)
        group.attrs.update(scattered=scattered, readable=readable)


def _table(sources: Sequence[Source], kind: type[Star] | type[Line]) -> Array:
    names = [one.name for one in fields(kind)]
    rows = np.zeros(len(sources), [("ifuslot", "S3"), *((name, "f8") for name in ("ra", "dec", *names))])
    for row, source in zip(rows, sources, strict=True):
        row["ifuslot"], row["ra"], row["dec"] = source.ifuslot, source.ra, source.dec
        for name in names:
            row[name] = getattr(source.light, name)
    return rows


class Truth:
    """The truth that is read.

    Parameters
    ----------
    path
        ``truth.h5``.
    """

    def __init__(self, path: Path) -> None:
        self._file = h5py.File(path, "r")

    def __enter__(self) -> "Truth":
        """Return it."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the file."""
        self._file.close()

    @property
    def amps(self) -> list[str]:
        """Names of amplifiers: ``317_015_038_0211_LL``."""
        return sorted(self._file["amps"])

    @property
    def shots(self) -> list[str]:
        """Names of shots: ``20190103v017``."""
        return sorted(self._file["shots"])

    def amp(self, name: str, key: str) -> Array:
        """Return an array of an amplifier."""
        return np.asarray(self._file[f"amps/{name}/{key}"])

    def amp_value(self, name: str, key: str) -> Any:
        """Return an attribute of an amplifier."""
        return self._file[f"amps/{name}"].attrs[key]

    @property
    def months(self) -> dict[str, list[str]]:
        """Pairings by month, of months that have twilights and biases."""
        months: dict[str, list[str]] = {}
        for date, night in self._file["nights"].items():
            if night.attrs["biases"] and night.attrs["twilights"]:
                known = months.setdefault(date[:6], [])
                known += [str(name) for name in night.attrs["ifus"] if name not in known]
        return months

    def middle(self, ifuslot: str) -> Floats:
        """Return where an IFU is in the turned focal plane, (2,) f8 ″."""
        return np.asarray(self._file[f"ifus/{ifuslot}"].attrs["middle"])

    @property
    def throughput(self) -> Floats:
        """(1036,) f8 on the grid."""
        return np.asarray(self._file["throughput/throughput"])

    def shot_value(self, shot: str, key: str) -> Any:
        """Return an attribute of a shot."""
        return self._file[f"shots/{shot}"].attrs[key]

    def sources(self, shot: str, kind: str) -> tuple[Array, Floats]:
        """Return the table of a shot's stars (``star``) or emission lines (``line``), and their fluxes on the grid."""
        group = self._file[f"shots/{shot}"]
        return np.asarray(group[f"{kind}s"]), np.asarray(group[f"{kind}_flux"], float)

    def exposures(self, shot: str) -> list[int]:
        """Return the numbers of a shot's exposures."""
        return [int(name[3:]) for name in sorted(self._file[f"shots/{shot}"]) if name.startswith("exp")]

    def exposure_value(self, shot: str, expnum: int, key: str) -> Any:
        """Return an attribute of an exposure."""
        return self._file[f"shots/{shot}/exp{expnum:02d}"].attrs[key]

    def frames(self, shot: str, expnum: int) -> list[str]:
        """Return the amplifiers that have a frame."""
        return sorted(self._file[f"shots/{shot}/exp{expnum:02d}"])

    def readable(self, shot: str, expnum: int, amp: str) -> bool:
        """Return whether the raw frame can be read."""
        return bool(self._file[f"shots/{shot}/exp{expnum:02d}/{amp}"].attrs["readable"])

    def sky(self, shot: str, expnum: int, amp: str) -> Floats:
        """Return the sky of a frame, (112, 1032) f8 electrons per 2 Å of a mean fiber."""
        return np.asarray(self._file[f"shots/{shot}/exp{expnum:02d}/{amp}/sky"], float)

    def source_light(self, shot: str, expnum: int, amp: str) -> Floats:
        """Return light of sources in each fiber of a frame, (112, 1032) f8 electrons per 2 Å of a mean fiber."""
        group = self._file[f"shots/{shot}/exp{expnum:02d}/{amp}/sources"]
        light = np.zeros((112, NX))
        light[np.asarray(group["fibidx"])] = np.asarray(group["spectra"])
        return light

    def cosmics(self, shot: str, expnum: int, amp: str) -> Bools:
        """Return the pixels of a frame that cosmic rays hit, (1032, 1032) bool."""
        mask = np.zeros((NY, NX), bool)
        places = np.asarray(self._file[f"shots/{shot}/exp{expnum:02d}/{amp}/cosmics"])
        mask[places[:, 0], places[:, 1]] = True
        return mask
