"""What there is in a simulated month: nights, their exposures and IFUs, and what goes wrong in them."""

from dataclasses import dataclass, field, replace

from skyharvest.simulate.hetdex_month.field import Ifu
from skyharvest.simulate.hetdex_month.optics import Fibers

IFUS = (
    Ifu("317", "015", "038", "0211", -450.188, -49.931),  # 038: two of its fibers are exchanged
    Ifu("020", "106", "055", "0123", 450.112, -149.950),
    Ifu("311", "053", "004", "0087", -49.916, 149.978),  # 004: turned, its right half reversed
    Ifu("041", "063", "015", "0302", 50.148, 150.143),
)
"""Far from each other, so that a shot's rotation is seen; special ones are among them."""
IDLE = (
    Ifu("409", "016", "036", "0150", -450.277, -150.170),
    Ifu("319", "062", "023", "0151", 50.137, 250.107),
    Ifu("025", "067", "032", "0152", 50.056, -250.207),
)
"""They are in the focal plane's file, but have no frames."""
SLOTS = {
    1: range(3, 7),
    2: range(1, 9),
    **dict.fromkeys((3, 4), range(10)),
    **dict.fromkeys((5, 6), (0, 1, 2, 3, 7, 8, 9)),
    **dict.fromkeys((7, 8), range(10)),
    9: range(1, 9),
    10: range(3, 7),
}
"""Column of the focal plane → rows that have an IFU: in the middle are other instruments. A slot's name is both."""
BIAS_OBS, TWILIGHT_OBS = 1, 2
"""Observation numbers of a night's biases and twilights."""


@dataclass(frozen=True)
class Shot:
    """A science observation.

    Attributes
    ----------
    obs
        Its number in the night.
    time
        Hours of the night's date, UT.
    ra, dec, pa
        Where the telescope truly points, degrees.
    off
        What headers say is off by so much: ″ on the sky in right ascension and declination, degrees in position angle.
    fwhm, norm
        Of each exposure, ″ at 4500 Å; the norms' mean is 1.
    sky
        Brightness of the sky in each exposure, dark sky is 1.
    shift
        By how much traces are moved in each exposure, pixels.
    drift
        How much longer wavelengths of all pixels are in each exposure than in twilights, Å.
    stars, lines
        In each IFU.
    line_flux
        Of lines, the least and the most: log10 of erg/s/cm².
    edge
        Whether another star is on the edge of the first IFU.
    cosmics
        In each frame.
    parallel
        Whether another instrument leads: EXPTIME is wrong, PEXPTIME is 8 s too long.
    """

    obs: int
    time: float = 5.7626
    ra: float = 207.6713
    dec: float = 51.3494
    pa: float = 292.599
    off: tuple[float, float, float] = (3.1, -2.2, 0.1)
    fwhm: tuple[float, ...] = (1.75, 1.95, 1.80)
    norm: tuple[float, ...] = (1.0, 0.94, 1.06)
    sky: tuple[float, ...] = (1.0, 1.06, 0.97)
    shift: tuple[float, ...] = (0.04, -0.06, 0.02)
    drift: tuple[float, ...] = (0.0, 0.0, 0.0)
    stars: int = 7
    lines: int = 10
    line_flux: tuple[float, float] = (-16.3, -15.3)
    edge: bool = False
    cosmics: int = 60
    parallel: bool = False
    object: str = "DEXsim_0017"


@dataclass(frozen=True)
class Night:
    """A night: its exposures and IFUs.

    Attributes
    ----------
    repeated
        Whether the last bias is written twice.
    old
        Whether it is one before 2018: ``AMPNAME`` and the orientation of two amplifiers are other ones.
    """

    date: int = 20190103
    ifus: tuple[Ifu, ...] = IFUS[:2]
    biases: int = 7
    twilights: int = 3
    shots: tuple[Shot, ...] = (Shot(17),)
    repeated: bool = False
    old: bool = False


@dataclass(frozen=True)
class Damage:
    """Something wrong with a tar file.

    Attributes
    ----------
    date, obs
        Which file.
    member
        A part of the member's name, such as ``015LL``: it is the one of exposure ``expnum``.
    kind
        ``header``: the member's FITS header is noise. ``short``: the member ends in its middle. ``tar``: the block that
        tells the member's name is noise. ``cut``: the tar file ends in the middle of the member.
    """

    date: int
    obs: int
    expnum: int
    member: str
    kind: str


@dataclass(frozen=True)
class Plan:
    """A month.

    Attributes
    ----------
    fibers
        What is special of fibers, by SPECID and amplifier: ``("317", "LL")``.
    amps
        Amplifiers that have frames.
    fplane_error
        By how much IFUs are not where the focal plane's file says, σ, ″.
    """

    nights: tuple[Night, ...] = (Night(),)
    fibers: dict[tuple[str, str], Fibers] = field(default_factory=dict)
    damages: tuple[Damage, ...] = ()
    amps: tuple[str, ...] = ("LL", "LU", "RL", "RU")
    fplane_error: float = 0.05
    seed: int = 1


def demo() -> Plan:
    """Return the month of the demo: a night of two IFUs, with a few bad fibers."""
    return Plan(fibers={("317", "LL"): Fibers(dead=(57,)), ("020", "RU"): Fibers(gaps=(34, 75), dead=(3, 90))})


def bench() -> Plan:
    """Return the month that is measured: four IFUs, and biases in number."""
    return replace(demo(), nights=(Night(ifus=IFUS, biases=15),))


def sources() -> Plan:
    """Return the month in which sources are looked for: four IFUs, a shot with many lines, three without any."""
    shots = (
        Shot(17, lines=20),
        Shot(18, 7.1, ra=208.9, lines=0),
        Shot(19, 8.2, ra=211.0, lines=0, fwhm=(1.6, 1.6, 1.7)),
        Shot(20, 9.2, ra=213.0, lines=0, fwhm=(2.1, 2.2, 2.0)),
    )
    return replace(demo(), nights=(Night(ifus=IFUS, shots=shots),))


def focal_plane() -> Plan:
    """Return a month of all IFUs that the focal plane has room for, 78; few biases, a shot with stars and lines."""
    by_slot = {ifu.ifuslot: ifu for ifu in IFUS}
    ifus: list[Ifu] = []
    for column, rows in SLOTS.items():
        for row in rows:
            slot, n = f"{column:02d}{row}", len(ifus)
            x, y = 100.0 * (column - 5.5), 100.0 * (4.5 - row)
            ifus.append(by_slot.get(slot) or Ifu(f"{500 + n}", slot, f"{100 + n}", f"{1000 + n}", x, y))
    shot = Shot(17, stars=3)
    return replace(demo(), nights=(Night(ifus=tuple(ifus), biases=5, shots=(shot,)),))


def trouble() -> Plan:
    """Return a month in which much goes wrong, in two nights and three shots.

    A fiber is missing, the first and the last of an amplifier are dead, an amplifier gets no light, an IFU is connected
    to another spectrograph from the second night on, a bias is written twice, a frame is cut short, a member's header
    is noise, and so is a block of a tar file, a tar file ends too early; a star is on the edge of an IFU, a shot is in
    parallel mode and has no stars.
    """
    swapped = replace(IFUS[1], specid="412", contid="0140")
    crowded = Shot(17, edge=True, cosmics=220, drift=(0.05, -0.06, 0.03))
    first = Night(20190103, IFUS[:2], biases=5, twilights=3, repeated=True, shots=(crowded,))
    empty = Shot(18, 7.1, ra=208.9, stars=0, parallel=True, object="PARALLEL_018")
    second = Night(20190104, (IFUS[0], swapped), biases=5, twilights=3, shots=(Shot(12, ra=203.3), empty))
    return Plan(
        (first, second),
        {
            ("317", "LL"): Fibers(gaps=(34, 74), missing=(20,)),
            ("317", "RU"): Fibers(dead=(0, 56, 111)),
            ("020", "LU"): Fibers(dark=True),
            ("020", "RL"): Fibers(gaps=(30, 80)),
        },
        (
            Damage(20190103, 17, 2, "106RU", "header"),
            Damage(20190103, 1, 3, "015RL", "tar"),
            Damage(20190104, 2, 2, "106LL", "short"),
            Damage(20190104, 18, 3, "106RL", "cut"),
        ),
    )
