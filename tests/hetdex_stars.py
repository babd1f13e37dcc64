"""A HETDEX shot of stars: fibers' spectra made by fine sums over each fiber's face, and the multifits that hold them.

Own truth, with nothing of the library in it: the focal plane is turned by hand, the image of a star is summed over some
1,300 points of a fiber.
"""

from dataclasses import dataclass, field
from pathlib import Path

import fitsio
import numpy as np

AMPS = ("LL", "LU", "RL", "RU")
FIRST = {"LU": 0, "LL": 112, "RL": 224, "RU": 336}
IFUS = {"015": ("317", "038", -450.188, -49.931), "106": ("020", "055", 450.112, -149.950)}
"""IFUSLOT → SPECID, IFUID, X_FP, Y_FP."""
DITHERS = ((0.0, 0.0), (1.215, -0.70), (1.215, 0.70))
BETA, RADIUS = 3.9, 0.75
KNOTS = np.array([3400.0, 3500, 3750, 4000, 4250, 4500, 4750, 5000, 5250, 5500, 5600])
REFRACTION = np.interp(KNOTS, [3500, 4000, 4500, 5000, 5500], [-0.74, -0.40, 0, 0.08, 0.20])
PIXELS = 3468.0 + 2.01 * np.arange(1032)


def ifu_fibers() -> np.ndarray:
    """Return where the 448 fibers of an IFU are, arcsec."""
    rows = []
    for row in range(23):
        n = 19 + row % 2
        rows += [((column - (n - 1) / 2) * 2.5422, (row - 11) * 2.2036) for column in range(n)]
    return np.array(rows)


def share(dx: np.ndarray, dy: np.ndarray, fwhm: float, n: int = 41) -> np.ndarray:
    """Return the share of a star's light in fibers at (dx, dy), by a sum over n × n points."""
    step = (np.arange(n) - (n - 1) / 2) / (n / 2) * RADIUS
    x, y = (values[np.hypot(*np.meshgrid(step, step)) < RADIUS] for values in np.meshgrid(step, step))
    k = 4 * (2 ** (1 / BETA) - 1) / fwhm**2
    r2 = (dx[..., None] + x) ** 2 + (dy[..., None] + y) ** 2
    return (BETA - 1) * k / np.pi * ((1 + k * r2) ** -BETA).mean(-1) * np.pi * RADIUS**2


def sky_of(x: np.ndarray, y: np.ndarray, ra: float, dec: float, pa: float) -> tuple[np.ndarray, np.ndarray]:
    """Return RA and Dec of points of the focal plane, by vectors: x points along the position angle, y 90° on."""
    a, d, p = np.radians([ra, dec, pa])
    centre = np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    east = np.array([-np.sin(a), np.cos(a), 0])
    north = np.cross(centre, east)
    along, across = north * np.cos(p) + east * np.sin(p), -north * np.sin(p) + east * np.cos(p)
    to = (
        centre
        + np.radians(np.asarray(x)[..., None] / 3600) * along
        + np.radians(np.asarray(y)[..., None] / 3600) * across
    )
    to = to / np.linalg.norm(to, axis=-1, keepdims=True)
    return np.degrees(np.arctan2(to[..., 1], to[..., 0])) % 360, np.degrees(np.arcsin(to[..., 2]))


@dataclass
class Shot:
    """What is on the sky, and how it is seen; stars are at (x, y) of the IFU of a slot, arcsec, in exposure 1."""

    stars: list[tuple[str, float, float, float]]  # slot, x, y, total light at 4500 Å in 2 Å
    ra: float = 207.6713
    dec: float = 51.3494
    pa: float = 292.599
    fwhm: tuple[float, ...] = (1.75, 1.95, 1.60)
    norm: tuple[float, ...] = (1.0, 0.94, 1.06)
    dithers: tuple[tuple[float, float], ...] = DITHERS
    header: tuple[float, float, float] = (6.0, -4.0, 0.4)  # off by arcsec on the sky, and degrees
    noise: float = 13.0
    seed: int = 5
    junk: list[tuple[str, float, float, float]] = field(default_factory=list)  # seen, but not in the catalogue

    def positions(self) -> tuple[np.ndarray, np.ndarray]:
        """Return RA and Dec of the stars."""
        x = np.array([x + IFUS[slot][3] for slot, x, _, _ in self.stars])
        y = np.array([y + IFUS[slot][2] for slot, _, y, _ in self.stars])
        return sky_of(x, y, self.ra, self.dec, self.pa)

    @staticmethod
    def spectrum(light: float, wavelength: np.ndarray) -> np.ndarray:
        """Return a star's light in 2 Å."""
        line = 1 - 0.4 * np.exp(-0.5 * ((wavelength - 4861) / 6) ** 2)
        return light * np.clip(0.2 + 0.8 * (wavelength - 3400) / 1100, 0.05, 1.1) * line

    def exposure(self, number: int, slot: str) -> tuple[np.ndarray, np.ndarray]:
        """Return counts and errors of an IFU, (448, 1032), fibers as `ifu_fibers`; exposures are counted from 0."""
        places = ifu_fibers() + self.dithers[number]
        counts = np.zeros((448, len(PIXELS)))
        for own, x, y, light in self.stars + self.junk:
            near = np.flatnonzero(np.hypot(places[:, 0] - x, places[:, 1] - y) < 9) if own == slot else []
            if not len(near):
                continue
            parts = np.stack(
                [
                    share(
                        places[near, 0] - x - REFRACTION[k],
                        places[near, 1] - y,
                        self.fwhm[number] * (KNOTS[k] / 4500) ** -0.2,
                    )
                    for k in range(len(KNOTS))
                ],
                axis=1,
            )
            spectrum = self.spectrum(light, PIXELS) * self.norm[number]
            counts[near] += np.stack([np.interp(PIXELS, KNOTS, part) for part in parts]) * spectrum
        error = np.sqrt(self.noise**2 + counts)
        random = np.random.default_rng([self.seed, number, int(slot)])
        return counts + random.normal(0, error), error

    def write(
        self, directory: Path, shot: str = "20190103v017", exposures: tuple[int, ...] | None = None
    ) -> list[Path]:
        """Write multifits; return their directories."""
        made = []
        for number in exposures or range(len(self.fwhm)):
            for slot, (specid, ifuid, _, _) in IFUS.items():
                folder = directory / shot / f"exp{number + 1:02d}" / f"{specid}_{slot}_{ifuid}_0123"
                folder.mkdir(parents=True)
                made.append(folder)
                counts, error = self.exposure(number, slot)
                for amp in AMPS:
                    rows = np.arange(FIRST[amp] + 111, FIRST[amp] - 1, -1)
                    header = {
                        "TRAJCRA": (self.ra + self.header[0] / 3600 / np.cos(np.radians(self.dec))) / 15,
                        "TRAJCDEC": self.dec + self.header[1] / 3600,
                        "PARANGLE": self.pa + self.header[2],
                        "DATE": f"2019-01-03T05:{45 + number}:45",
                    }
                    with fitsio.FITS(str(folder / f"multi_{specid}_{slot}_{ifuid}_{amp}.fits"), "rw") as file:
                        file.write(np.zeros((2, 2), "f4"), header=header, extname="processed")
                        for name, values in (
                            ("ifupos", ifu_fibers()[rows]),
                            ("wavelength", np.tile(PIXELS, (112, 1))),
                            ("error1d", error[rows]),
                            ("sky_subtracted", counts[rows]),
                        ):
                            file.write(values.astype("f4"), extname=name)
        return made

    def write_lists(self, directory: Path) -> tuple[Path, Path]:
        """Write the catalogue, with stars that no IFU sees, and the fplane file; return their paths."""
        random = np.random.default_rng(self.seed)
        ra, dec = self.positions()
        others = sky_of(*random.uniform(-600, 600, (2, 60)), self.ra, self.dec, self.pa)
        light = np.array([star[3] for star in self.stars])
        g = np.concatenate([16 - 2.5 * np.log10(light / 26000), random.uniform(17, 22, 60)])
        catalogue = directory / "stars.csv"
        text = ["objID,RA,Dec,u,g,r,i,z"]
        for n, (a, d, m) in enumerate(zip(np.r_[ra, others[0]], np.r_[dec, others[1]], g, strict=True)):
            text.append(f"{1237661959906850000 + n},{a:.7f},{d:.7f},{m + 1:.2f},{m:.2f},{m - 0.4:.2f},{m - 0.5:.2f},")
        catalogue.write_text("\n".join(text) + "\n")
        fplane = directory / "fplane20190101"
        slots = [f"{slot} {x} {y} {specid} 233 {ifuid} 0.0 1.0" for slot, (specid, ifuid, x, y) in IFUS.items()]
        fplane.write_text("# IFUSLOT X_FP Y_FP SPECID SPECSLOT IFUID IFUROT PLATESC\n" + "\n".join(slots) + "\n")
        return catalogue, fplane


def some_stars(n: int, seed: int, reach: float = 22.0) -> list[tuple[str, float, float, float]]:
    """Return n stars in each IFU, 6″ or more from one another, of 26,000 to 200 counts."""
    random = np.random.default_rng(seed)
    made: list[tuple[str, float, float, float]] = []
    for slot in IFUS:
        light = np.geomspace(26000, 200, n)
        for value in light:
            while True:
                x, y = random.uniform(-reach, reach, 2)
                if all(own != slot or np.hypot(x - a, y - b) > 6 for own, a, b, _ in made):
                    break
            made.append((slot, float(x), float(y), float(value)))
    return made
