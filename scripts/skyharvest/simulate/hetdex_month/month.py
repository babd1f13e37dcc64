"""A simulated month: its frames, the files that its reduction needs, and the truth."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import fitsio
import numpy as np

from skyharvest.core.arrays import Array, Float32s, Floats
from skyharvest.core.atomic import atomic_path
from skyharvest.simulate.hetdex_month import detector as detectors
from skyharvest.simulate.hetdex_month import optics as optical
from skyharvest.simulate.hetdex_month.detector import Detector
from skyharvest.simulate.hetdex_month.field import (
    DITHERS,
    Ifu,
    Pointing,
    fibers_of_amp,
    fplane_text,
    ifucen_text,
)
from skyharvest.simulate.hetdex_month.optics import Fibers, Optics
from skyharvest.simulate.hetdex_month.plan import BIAS_OBS, IDLE, TWILIGHT_OBS, Night, Plan, Shot, demo
from skyharvest.simulate.hetdex_month.raw import EXPTIMES, Exposure, Member, frame_bytes, header, write_tar
from skyharvest.simulate.hetdex_month.seeing import KNOTS, fractions
from skyharvest.simulate.hetdex_month.sources import MAGNITUDES, Source, catalogue, place, random_line, random_star
from skyharvest.simulate.hetdex_month.spectra import SUN_SIGMA, WAVE, Seen, electrons, night_sky, twilight
from skyharvest.simulate.hetdex_month.truth import Writer

BRIGHTNESS = (1.0, 0.8, 1.1)
"""Of twilights, one after the other."""
NEAR = 12.0
"""″: farther from a source a fiber gets nothing of it."""
EDGE = (-24.4, 9.0)
"""″: where a star is on the edge of an IFU."""
FIELD = 600.0
"""″: radius of the catalogue around a shot."""
OTHERS = 60
"""Stars of the catalogue that no IFU of a shot sees."""


@dataclass(frozen=True)
class Amp:
    """An amplifier: all that is true of it."""

    ifu: Ifu
    amp: str
    fibers: Fibers
    optics: Optics
    detector: Detector

    @property
    def name(self) -> str:
        """The pairing and the amplifier."""
        return f"{self.ifu.name}_{self.amp}"


def simulate(root: Path, plan: Plan | None = None) -> Plan:
    """Write a month.

    Below the directory, ``raw/DATE/virus/virus0000OBS.tar``, ``fplane/fplaneDATE``, ``ifucen/``,
    ``star_catalogue.fits``, ``bad_fibers.csv`` and ``truth.h5`` are made. What is written depends on the plan alone,
    and what is random in a frame on the plan's seed and the frame's name.

    Parameters
    ----------
    root
        The directory.
    plan
        What there is; None for the month of the demo.

    Returns
    -------
    Plan
        What was written.
    """
    plan = plan or demo()
    amps = build_amps(plan)
    with atomic_path(root / "truth.h5") as temporary:
        truth = Writer(temporary)
        try:
            for amp in amps.values():
                truth.amp(amp.name, amp.optics, amp.detector, amp.fibers)
            stars: list[Source] = []
            for night in plan.nights:
                stars += _Simulated(root, plan, night, amps, truth).write()
            unique = {(star.ra, star.dec): star for star in stars}
            table = catalogue(list(unique.values()), _random(plan, "catalogue"))
            truth.general(table)
        finally:
            truth.close()
    _write_lists(root, plan, table)
    return plan


def build_amps(plan: Plan) -> dict[tuple[str, str], Amp]:
    """Return the amplifiers of a month by pairing and amplifier; their throughputs' mean is 1 in each column."""
    amps = {}
    for ifu in dict.fromkeys(ifu for night in plan.nights for ifu in night.ifus):
        for amp in plan.amps:
            fibers = plan.fibers.get((ifu.specid, amp), Fibers())
            optics = optical.build(
                fibers,
                _random(plan, f"optics {ifu.specid} {amp}"),
                _random(plan, f"fibers {ifu.ifuid} {amp}"),
            )
            made = detectors.build(_random(plan, f"detector {ifu.specid} {ifu.contid} {amp}"), dark=fibers.dark)
            amps[ifu.name, amp] = Amp(ifu, amp, fibers, optics, made)
    lit = [amp.optics.amp_to_amp for amp in amps.values() if not amp.fibers.dark]
    mean = np.mean(lit, axis=0) if lit else 1.0
    return {
        key: replace(amp, optics=replace(amp.optics, amp_to_amp=amp.optics.amp_to_amp / mean))
        for key, amp in amps.items()
    }


def _random(plan: Plan, what: str) -> np.random.Generator:
    return np.random.default_rng([plan.seed, crc32(what.encode())])


class _Simulated:
    """A night that is written."""

    def __init__(self, root: Path, plan: Plan, night: Night, amps: dict[tuple[str, str], Amp], truth: Writer) -> None:
        self.root, self.plan, self.night, self.truth = root, plan, night, truth
        self.amps = [amps[ifu.name, amp] for ifu in night.ifus for amp in plan.amps]
        self.offsets = {
            ifu.ifuslot: _random(plan, f"place of {ifu.ifuslot}").normal(0, plan.fplane_error, 2) for ifu in night.ifus
        }

    def write(self) -> list[Source]:
        """Write the night's tar files; return the stars of its shots' fields."""
        night = self.night
        self.truth.night(night.date, [ifu.name for ifu in night.ifus], night.biases, night.twilights)
        for ifu in night.ifus:
            self.truth.place(ifu.ifuslot, self._places(ifu))
        if night.biases:
            exposures = [self._exposure(BIAS_OBS, n + 1, "zro", 0.5 + n / 60) for n in range(night.biases)]
            self._write(BIAS_OBS, self._biases(exposures))
        if night.twilights:
            exposures = [self._exposure(TWILIGHT_OBS, n + 1, "twi", 1.0 + n / 60) for n in range(night.twilights)]
            self._write(TWILIGHT_OBS, self._twilights(exposures))
        stars = []
        for shot in night.shots:
            sources = self._sources(shot)
            stars += [one for one in sources if one.kind == "star"]
            self._write(shot.obs, self._science(shot, sources))
        return stars

    def _exposure(self, obs: int, expnum: int, kind: str, hours: float, shot: Shot | None = None) -> Exposure:
        return Exposure(self.night.date, obs, expnum, kind, hours, shot, self.night.old)

    def _write(self, obs: int, members: Iterator[Member]) -> None:
        path = self.root / f"raw/{self.night.date}/virus/virus{obs:07d}.tar"
        mine = [one for one in self.plan.damages if (one.date, one.obs) == (self.night.date, obs)]
        write_tar(path, members, mine, _random(self.plan, f"damage {self.night.date} {obs}"))

    def _member(self, exposure: Exposure, amp: Amp, expected: Float32s | None, cosmics: Float32s | None) -> Member:
        name = exposure.member(amp.ifu, amp.amp)
        read = amp.detector.read(expected, cosmics, self._of(exposure, amp, ""), amp.amp, exposure.ampname(amp.amp))
        head = header(exposure, amp.ifu, amp.amp, amp.detector.gain, amp.detector.read_noise)
        return Member(exposure.expnum, name, frame_bytes(head, read))

    def _of(self, exposure: Exposure, amp: Amp, what: str) -> np.random.Generator:
        return _random(self.plan, f"{what} {exposure.timestamp} {amp.name}")

    def _biases(self, exposures: Sequence[Exposure]) -> Iterator[Member]:
        for exposure in exposures:
            for amp in self.amps:
                yield self._member(exposure, amp, None, None)
        if self.night.repeated:
            again = replace(exposures[-1], expnum=exposures[-1].expnum + 1)
            for amp in self.amps:
                yield self._member(again, amp, None, None)

    def _twilights(self, exposures: Sequence[Exposure]) -> Iterator[Member]:
        seen = Seen(twilight(), SUN_SIGMA)
        images = []
        for amp in self.amps:
            light = seen.at(amp.optics.wavelength, amp.optics.lsf) * amp.optics.response
            images.append(amp.detector.expose(amp.optics.paint(light)))
        for exposure in exposures:
            bright = np.float32(BRIGHTNESS[(exposure.expnum - 1) % len(BRIGHTNESS)])
            for amp, image in zip(self.amps, images, strict=True):
                cosmics, _ = detectors.cosmic_rays(3, self._of(exposure, amp, "cosmics"))
                yield self._member(exposure, amp, image * bright, cosmics)

    def _science(self, shot: Shot, sources: list[Source]) -> Iterator[Member]:
        name = f"{self.night.date}v{shot.obs:03d}"
        true = Pointing(shot.ra, shot.dec, shot.pa)
        told = Pointing(
            shot.ra - shot.off[0] / 3600 / np.cos(np.deg2rad(shot.dec)),
            shot.dec - shot.off[1] / 3600,
            shot.pa - shot.off[2],
        )
        self.truth.shot(name, true, told, EXPTIMES["sci"], sources)
        seen = [Seen(electrons(WAVE, one.light.flux(WAVE))) if one.ifuslot else None for one in sources]
        sky_seen = Seen(night_sky())
        damages = [one for one in self.plan.damages if (one.date, one.obs) == (self.night.date, shot.obs)]
        gone = False
        for n in range(len(shot.fwhm)):
            exposure = self._exposure(shot.obs, n + 1, "sci", shot.time + n * 7 / 60, shot)
            values = {key: getattr(shot, key)[n] for key in ("fwhm", "norm", "sky", "shift", "drift")}
            self.truth.exposure(name, n + 1, {**values, "dither": DITHERS[n % 3], "timestamp": exposure.timestamp})
            for amp in self.amps:
                optics = amp.optics
                sky = sky_seen.at(optics.wavelength + shot.drift[n], optics.lsf) * shot.sky[n]
                objects = self._light(amp, shot, n, sources, seen, true)
                painted = optics.paint((sky + objects) * optics.response, shot.shift[n])
                far = float(optical.scatter(painted).mean())
                cosmics, hit = detectors.cosmic_rays(shot.cosmics, self._of(exposure, amp, "cosmics"))
                wrong = {
                    one.kind
                    for one in damages
                    if one.expnum == n + 1 and one.member in exposure.member(amp.ifu, amp.amp)
                }
                gone = gone or "cut" in wrong
                self.truth.frame(
                    name, n + 1, amp.name, 2 * sky, 2 * objects, hit, scattered=far, readable=not (gone or wrong)
                )
                yield self._member(exposure, amp, amp.detector.expose(painted), cosmics)

    def _places(self, ifu: Ifu) -> tuple[float, float]:
        """Return where the middle of an IFU truly is in the turned focal plane, ″."""
        x, y = self.offsets[ifu.ifuslot]
        return ifu.y + float(x), ifu.x + float(y)

    def _light(
        self, amp: Amp, shot: Shot, n: int, sources: list[Source], seen: list[Seen | None], true: Pointing
    ) -> Floats:
        """Return light of sources in fibers of an amplifier, (112, 1032) f8 electrons per Å of a mean fiber."""
        optics = amp.optics
        light = np.zeros_like(optics.wavelength)
        middle = self._places(amp.ifu)
        at = fibers_of_amp(amp.ifu.ifuid, amp.amp) + np.array(DITHERS[n % 3]) + np.array(middle)
        for source, spectrum in zip(sources, seen, strict=True):
            if spectrum is None or source.ifuslot != amp.ifu.ifuslot:
                continue
            x, y = true.to_plane(np.array(source.ra), np.array(source.dec))
            near = np.flatnonzero(np.hypot(at[:, 0] - x, at[:, 1] - y) < NEAR)
            if not near.size:
                continue
            parts = fractions(at[near, 0] - x, at[near, 1] - y, shot.fwhm[n]) * shot.norm[n]
            whole = spectrum.at(optics.wavelength[near] + shot.drift[n], optics.lsf[near])
            for k, fiber in enumerate(near):
                light[fiber] += whole[k] * np.interp(optics.wavelength[fiber], KNOTS, parts[k])
        return light

    def _sources(self, shot: Shot) -> list[Source]:
        """Return stars and lines of a shot: those in its IFUs, and stars around them."""
        # A field that is seen again has the same stars.
        random = _random(self.plan, f"sources {shot.ra} {shot.dec} {shot.pa}")
        true = Pointing(shot.ra, shot.dec, shot.pa)
        sources: list[Source] = []
        for k, ifu in enumerate(self.night.ifus):
            middle = self._places(ifu)
            taken: list[tuple[float, float]] = [EDGE] if shot.edge and k == 0 else []
            n_stars = shot.stars + len(taken)
            while len(taken) < n_stars + shot.lines:
                place(random, taken)
            for m, (x, y) in enumerate(taken):
                ra, dec = (float(one) for one in true.to_sky(np.array(middle[0] + x), np.array(middle[1] + y)))
                if m < n_stars:
                    g = float(MAGNITUDES[m % len(MAGNITUDES)] + random.uniform(-0.3, 0.3))
                    sources.append(Source(random_star(g, random), ifu.ifuslot, ra, dec))
                else:
                    sources.append(Source(random_line(shot.line_flux, random), ifu.ifuslot, ra, dec))
        if shot.stars:
            sources += self._others(shot, true, random)
        return sources

    def _others(self, shot: Shot, true: Pointing, random: np.random.Generator) -> Iterator[Source]:
        """Yield stars of the catalogue that no IFU sees."""
        for _ in range(OTHERS):
            x, y = random.uniform(-FIELD, FIELD, 2)
            star = random_star(float(random.uniform(15, 21.5)), random)
            middles = [self._places(ifu) for ifu in self.night.ifus]
            if all(max(abs(x - a), abs(y - b)) > 25 + NEAR for a, b in middles):
                ra, dec = true.to_sky(np.array(x), np.array(y))
                yield Source(star, "", float(ra), float(dec))


def _write_lists(root: Path, plan: Plan, table: Array) -> None:
    for night in plan.nights:
        used = {ifu.ifuslot for ifu in night.ifus}
        idle = [ifu for ifu in IDLE if ifu.ifuslot not in used]
        _write_text(root / f"fplane/fplane{night.date}", fplane_text((*night.ifus, *idle)))
    for name, reverse in (("IFUcen_HETDEX.txt", False), ("IFUcen_HETDEX_reverse_R.txt", True)):
        _write_text(root / "ifucen" / name, ifucen_text(reverse=reverse))
    lines = ["specid,ifuslot,ifuid,amp,fibnum,first,last,reason"]
    for (specid, amp), fibers in sorted(plan.fibers.items()):
        lines += [f"{specid},*,*,{amp},{fibidx + 1},,,not there" for fibidx in fibers.missing]
    _write_text(root / "bad_fibers.csv", "\n".join(lines) + "\n")
    with atomic_path(root / "star_catalogue.fits") as temporary:
        temporary.unlink()
        fitsio.write(str(temporary), table, extname="STARS")


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="ascii")
