"""Positions of the objects and the CSV rows, chosen so that every status and every difficult place occurs."""

from dataclasses import dataclass

import healpy
import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.simulate.desi.tables import SMALL_DELTA_CHI2

DARK, BRIGHT, BACKUP = "dark", "bright", "backup"
COADDS: dict[int, tuple[str, ...]] = {
    27247: (DARK, BRIGHT, BACKUP),  # around COSMOS; NSIDE=16 pixel 1702
    27245: (DARK, BRIGHT),
    27246: (BRIGHT,),
    27258: (DARK, BRIGHT),  # 1703
    19456: (DARK, BRIGHT),  # on RA 0; 1216
    19457: (DARK, BRIGHT),
    19458: (DARK,),
    18090: (DARK,),  # 1130
    18773: (BRIGHT,),  # 1173
    12258: (DARK, BRIGHT),  # Dec 82; 766
    12259: (DARK,),
    12256: (DARK, BACKUP),
    12215: (DARK,),  # 763
}
"""NSIDE=64 NESTED pixel → programs whose coadds exist (survey main)."""

ABSENT = [("main", DARK, 27333), ("main", BRIGHT, 27333), ("main", DARK, 27246)]
"""Listed in tilepix without a file, as (survey, program, pixel)."""

OTHER_SURVEY = [("sv3", DARK, 27256), ("sv3", DARK, 27247)]
"""Listed in tilepix for another survey than main; no files either."""

UNCOVERED = 27244  # shares edges with 27245 and 27246

PER_COADD = 12
SHARED = 5  # objects of a pixel that all its programs observed


@dataclass
class Object:
    """An object with a fiber: number of tiles and ZWARN, per program (None: random)."""

    at: Floats
    programs: dict[str, tuple[int | None, int | None]]


@dataclass
class CsvRow:
    """A row of the CSV: position as written, and the expected status."""

    name: str
    ra: str
    dec: str
    healpix: str
    status: str


def unit(ra: Array | float, dec: Array | float) -> Floats:
    """Return unit vectors (…, 3) of positions in degrees."""
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def degrees(at: Floats) -> tuple[float, float]:
    """Return RA in [0, 360) and Dec of a vector, degrees."""
    ra = float(np.degrees(np.arctan2(at[1], at[0])))
    return ra % 360.0, float(np.degrees(np.arctan2(at[2], np.hypot(at[0], at[1]))))


def _toward(at: Floats, direction: Floats, arcsec: float) -> Floats:
    """Go ``arcsec`` along the great circle that leaves ``at`` in ``direction`` (any vector not parallel to it)."""
    tangent = direction - at * (at @ direction)
    angle = np.radians(arcsec / 3600)
    return np.asarray(at * np.cos(angle) + tangent / np.linalg.norm(tangent) * np.sin(angle))


def pixel(at: Floats) -> int:
    """Return the NSIDE=64 NESTED pixel of a vector."""
    ra, dec = degrees(at)
    return int(healpy.ang2pix(64, ra, dec, nest=True, lonlat=True))


def lay_out(rng: np.random.Generator) -> tuple[list[Object], list[CsvRow]]:
    """Return the objects, and the rows of the CSV in its order."""
    sky = _Layout(rng)
    # The order in the file has no meaning.
    return sky.objects, [sky.rows[i] for i in rng.permutation(len(sky.rows))]


class _Layout:
    """The objects and the CSV rows."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.objects: list[Object] = []
        self.rows: list[CsvRow] = []
        self.free: dict[int, list[Floats]] = {}
        for pix64 in (*COADDS, 27333, 27256, UNCOVERED):
            # Centers of sub-pixels of 51 arcsec: uniform, apart from each other and from the pixel's edges.
            child = pix64 * 4096 + rng.choice(4096, 60, replace=False)
            self.free[pix64] = list(np.stack(healpy.pix2vec(64 * 64, child, nest=True), axis=-1))
        self.members: dict[int, list[Object]] = {pix64: self._populate(pix64) for pix64 in COADDS}
        self._near_members()
        self._matches()
        self._edges()
        self._ra_zero()
        self._misses()
        self._bad()

    def empty(self, pix64: int) -> Floats:
        """Return a place in the pixel, half an arcminute or more from every object and edge."""
        return self.free[pix64].pop()

    def near(self, at: Floats, arcsec: float) -> Floats:
        """Return a place at a distance, in a random direction."""
        return _toward(at, self.rng.standard_normal(3), arcsec)

    def fiber(self, at: Floats, *programs: str) -> Object:
        """Put a fiber on a place."""
        fiber = Object(at, dict.fromkeys(programs or COADDS[pixel(at)][:1], (None, None)))
        self.objects.append(fiber)
        return fiber

    def row(self, name: str, status: str, at: Floats, *, ra: str | None = None, digits: int | None = None) -> None:
        """Add a CSV row at a place; ``digits``: decimals to keep."""
        lon, lat = degrees(at)
        if ra is not None:
            lon = float(ra)
        elif digits is not None:
            lon, lat = round(lon, digits), round(lat, digits)
        healpix = healpy.ang2pix(16, lon % 360, lat, nest=True, lonlat=True)
        self.rows.append(CsvRow(name, ra or repr(lon), repr(lat), str(healpix), status))

    def edge(self, inside: int, outside: int) -> tuple[Floats, Floats]:
        """Return the middle of the edge between two pixels, and the direction from the one's center to it."""
        center = np.stack(healpy.pix2vec(64, inside, nest=True))
        corners = healpy.boundaries(64, inside, step=2, nest=True).T[1::2]  # the four edges' middles
        for at in corners:
            if pixel(_toward(at, at - center, 0.5)) == outside:
                return np.asarray(at), np.asarray(at - center)
        raise ValueError(f"NSIDE=64 pixels {inside} and {outside} share no edge")

    def _populate(self, pix64: int) -> list[Object]:
        programs = COADDS[pix64]
        shared = [self.fiber(self.empty(pix64), *programs) for _ in range(SHARED)]
        own = [self.fiber(self.empty(pix64), program) for program in programs for _ in range(PER_COADD - SHARED)]
        return [*shared, *own]

    def _near_members(self) -> None:
        for pix64, members in self.members.items():
            for i, member in enumerate([members[0], members[SHARED], *members[SHARED + 3 : SHARED + 5]]):
                place = self.near(member.at, self.rng.uniform(0.05, 0.9))
                self.row(f"match-{pix64}-{i}", "matched", place, digits=7)

    def _matches(self) -> None:
        members = self.members[27247]
        self.row("exact-position", "matched", members[1].at)
        for i, place in enumerate([members[2].at] * 2):
            self.row(f"duplicate-row-{i}", "matched", place, digits=6)
        self.row("separation-0.99", "matched", self.near(members[7].at, 0.99))
        self.row("separation-1.01", "no_fiber", self.near(members[8].at, 1.01))

        pair = self.empty(27247)
        self.fiber(_toward(pair, np.array([0.0, 0.0, 1.0]), 0.3), DARK)
        self.fiber(_toward(pair, np.array([0.0, 1.0, 0.0]), 0.7), DARK)
        self.row("two-fibers", "matched", pair)

        # Which spectrum is primary: ZWARN = 0 first, then TSNR2_LRG. Tiles and ZWARN, dark and bright.
        for name, dark, bright in (
            ("primary-bright-by-zwarn", (4, SMALL_DELTA_CHI2), (1, 0)),
            ("primary-dark-by-zwarn", (1, 0), (20, SMALL_DELTA_CHI2)),
            ("primary-dark-by-tsnr2", (3, 0), (1, 0)),
            ("primary-bright-by-tsnr2", (1, 0), (20, 0)),
            ("primary-dark-both-warned", (3, SMALL_DELTA_CHI2), (1, SMALL_DELTA_CHI2)),
        ):
            fiber = self.fiber(self.empty(27245))
            fiber.programs = {DARK: dark, BRIGHT: bright}
            self.row(name, "matched", self.near(fiber.at, 0.2))

        members = self.members[27246]  # its dark coadd is listed but absent
        self.row("dark-coadd-absent-match", "matched", self.near(members[2].at, 0.4))
        self.row("dark-coadd-absent-near", "no_fiber", self.near(members[3].at, 1.7))
        self.row("dark-coadd-absent-nothing", "no_fiber", self.empty(27246))

    def _edges(self) -> None:
        for name, inside, outside in (
            ("across-pix64-edge", 27247, 27245),
            ("across-pix16-edge", 27247, 27258),
            ("across-pix16-edge-back", 27258, 27247),
            ("across-edge-at-ra-0", 19456, 19457),
            ("across-pix16-edge-at-ra-0", 19456, 18090),
            ("across-edge-at-dec-82", 12258, 12259),
            ("across-pix16-edge-at-dec-82", 12258, 12215),
            ("uncovered-side-of-edge", UNCOVERED, 27245),
            ("absent-side-of-edge", 27333, 27247),
        ):
            edge, outward = self.edge(inside, outside)
            # Not at the very middle of the edge, where another pair may be.
            along = np.cross(edge, outward)
            place = _toward(edge, along, self.rng.uniform(60, 600))
            place = self._onto_edge(place, outward, inside, outside)
            self.fiber(_toward(place, outward, 0.3))
            self.row(name, "matched", _toward(place, -outward, 0.3))

        edge, outward = self.edge(19456, 19458)
        self.fiber(_toward(edge, outward, 0.3))
        self.fiber(_toward(edge, -outward, 0.5))
        self.row("fibers-on-both-sides", "matched", _toward(edge, -outward, 0.2))

        edge, outward = self.edge(27245, UNCOVERED)
        self.row("uncovered-side-without-fiber", "no_fiber", _toward(edge, outward, 0.4))

        # 2.2 arcsec apart, but the fiber's coadd is not one that the match circle touches: not reported.
        edge, outward = self.edge(12258, 12256)
        self.fiber(_toward(edge, outward, 0.6))
        self.row("fiber-beyond-the-touched-pixels", "no_fiber", _toward(edge, -outward, 1.6))

        # The southern corner of 27247: four pixels meet, one of them uncovered, one with a coadd absent.
        corners = healpy.boundaries(64, 27247, step=1, nest=True).T
        south = corners[np.argmin(corners[:, 2])]
        self.fiber(_toward(south, np.array([0.0, 0.0, 1.0]), 0.4))
        self.row("pixel-corner", "matched", _toward(south, np.array([0.0, 0.0, 1.0]), 0.1))

    def _onto_edge(self, place: Floats, outward: Floats, inside: int, outside: int) -> Floats:
        """Move a place near an edge onto it, along ``outward``, by bisection."""
        low, high = -600.0, 600.0
        assert pixel(_toward(place, -outward, -low)) == inside
        assert pixel(_toward(place, outward, high)) == outside
        while high - low > 1e-3:
            middle = (low + high) / 2
            if pixel(_toward(place, outward, middle)) == inside:
                low = middle
            else:
                high = middle
        return _toward(place, outward, (low + high) / 2)

    def _ra_zero(self) -> None:
        for name, fiber_ra, ra, dec in (
            ("ra-negative", 0.00005, "-0.00008", 0.61),
            ("ra-negative-same-side", 359.99995, "-0.00012", 0.62),
            ("ra-359.99", 0.00006, "359.99994", 0.63),
            ("ra-360", 0.0001, "360.0", 0.64),
            ("ra-0", 359.9999, "0.0", 0.65),
        ):
            self.fiber(unit(fiber_ra, dec))
            self.row(name, "matched", unit(float(ra), dec), ra=ra)
        self.fiber(unit(0.0003, 0.66))
        self.row("ra-negative-too-far", "no_fiber", unit(-0.0002, 0.66), ra="-0.0002")
        self.row("ra-minus-180", "not_covered", unit(180.0, 12.0), ra="-180.0")

    def _misses(self) -> None:
        for i, (pix64, arcsec) in enumerate([(27247, 1.5), (27258, 2.0), (19456, 2.5), (12258, 2.9), (18773, 1.2)]):
            self.row(f"near-{i}", "no_fiber", self.near(self.members[pix64][9].at, arcsec), digits=7)
        self.row("near-3.1", "no_fiber", self.near(self.members[27247][10].at, 3.1))
        between = self.empty(12256)
        self.fiber(_toward(between, np.array([0.0, 0.0, 1.0]), 1.3))
        self.fiber(_toward(between, np.array([0.0, 0.0, -1.0]), 2.3))
        self.row("near-two", "no_fiber", between)
        for i, pix64 in enumerate([27247, 27258, 19457, 18090, 12215, 12259]):
            self.row(f"nothing-near-{i}", "no_fiber", self.empty(pix64), digits=5)
        for i in range(3):
            self.row(f"coadd-absent-{i}", "coadd_absent", self.empty(27333), digits=7)
        self.row("not-covered-next-to-others", "not_covered", self.empty(UNCOVERED), digits=7)
        self.row("not-selected-other-survey", "not_selected", self.empty(27256), digits=7)
        self.row("not-covered-far", "not_covered", unit(180.0, 40.0), digits=4)
        self.row("not-covered-south", "not_covered", unit(52.1, -27.8), digits=4)
        self.row("not-covered-pole", "not_covered", unit(10.0, 90.0), ra="10.0")

    def _bad(self) -> None:
        for name, ra, dec, healpix in (
            ("bad-ra-empty", "", "1.8", "1702"),
            ("bad-dec-empty", "149.5", "", "1702"),
            ("bad-ra-abc", "abc", "1.8", "1702"),
            ("bad-dec-95", "149.5", "95.0", ""),
            ("bad-ra-400", "400.0", "1.8", ""),
            ("bad-ra-minus-200", "-200.0", "1.8", ""),
            ("bad-sexagesimal", "09:57:51.7", "+01:47:37", "1702"),
            ("bad-nan", "nan", "1.8", "1702"),
            ("bad-inf", "149.5", "inf", ""),
        ):
            self.rows.append(CsvRow(name, ra, dec, healpix, "rejected"))
