"""Makes the plan: from the lists of all nights to units of work, with every frame accounted for.

A frame is used by a unit, or it is in ``plan/left_out.csv`` with the reason, once. What it may be left out for, in this
order: it is no frame; it is not asked for; a table of bad frames or amplifiers names it; it is damaged; nobody knows
what it is connected to; it is a repeat; no unit needs it.

Which spectrograph, IFU and controller a slot is connected to: the table of swaps knows best; then the frame's header;
what that does not say, the night's fplane. Where fplane says otherwise than the header, that is told
(``plan/disagreements.csv``), and the header counts: fplane is kept by hand. A frame whose header cannot be read is
taken to be of the pairing that other frames of its slot have in its exposure, or else in its night: so that its unit
knows why it lacks an amplifier.

A repeat is a frame whose name, with the time, is there before, under the number of another exposure: the first counts.
Of frames of the same type, observation, exposure, slot and amplifier, the last counts, by the time in their names.

Light: without numpy.
"""

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skyharvest.core.csv_file import read_rows, write_changed_rows, write_rows
from skyharvest.core.errors import InputError
from skyharvest.core.words import counted
from skyharvest.reduction.hetdex.frames import frames_file, tar_index
from skyharvest.reduction.hetdex.frames.fplane import Slot
from skyharvest.reduction.hetdex.frames.frames_file import Member
from skyharvest.reduction.hetdex.frames.known import Known
from skyharvest.reduction.hetdex.frames.tar_index import BAD, KEYWORDS, Row
from skyharvest.reduction.hetdex.layout import Layout, name_of_shot
from skyharvest.reduction.hetdex.plan import BIAS, FAILED, READY, SCIENCE, TWILIGHT, Choice, Unit, write_plan

log = logging.getLogger(__name__)

OTHER, NOT_ASKED, NAMED, DAMAGED, UNKNOWN, REPEAT, UNNEEDED = (
    *("other", "not asked", "named", "damaged", "unknown", "repeat", "not needed"),
)
"""Why frames are left out, in a word. Science frames that are `DAMAGED` or `UNKNOWN` are failures, until a table of bad
frames or amplifiers names them."""

LEFT_OUT_COLUMNS = (
    *("night", "obs", "expnum", "type", "ifuslot", "amp", "ifu", "why", "reason", "tar", "member", "offset"),
)
OBSERVATION_COLUMNS = (
    *("night", "obs", "expnum", "type", "shot", "object", "exptime_s", "n_ifus", "n_frames", "n_used", "n_damaged"),
    *("ra", "dec", *(name.lower() for name in KEYWORDS if name not in ("OBJECT", "GAIN", "RDNOISE", "AMPNAME"))),
)
DISAGREEMENT_COLUMNS = ("night", "ifuslot", "specid", "ifuid", "by", "fplane_specid", "fplane_ifuid")
SHOWN = 20
"""As many failed units and damaged frames are told."""
HOURS = 15.0
"""Degrees of an hour of right ascension."""


@dataclass(slots=True)
class Judged:
    """A row of a list, and what becomes of it.

    Attributes
    ----------
    row
        As it was found.
    specid, ifuid, contid
        What its slot is connected to; empty where nobody knows.
    by
        Who says so: ``swaps``, ``header``, ``fplane``, or ``neighbours`` in the field.
    why
        Why it is left out, in a word; empty if it is not, so far.
    reason
        The same for a person.
    units
        How many units use it.
    otherwise
        Why no unit uses it, if none does.
    """

    row: Row
    specid: str = field(init=False)
    ifuid: str = field(init=False)
    contid: str = field(init=False)
    by: str = "header"
    why: str = ""
    reason: str = ""
    units: int = 0
    otherwise: str = "its month stands in for another, which needs nothing of its pairing"

    def __post_init__(self) -> None:
        """Begin with what the header says."""
        self.specid, self.ifuid, self.contid = self.row.specid, self.row.ifuid, self.row.contid

    @property
    def ifu(self) -> str:
        """The pairing; empty where nobody knows."""
        parts = (self.specid, self.row.ifuslot, self.ifuid, self.contid)
        return "_".join(parts) if all(parts) else ""

    @property
    def month(self) -> int:
        """YYYYMM."""
        return self.row.night // 100

    @property
    def exposure(self) -> tuple[int, int, int]:
        """Night, observation and exposure."""
        return self.row.night, self.row.obs, self.row.expnum

    @property
    def time_and_place(self) -> str:
        """The last part of its name, which begins with the time."""
        return self.row.member.rpartition("/")[2]

    @property
    def is_hole(self) -> bool:
        """Whether it should be there and cannot be used."""
        return self.why in (DAMAGED, UNKNOWN, NAMED)

    @property
    def shot(self) -> str:
        """The field's name of its shot."""
        return name_of_shot(self.row.night, self.row.obs)

    def leave_out(self, why: str, reason: str) -> None:
        """Leave it out, unless it is already."""
        if not self.why:
            self.why, self.reason = why, reason

    def member(self) -> Member:
        """Return it as jobs know it."""
        row = self.row
        return Member(
            *(row.type, row.night, row.obs, row.expnum, self.specid, row.ifuslot, self.ifuid, self.contid, row.amp),
            *(row.tar, row.member, row.offset, row.size, row.header.get("OBJECT", ""), float(row.exptime or "nan")),
            *(row.digest, BAD if self.why else tar_index.GOOD, self.reason or row.reason),
        )


@dataclass
class Planned:
    """What `make_plan` finds.

    Attributes
    ----------
    units
        In the order of kinds, months and pairings.
    judged
        All rows, in the order of the lists.
    frames
        Month and pairing → its frames, also those that leave a hole.
    disagreements
        Rows of `DISAGREEMENT_COLUMNS`.
    """

    units: list[Unit]
    judged: list[Judged]
    frames: dict[tuple[int, str], list[Judged]]
    disagreements: list[tuple[object, ...]] = field(default_factory=list)

    @property
    def left_out(self) -> list[Judged]:
        """Rows that no unit uses."""
        return [one for one in self.judged if one.why]


Plane = Callable[[int], Mapping[str, Slot] | None]
"""Returns the focal plane of a night; None if there is to be none."""


def make_plan(lists: Iterable[Iterable[Row]], choice: Choice, known: Known, plane: Plane) -> Planned:
    """Return what is to be done with the frames of some nights.

    Parameters
    ----------
    lists
        Rows of each night.
    choice
        What is asked for.
    known
        What people know.
    plane
        Returns the focal plane of a night.

    Raises
    ------
    InputError
        If nothing is to be done, or a shot that is asked for is not there; or from ``plane``.
    """
    judged = [Judged(row) for rows in lists for row in rows]
    if lacking := sorted((choice.shots or set()) - {one.shot for one in judged if one.row.type in ("sci", "")}):
        raise InputError(f"found no science frame of {lacking[0]}; expected some, as shots asks for it")
    for one in judged:
        _leave_out_others(one, choice)
    disagreements = _connect([one for one in judged if not one.why], known, plane)
    _connect_damaged(judged)
    for one in judged:
        _leave_out_bad(one, known)
    _leave_out_repeats(judged)
    planned = Planned([], judged, {}, disagreements)
    months: dict[int, list[Judged]] = defaultdict(list)
    for one in judged:
        if one.ifu and (one.is_hole or not one.why):
            months[one.month].append(one)
    for month in sorted(filter(choice.has_month, months)):
        _plan_month(planned, months, month, choice.neighbour(month))
    for one in judged:
        if not one.units:
            one.leave_out(UNNEEDED, one.otherwise)
    known.tell_unused({one.row.night for one in judged})
    if not planned.units:
        raise InputError(f"found nothing to do with {counted(len(judged), 'frame')}; see months, nights, shots and bad")
    kinds = (BIAS, TWILIGHT, SCIENCE)
    planned.units.sort(key=lambda unit: (kinds.index(unit.kind), unit.month, unit.shot, unit.expnum, unit.ifu))
    return planned


def _leave_out_others(one: Judged, choice: Choice) -> None:
    row = one.row
    if not row.type:
        # A damaged part of a tar without a name may have been a frame; a member with another name is none.
        if row.member or not row.size:
            one.leave_out(OTHER, row.reason)
    elif row.type not in tar_index.TYPES:
        one.leave_out(OTHER, f"frames of type {row.type} are not used")
    if not choice.needs_month(one.month):
        one.leave_out(NOT_ASKED, "its month is not asked for")
    if row.type == "sci" and not choice.has_shot(row.night, one.shot):
        one.leave_out(NOT_ASKED, "its shot is not asked for: months, nights, shots")


def _connect(judged: Sequence[Judged], known: Known, plane: Plane) -> list[tuple[object, ...]]:
    """Find out what frames are connected to, and return where fplane says otherwise."""
    told: dict[tuple[object, ...], None] = {}
    for one in judged:
        row = one.row
        swapped = known.swaps.of(row.ifuslot, row.night) if row.ifuslot else None
        if swapped:
            one.specid, one.ifuid, one.contid = swapped[0], swapped[1], swapped[2] or row.contid
            one.by = "swaps"
        if row.state == BAD or (row.type != "sci" and one.specid and one.ifuid):
            continue
        slots = plane(row.night)
        slot = None if slots is None else slots.get(row.ifuslot)
        if slots is not None and slot is None:
            one.leave_out(UNKNOWN, f"fplane has no slot {row.ifuslot} in the night {row.night}")
        if slot is None:
            continue
        if not (one.specid and one.ifuid):
            one.specid, one.ifuid, one.by = one.specid or slot.specid, one.ifuid or slot.ifuid, "fplane"
        elif (slot.specid, slot.ifuid) != (one.specid, one.ifuid):
            told[row.night, row.ifuslot, one.specid, one.ifuid, one.by, slot.specid, slot.ifuid] = None
    for night, ifuslot, specid, ifuid, by, its_specid, its_ifuid in told:
        text = "%s: slot %s: %s has SPECID %s and IFUID %s, which count; fplane has %s and %s"
        log.warning(text, night, ifuslot, by, specid, ifuid, its_specid, its_ifuid)
    return list(told)


def _connect_damaged(judged: Iterable[Judged]) -> None:
    """Take damaged frames to be of the pairing that others of their slot have."""
    wanting = [one for one in judged if one.row.state == BAD and one.row.ifuslot and not one.ifu]
    if not wanting:
        return
    places: dict[tuple[int, ...], Counter[tuple[str, str, str]]] = defaultdict(Counter)
    slots = {(one.row.night, one.row.ifuslot) for one in wanting}
    for one in judged:
        if one.ifu and (one.row.night, one.row.ifuslot) in slots:
            for place in _places(one):
                places[place][one.specid, one.ifuid, one.contid] += 1
    for one in wanting:
        found = next((places[place] for place in _places(one) if place in places), None)
        if found:
            (one.specid, one.ifuid, one.contid), _ = found.most_common(1)[0]
            one.by = "neighbours"


def _places(one: Judged) -> tuple[tuple[int, ...], ...]:
    slot = int(one.row.ifuslot)
    return (*one.exposure, slot), (one.row.night, slot)


def _leave_out_bad(one: Judged, known: Known) -> None:
    if one.why and one.why != UNKNOWN:
        return
    row = one.row
    reason = known.frames.reason(row.night, row.obs, row.expnum, row.ifuslot, row.amp)
    reason = reason or known.amps.reason(row.night, one.specid, row.ifuslot, row.amp)
    if reason:
        one.why, one.reason = NAMED, reason
    elif row.state == BAD:
        one.leave_out(DAMAGED, row.reason)
    elif not one.ifu:
        parts = (("SPECID", one.specid), ("IFUID", one.ifuid), ("CONTID", one.contid))
        lacking = " and ".join(name for name, value in parts if not value)
        one.leave_out(UNKNOWN, f"its header has no {lacking}, and swaps has none for slot {row.ifuslot}")


def _leave_out_repeats(judged: Sequence[Judged]) -> None:
    """Leave out what is there again: under the number of another exposure, and under its own."""
    written: dict[tuple[object, ...], list[Judged]] = defaultdict(list)
    same: dict[tuple[object, ...], list[Judged]] = defaultdict(list)
    for one in _used_or_damaged(judged):
        written[one.row.night, one.time_and_place].append(one)
    for some in written.values():
        _keep(min, some)
    for one in _used_or_damaged(judged):
        same[(*one.exposure, one.row.type, one.row.ifuslot, one.row.amp)].append(one)
    for some in same.values():
        _keep(max, some)


def _used_or_damaged(judged: Iterable[Judged]) -> Iterator[Judged]:
    return (one for one in judged if one.row.type and (not one.why or one.why == DAMAGED))


def _keep(first_or_last: Callable[..., Judged], some: Sequence[Judged]) -> None:
    """Leave out all of some frames that are the same, but the first or last of those that can be used."""
    good = [one for one in some if not one.why]
    if len(some) == 1 or not good:
        return
    kept = first_or_last(good, key=lambda one: (one.time_and_place, *one.exposure, one.row.offset))
    for one in some:
        if one is not kept:
            damage = f"damaged ({one.reason}); " if one.why else ""
            one.why, one.reason = REPEAT, f"{damage}{kept.row.member} at byte {kept.row.offset} is used"


def _plan_month(planned: Planned, months: Mapping[int, Sequence[Judged]], month: int, neighbour: int | None) -> None:
    """Add the units of a month, and its pairings' frames."""
    usable: dict[tuple[int, str, str], list[Judged]] = defaultdict(list)
    holes: dict[tuple[int, str, str], list[Judged]] = defaultdict(list)
    for of in (month,) if neighbour is None else (month, neighbour):
        for one in months.get(of, ()):
            (holes if one.why else usable)[of, one.ifu, one.row.type].append(one)
    pairings = sorted({ifu for found in (usable, holes) for of, ifu, _ in found if of == month})
    for ifu in pairings:
        science = usable.get((month, ifu, "sci"), []) + holes.get((month, ifu, "sci"), [])
        frames: list[Judged] = []
        unready = ""
        for kind, of_type, word in ((BIAS, "zro", "bias frame"), (TWILIGHT, "twi", "twilight")):
            of = month if usable.get((month, ifu, of_type)) or neighbour is None else neighbour
            found = usable.get((of, ifu, of_type), [])
            unready = unready or ("" if found else _lacking(word, ifu, month, neighbour))
            if science or (found and not unready):
                planned.units.append(_unit(kind, month, ifu, found, of, unready))
                frames += found + holes.get((of, ifu, of_type), [])
            elif of == month:
                for one in found:
                    one.otherwise = f"{unready}; and there is no science frame"
        for (night, obs, expnum), some in _by_exposure(science):
            good = [one for one in some if not one.why]
            reason = unready or ("" if good else f"no frame can be used: {some[0].reason}")
            shot = name_of_shot(night, obs)
            # An exposure of which all frames are named as bad is not asked for.
            if good or any(one.why != NAMED for one in some):
                planned.units.append(_unit(SCIENCE, month, ifu, good, month, reason, shot, expnum, some))
        if frames or science:
            planned.frames[month, ifu] = sorted(frames + science, key=_order)


def _lacking(word: str, ifu: str, month: int, neighbour: int | None) -> str:
    if neighbour is None:
        return f"found no {word} of {ifu} in {month}; calibration_from can name a month that stands in: {month}:MONTH"
    return f"found no {word} of {ifu} in {month}, nor in {neighbour}, which calibration_from names"


def _by_exposure(some: Iterable[Judged]) -> Iterator[tuple[tuple[int, int, int], list[Judged]]]:
    exposures: dict[tuple[int, int, int], list[Judged]] = defaultdict(list)
    for one in some:
        exposures[one.exposure].append(one)
    yield from sorted(exposures.items())


def _order(one: Judged) -> tuple[object, ...]:
    return (*one.exposure, one.row.type, one.row.amp, one.row.offset)


def _unit(
    kind: str,
    month: int,
    ifu: str,
    good: Sequence[Judged],
    of: int,
    reason: str,
    shot: str = "",
    expnum: int = 0,
    every: Sequence[Judged] | None = None,
) -> Unit:
    for one in good:
        one.units += 1
    digest = hashlib.sha256()
    for one in sorted(good if every is None else every, key=_order):
        row = one.row
        said = (*one.exposure, row.type, row.amp, one.ifu, row.digest, row.exptime, row.size, one.why)
        digest.update(f"{said}\n".encode())
    state = FAILED if reason else READY
    return Unit(kind, month, ifu, shot, expnum, len(good), of, digest.hexdigest()[:16], state, reason)


def observations(planned: Planned) -> dict[int, list[tuple[object, ...]]]:
    """Return rows of `OBSERVATION_COLUMNS` by month: one for each exposure, of any type."""
    exposures: dict[tuple[int, int, int, str], list[Judged]] = defaultdict(list)
    for one in planned.judged:
        if one.row.type and one.why != NOT_ASKED:
            exposures[(*one.exposure, one.row.type)].append(one)
    months: dict[int, list[tuple[object, ...]]] = defaultdict(list)
    for (night, obs, expnum, kind), some in sorted(exposures.items()):
        said = next((one.row for one in some if one.row.header), some[0].row)
        hours, dec = said.header.get("TRAJCRA", ""), said.header.get("TRAJCDEC", "")
        months[night // 100].append(
            (
                *(night, obs, expnum, kind, name_of_shot(night, obs), said.header.get("OBJECT", ""), said.exptime),
                *(len({one.row.ifuslot for one in some}), len(some), sum(not one.why for one in some)),
                sum(one.why == DAMAGED for one in some),
                *(_degrees(hours), dec, *(said.header.get(name.upper(), "") for name in OBSERVATION_COLUMNS[13:])),
            )
        )
    return dict(months)


def _degrees(hours: str) -> str:
    try:
        return f"{float(hours) * HOURS:.7g}"
    except ValueError:
        return ""


def write_all(planned: Planned, layout: Layout, plan: Path, left_out: Path) -> None:
    """Write the plan and what goes with it: the plan last, and lists of frames only where they have changed."""
    wanted = set()
    for (month, ifu), some in planned.frames.items():
        path = layout.frames(month, ifu)
        wanted.add(path)
        frames_file.write(path, (one.member() for one in some))
    for path in layout.frames(0, "x").parent.parent.glob("*/*.csv"):
        if path not in wanted:
            path.unlink()  # of a pairing that is not asked for any more
    for month, rows in observations(planned).items():
        write_changed_rows(layout.observations(month), OBSERVATION_COLUMNS, rows)
    write_changed_rows(plan.with_name("disagreements.csv"), DISAGREEMENT_COLUMNS, planned.disagreements)
    cells = ((one.row, one) for one in planned.left_out)
    write_rows(
        left_out,
        LEFT_OUT_COLUMNS,
        (
            (
                *(row.night, row.obs, row.expnum, row.type, row.ifuslot, row.amp, one.ifu, one.why, one.reason),
                *(row.tar, row.member, row.offset),
            )
            for row, one in cells
        ),
    )
    write_plan(plan, planned.units)


def tell(planned: Planned) -> None:
    """Log what is to be done, and what is left out."""
    units = Counter((unit.kind, unit.state) for unit in planned.units)
    log.info("%s", ", ".join(f"{number} {kind} {state}" for (kind, state), number in sorted(units.items())))
    left_out = Counter(one.why for one in planned.left_out)
    log.info("%d frames; left out: %s", len(planned.judged), dict(sorted(left_out.items())) or "none")
    for unit in [unit for unit in planned.units if unit.state == FAILED][:SHOWN]:
        log.warning("%s: %s", unit, unit.reason)
    for one in [one for one in planned.left_out if one.why in (DAMAGED, UNKNOWN)][:SHOWN]:
        log.warning("%s: %s: %s", one.row.tar, one.row.member or f"byte {one.row.offset}", one.reason)


def read_left_out(path: Path) -> list[dict[str, str]]:
    """Read ``left_out.csv``.

    Raises
    ------
    MalformedFile
        If it is none.
    """
    return [dict(zip(LEFT_OUT_COLUMNS, cells, strict=True)) for cells in read_rows(path, LEFT_OUT_COLUMNS)]
