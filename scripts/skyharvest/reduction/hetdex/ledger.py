"""The account of a reduction: what became of every frame, and of every step of every amplifier, exposure and shot.

Each row of the nights' lists is one line of step ``frames``: done if a unit uses it, left out or failed with the
reason. After them each step has a line for what it is divided by: amplifiers of a pairing in a month (``bias`` to
``amp_to_amp``, ``residuals``) or in an exposure (``science``), exposures (``full_sky``), shots (the rest).

A line is ``failed`` where the cause is: the product says so, or is not there although all that it needs is. What
depends on that is ``waiting``. ``left_out`` is what a table of bad frames or amplifiers names, and what is not asked
for; also a damaged bias or twilight, of which there are others, and maps of residuals where a month has few frames.
"""

import csv
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from pathlib import Path

import fitsio
import h5py

from skyharvest.core.atomic import atomic_path
from skyharvest.core.cli import COMMAND
from skyharvest.core.csv_file import write_rows
from skyharvest.core.errors import HarvestError, MalformedFile
from skyharvest.core.words import counted
from skyharvest.reduction.hetdex import amp_file
from skyharvest.reduction.hetdex.frames import frames_file
from skyharvest.reduction.hetdex.frames.frames_file import Member
from skyharvest.reduction.hetdex.frames.planning import DAMAGED, NAMED, UNKNOWN, read_left_out
from skyharvest.reduction.hetdex.frames.tar_index import GOOD, Row, read_list
from skyharvest.reduction.hetdex.layout import AMPS, Layout, name_of_exposure, name_of_shot
from skyharvest.reduction.hetdex.plan import BIAS, SCIENCE, TWILIGHT, Plan, Unit, read_plan
from skyharvest.reduction.hetdex.plan import FAILED as UNIT_FAILED
from skyharvest.reduction.hetdex.steps import (
    CALIBRATIONS,
    DONE,
    FAILED,
    FRAMES,
    LEFT_OUT,
    OF_SHOT,
    RULES,
    STATES,
    STEPS,
    WAITING,
)

log = logging.getLogger(__name__)

_COMMAND = re.compile(rf"{COMMAND}(.*)")


@dataclass(frozen=True)
class Line:
    """A line of the ledger. What a step is not divided by is empty.

    Attributes
    ----------
    step
        One of `STEPS`.
    month, night, shot, exposure, type, ifu, amp
        Of what.
    frame
        Of a frame: its tar and its name.
    state, reason
        One of `STATES`; and why, if it is not done.
    command
        What repeats the job of what has failed, if its log is there.
    """

    step: str
    month: str = ""
    night: str = ""
    shot: str = ""
    exposure: str = ""
    type: str = ""
    ifu: str = ""
    amp: str = ""
    frame: str = ""
    state: str = DONE
    reason: str = ""
    command: str = ""


class Incomplete(HarvestError):
    """Something of a reduction has failed, or waits for what has."""


State = tuple[str, str]
"""State and reason."""
_Use = tuple[str, int, str, str]
"""What a frame is for: its type or its exposure, a month, a pairing and an amplifier."""
WELL: State = (DONE, "")


class Account:
    """How a reduction stands.

    Parameters
    ----------
    directory
        ``results/reduction/hetdex``.
    logs
        Directory of the logs of jobs; None: ``results/logs``.
    month
        The steps of this month alone are asked for; None: those of all.
    """

    def __init__(self, directory: Path, logs: Path | None = None, month: int | None = None) -> None:
        self.layout = Layout(directory)
        self.logs = logs or directory.parent.parent / "logs"
        plan = read_plan(self.layout.plan)
        self.plan = plan if month is None else Plan(unit for unit in plan.units if unit.month == month)
        self._left_out = {_place(cells): cells for cells in read_left_out(self.layout.left_out)}
        self._calibrated: dict[tuple[str, int, str], dict[str, State]] = {}

        self._has: set[_Use] = set()
        self._holes: dict[_Use, Member] = {}
        self._used = self._read_frames()

    def _read_frames(self) -> set[tuple[str, str, str]]:
        """Find out which frames units have and which they lack; return those that are used."""
        used: set[tuple[str, str, str]] = set()
        for month, ifu in dict.fromkeys((unit.month, unit.ifu) for unit in self.plan.units):
            for one in frames_file.read_all(self.layout.frames(month, ifu)):
                use = _use(one, month)
                if one.state == GOOD:
                    used.add((one.tar, one.member, str(one.offset)))
                    self._has.add(use)
                else:
                    self._holes[use] = one
        return used

    def lines(self) -> Iterator[Line]:
        """Yield the lines of all steps, in the order of `STEPS`."""
        yield from self._frames()
        yield from self.steps()

    def steps(self) -> Iterator[Line]:
        """Yield the lines of all steps but `FRAMES`."""
        twilights = [unit for unit in self.plan.units if unit.kind == TWILIGHT]
        for unit in (unit for unit in self.plan.units if unit.kind == BIAS):
            self._calibrate(unit, CALIBRATIONS[:1])
        for unit in twilights:
            self._calibrate(unit, CALIBRATIONS[1:])
        self._compare(twilights)
        for step in (*CALIBRATIONS, "amp_to_amp"):
            for (of, month, ifu), states in self._calibrated.items():
                if of == step:
                    yield from self._amp_lines(Line(step, month=str(month), ifu=ifu), states)
        yield from self._science()

    # ---- frames

    def _frames(self) -> Iterator[Line]:
        """Yield a line for each row of the nights' lists."""
        for path in sorted(self.layout.night_list(0).parent.glob("*.csv")):
            rows = read_list(path)
            # What has no name in a tar is of the type that all others there are.
            types: dict[str, set[str]] = {}
            for row in rows:
                types.setdefault(row.tar, set()).update(filter(None, [row.type]))
            for row in rows:
                place = (row.tar, row.member, str(row.offset))
                cells = self._left_out.get(place)
                is_used = place in self._used
                assert not (cells and is_used), f"{path}: {place} is used, and it is in {self.layout.left_out}"
                yield self._frame_line(row, {row.type} if row.type else types[row.tar], is_used, cells)

    def _frame_line(self, row: Row, types: set[str], is_used: bool, cells: Mapping[str, str] | None) -> Line:
        state, reason, ifu = DONE, "", f"{row.specid}_{row.ifuslot}_{row.ifuid}_{row.contid}"
        if cells:
            is_hole = cells["why"] in (DAMAGED, UNKNOWN) and not types <= {"zro", "twi"}
            state, reason, ifu = FAILED if is_hole else LEFT_OUT, cells["reason"], cells["ifu"]
        elif not is_used:
            state, reason = LEFT_OUT, "its night is not asked for"
        return Line(
            FRAMES,
            month=str(row.night // 100),
            night=str(row.night),
            shot=name_of_shot(row.night, row.obs) if row.type == "sci" else "",
            exposure=name_of_exposure(row.expnum) if row.expnum else "",
            type=row.type,
            ifu=ifu.strip("_"),
            amp=row.amp,
            frame=f"{row.tar}: {row.member or f'byte {row.offset}'}",
            state=state,
            reason=reason,
        )

    # ---- months

    def _calibrate(self, unit: Unit, steps: Sequence[str]) -> None:
        """Find out how steps of a pairing's calibration stand."""
        previous = "bias"
        for step in steps:
            product = self.layout.calibration(step, unit.month, unit.ifu)
            if step == "flat":
                product = self.layout.flat(unit.month, unit.ifu) / "flat.fits"
            said = {"": (FAILED, unit.reason)} if unit.state == UNIT_FAILED else _said(product)
            before = self._calibrated.get((previous, unit.month, unit.ifu), {}) if step != previous else {}
            self._calibrated[step, unit.month, unit.ifu] = {
                amp: _after(before[amp], previous)
                if before.get(amp, WELL) != WELL
                else self._named(unit, amp) or _state_of(said, amp, product)
                for amp in AMPS
            }
            previous = step

    def _named(self, unit: Unit, amp: str) -> State | None:
        """Return the state of an amplifier all frames of which are named as bad; None of others."""
        use = ("zro" if unit.kind == BIAS else "twi", unit.month, unit.ifu, amp)
        hole = self._holes.get(use)
        return (LEFT_OUT, hole.reason) if hole and use not in self._has and self._is_named(hole) else None

    def _compare(self, units: Iterable[Unit]) -> None:
        """Find out how the comparison of a month's amplifiers stands."""
        files: dict[int, dict[str, State]] = {}
        for unit in units:
            product = self.layout.amp_to_amp(unit.month)
            if unit.month not in files:
                files[unit.month] = _compared(product)
            before = self._calibrated["wavelength", unit.month, unit.ifu]
            self._calibrated["amp_to_amp", unit.month, unit.ifu] = {
                amp: _after(before[amp], "wavelength")
                if before[amp] != WELL
                else _state_of(files[unit.month], f"{unit.ifu} {amp}", product)
                for amp in AMPS
            }

    # ---- shots

    def _science(self) -> Iterator[Line]:
        exposures: dict[tuple[str, str], list[State]] = {}
        months: dict[tuple[int, str], dict[str, list[State]]] = {}
        lines = []
        for unit in (unit for unit in self.plan.units if unit.kind == SCIENCE):
            product = self.layout.science(unit.shot, unit.exposure, unit.ifu)
            states = self._exposed(unit, product)
            exposures.setdefault((unit.shot, unit.exposure), []).extend(states.values())
            for amp, state in states.items():
                months.setdefault((unit.month, unit.ifu), {}).setdefault(amp, []).append(state)
            line = Line("science", month=str(unit.month), night=unit.shot[:8], shot=unit.shot, exposure=unit.exposure)
            lines.append((replace(line, ifu=unit.ifu), states))
        for line, states in lines:
            yield from self._amp_lines(line, states)
        shots: dict[str, list[State]] = {}
        for (shot, exposure), of_amps in exposures.items():
            product = self.layout.full_sky(shot, exposure) / "full_sky.fits"
            state = _first_cause(of_amps, "science") or _of_exposure(product)[""]
            shots.setdefault(shot, []).append(state)
            yield self._line(Line("full_sky", shot[:6], shot[:8], shot, exposure), state)
        states_of = {shot: _first_cause(states, "full_sky") or WELL for shot, states in shots.items()}
        previous = "full_sky"
        for step in OF_SHOT:
            for shot, before in states_of.items():
                state = _after(before, previous) if before != WELL else _of_shot(self.layout.of_shot(step, shot))[""]
                yield self._line(Line(step, shot[:6], shot[:8], shot), state)
                states_of[shot] = state
            previous = step
        for (month, ifu), of in months.items():
            product = self.layout.residuals(month, ifu) / "amps.csv"
            said = _amps_csv(product)
            states = {amp: _first_cause(of[amp], "science") or _state_of(said, amp, product) for amp in AMPS}
            yield from self._amp_lines(Line("residuals", month=str(month), ifu=ifu), states)

    def _exposed(self, unit: Unit, product: Path) -> dict[str, State]:
        """Return how the amplifiers of a pairing's exposure stand."""
        states: dict[str, State] = {}
        said: dict[str, State] | None = None
        for amp in AMPS:
            use = (f"{unit.shot}{unit.exposure}", unit.month, unit.ifu, amp)
            hole = self._holes.get(use)
            if hole is not None and use not in self._has:
                states[amp] = (LEFT_OUT, hole.reason) if self._is_named(hole) else (WAITING, f"frames: {hole.reason}")
                continue
            wanting = self._wanting(unit, amp)
            if wanting:
                states[amp] = wanting
            elif unit.state == UNIT_FAILED:
                states[amp] = (FAILED, unit.reason)
            else:
                said = _amps_csv(product / "amps.csv") if said is None else said
                states[amp] = _state_of(said, amp, product)
        return states

    def _wanting(self, unit: Unit, amp: str) -> State | None:
        """Return what the first calibration makes of a science frame that is not well; None if all are."""
        for step in (*CALIBRATIONS, "amp_to_amp"):
            state = self._calibrated.get((step, unit.month, unit.ifu), {}).get(amp, WELL)
            if state != WELL:
                return _after(state, step)
        return None

    def _is_named(self, one: Member) -> bool:
        cells = self._left_out.get((one.tar, one.member, str(one.offset)))
        return cells is not None and cells["why"] == NAMED

    # ---- lines

    def _amp_lines(self, line: Line, states: Mapping[str, State]) -> Iterator[Line]:
        for amp, state in states.items():
            yield self._line(replace(line, amp=amp), state)

    def _line(self, line: Line, state: State) -> Line:
        command = self._command(line) if state[0] == FAILED else ""
        return replace(line, state=state[0], reason=state[1], command=command)

    def _command(self, line: Line) -> str:
        """Return the command that a job's log begins with; empty if there is none."""
        rule = RULES.get(line.step, f"hetdex_{line.step}")
        if line.step == "amp_to_amp":
            parts: Sequence[str] = (line.month,)
        else:
            parts = (line.shot, line.exposure, line.ifu) if line.shot else (line.month, line.ifu)
        path = self.logs / rule / f"{'/'.join(filter(None, parts))}.log"
        if not path.is_file():
            return ""
        with path.open(encoding="utf-8", errors="replace") as stream:
            found = (_COMMAND.search(text) for text in stream)
            return next((match[1].strip() for match in found if match), "")


def _place(cells: Mapping[str, str]) -> tuple[str, str, str]:
    return cells["tar"], cells["member"], cells["offset"]


def _use(one: Member, month: int) -> _Use:
    """Return what a frame is for."""
    kind = f"{one.shot}{one.exposure}" if one.type == "sci" else one.type
    return kind, month, one.ifu, one.amp


def _after(state: State, step: str) -> State:
    """Return the state of what depends on a step that is not well: the first cause is passed on."""
    if state[0] == LEFT_OUT:
        return state
    return (WAITING, state[1] if state[0] == WAITING else f"{step}: {state[1]}")


def _first_cause(states: Sequence[State], step: str) -> State | None:
    """Return the state of what needs one of several, of which none is well; None if one is."""
    if WELL in states:
        return None
    unwell = [state for state in states if state[0] != LEFT_OUT] or states
    return _after(unwell[0], step)


def _state_of(said: Mapping[str, State], amp: str, product: Path) -> State:
    """Return what a product says of an amplifier."""
    if "" in said:
        return said[""]
    return said.get(amp) or (FAILED, f"{product} does not have it; remove it and run again")


def _lacking(product: Path) -> State:
    return FAILED, f"{product} is not there: its job has failed, or has not been run"


def _guarded(read: Callable[[Path], dict[str, State]]) -> Callable[[Path], dict[str, State]]:
    """Return a reader that says so, under an empty name, where a product is not there or cannot be read."""

    def guarded(product: Path) -> dict[str, State]:
        if not product.is_file():
            return {"": _lacking(product)}
        try:
            return read(product)
        except (MalformedFile, OSError, ValueError, KeyError) as error:
            return {"": (FAILED, f"{product} cannot be read ({error}); remove it and run again")}

    return guarded


@_guarded
def _said(product: Path) -> dict[str, State]:
    with amp_file.AmpFile(product) as file:
        return {amp: _well(state, reason) for amp, (state, reason) in file.states.items()}


@_guarded
def _amps_csv(product: Path) -> dict[str, State]:
    with product.open(newline="", encoding="utf-8") as stream:
        return {cells["amp"]: _well(cells["state"], cells["reason"]) for cells in csv.DictReader(stream)}


@_guarded
def _compared(product: Path) -> dict[str, State]:
    """Return what the comparison of a month says, by pairing and amplifier."""
    table = fitsio.read(str(product), ext=amp_file.TABLE)
    columns = [[amp_file.text(value) for value in table[name]] for name in ("ifu", "amp", "state", "reason")]
    return {f"{ifu} {amp}": _well(state, reason) for ifu, amp, state, reason in zip(*columns, strict=True)}


@_guarded
def _of_exposure(product: Path) -> dict[str, State]:
    """Return what the sky of an exposure says, under an empty name."""
    failed = amp_file.text(fitsio.read_header(str(product), ext="SKY").get("FAILED", ""))
    return {"": (FAILED, failed) if failed else WELL}


@_guarded
def _of_shot(product: Path) -> dict[str, State]:
    """Return what the file of a shot says, under an empty name."""
    with h5py.File(product, "r") as file:
        failed = amp_file.text(file.attrs.get("failed", ""))
    return {"": (FAILED, failed) if failed else WELL}


def _well(state: str, reason: str) -> State:
    return WELL if state == DONE else (LEFT_OUT if state == LEFT_OUT else FAILED, reason)


def write_ledger(account: Account, ledger: Path, summary: Path) -> None:
    """Write the ledger, and how many of each step are in which state. Files appear whole."""
    lines = list(account.lines())
    names = [field.name for field in fields(Line)]
    write_rows(ledger, names, map(attrgetter(*names), lines))
    counts = Counter((line.step, line.state) for line in lines)
    steps = {step: {state: counts[step, state] for state in STATES} for step in STEPS}
    with atomic_path(summary) as temporary:
        temporary.write_text(json.dumps({"steps": steps}, indent=2) + "\n", encoding="utf-8")
    log.info("\n%s", table(steps))


def table(steps: Mapping[str, Mapping[str, int]]) -> str:
    """Return the states of all steps as a table."""
    rows: list[tuple[str, ...]] = [("step", *STATES)]
    rows += [(step, *(str(counts[state] or "–") for state in STATES)) for step, counts in steps.items()]
    return "\n".join(f"{row[0]:<16}" + "".join(f"{cell:>10}" for cell in row[1:]) for row in rows)


def check_complete(ledger: Path, lines: Iterable[Mapping[str, str]], shown: int = 10) -> None:
    """Check that nothing of a ledger has failed, or waits.

    Raises
    ------
    Incomplete
        Names what has failed first, what repeats its job, and what to do.
    """
    unwell = [line for line in lines if line["state"] in (FAILED, WAITING)]
    if not unwell:
        return
    failed = [line for line in unwell if line["state"] == FAILED]
    told = []
    for line in (failed or unwell)[:shown]:
        told.append(f"  {_told(line)}: {line['reason']}")
        if line["command"]:
            told.append(f"    {line['command']}")
    if len(failed) > shown:
        told.append(f"  … and {len(failed) - shown} more")
    numbers = f"{counted(len(failed), 'line')} of the ledger failed, and {len(unwell) - len(failed)} wait for them"
    raise Incomplete(
        "\n".join((f"{numbers} ({ledger}):", *told))
        + "\nMend what the reason names, or name the frame in hetdex_reduction.bad.frames or the amplifier in bad.amps "
        "to leave it out; and run again. A job that has recorded a failure is run again when its product is removed, "
        "or by the command below the reason."
    )


def _told(line: Mapping[str, str]) -> str:
    if line["frame"]:
        return line["frame"]
    names = ("step", "month", "ifu", "amp") if not line["shot"] else ("step", "shot", "exposure", "ifu", "amp")
    return " ".join(filter(None, (line[name] for name in names)))
