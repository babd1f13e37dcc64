"""The account of a reduction: what became of every frame, and of every step of every amplifier, exposure and shot.

Each row of the nights' lists is one line of step ``frames``: done if a unit uses it, left out or failed with the
reason. After them each step has a line for what it is divided by: amplifiers of a pairing in a month (``bias`` to
``amp_to_amp``, ``residuals``) or in an exposure (``science``), exposures (``full_sky``), pairings of a shot
(``detections``, ``cubes``), shots; and each file that these are merged into has one. Steps that are switched off have
none.

A line is ``failed`` where the cause is: the product says so, or is not there although all that it needs is. What
depends on that is ``waiting``. ``left_out`` is what a table of bad frames or amplifiers names, and what is not asked
for; also a damaged bias or twilight, of which there are others, and maps of residuals where a month has few frames.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from skyharvest.core.cli import COMMAND
from skyharvest.reduction.hetdex import product_states
from skyharvest.reduction.hetdex.frames import frames_file
from skyharvest.reduction.hetdex.frames.frames_file import Member
from skyharvest.reduction.hetdex.frames.planning import DAMAGED, NAMED, UNKNOWN, read_left_out
from skyharvest.reduction.hetdex.frames.tar_index import GOOD, Row, read_list
from skyharvest.reduction.hetdex.layout import AMPS, DETECTIONS_FILE, Layout, name_of_exposure, name_of_shot
from skyharvest.reduction.hetdex.places import Place
from skyharvest.reduction.hetdex.plan import BIAS, SCIENCE, TWILIGHT, Plan, Unit, read_plan
from skyharvest.reduction.hetdex.plan import FAILED as UNIT_FAILED
from skyharvest.reduction.hetdex.product_states import WELL, State, after, first_cause, state_of
from skyharvest.reduction.hetdex.steps import (
    BY_IFU,
    CALIBRATIONS,
    DONE,
    FAILED,
    FRAMES,
    INDEXED,
    LEFT_OUT,
    MERGED,
    OF_SHOT,
    WAITING,
    Chosen,
)

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


_Use = tuple[str, int, str, str]
"""What a frame is for: its type or its exposure, a month, a pairing and an amplifier."""


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
    chosen
        Which steps are switched on.
    """

    def __init__(
        self, directory: Path, logs: Path | None = None, month: int | None = None, chosen: Chosen | None = None
    ) -> None:
        self.layout, self.chosen = Layout(directory), chosen or Chosen()
        self.logs = logs or directory.parent.parent / "logs"
        plan = read_plan(self.layout.plan)
        self.plan = plan if month is None else Plan(unit for unit in plan.units if unit.month == month)
        self._left_out = {_place(cells): cells for cells in read_left_out(self.layout.left_out)}
        self._calibrated: dict[tuple[str, int, str], dict[str, State]] = {}
        self._shots: dict[str, State] = {}
        self._exposed_ifus: dict[tuple[str, str], list[State]] = {}
        self._sources: dict[str, dict[str, list[State]]] = {}

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
        """Yield the lines of all steps, in their order."""
        yield from self._frames()
        yield from self.steps()
        yield from self._merged()

    def steps(self) -> Iterator[Line]:
        """Yield the lines of all steps but `FRAMES`, and but those that merge what others make."""
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
        for step in self.chosen.made:
            yield from self._of_sources(step)

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
            said = {"": (FAILED, unit.reason)} if unit.state == UNIT_FAILED else product_states.of_amps(product)
            before = self._calibrated.get((previous, unit.month, unit.ifu), {}) if step != previous else {}
            self._calibrated[step, unit.month, unit.ifu] = {
                amp: after(before[amp], previous)
                if before.get(amp, WELL) != WELL
                else self._named(unit, amp) or state_of(said, amp, product)
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
                files[unit.month] = product_states.of_pairings(product)
            before = self._calibrated["wavelength", unit.month, unit.ifu]
            self._calibrated["amp_to_amp", unit.month, unit.ifu] = {
                amp: after(before[amp], "wavelength")
                if before[amp] != WELL
                else state_of(files[unit.month], f"{unit.ifu} {amp}", product)
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
            self._exposed_ifus.setdefault((unit.shot, unit.ifu), []).extend(states.values())
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
            state = first_cause(of_amps, "science") or product_states.of_exposure(product)[""]
            shots.setdefault(shot, []).append(state)
            yield self._line(Line("full_sky", shot[:6], shot[:8], shot, exposure), state)
        states_of = {shot: first_cause(states, "full_sky") or WELL for shot, states in shots.items()}
        previous = "full_sky"
        for step in OF_SHOT:
            for shot, before in states_of.items():
                state = after(before, previous)
                if before == WELL:
                    state = product_states.of_shot(self.layout.of_shot(step, shot))[""]
                yield self._line(Line(step, shot[:6], shot[:8], shot), state)
                states_of[shot] = state
            previous = step
        self._shots = states_of
        for (month, ifu), of in months.items():
            product = self.layout.residuals(month, ifu) / "amps.csv"
            said = product_states.of_amps_csv(product)
            states = {amp: first_cause(of[amp], "science") or state_of(said, amp, product) for amp in AMPS}
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
                said = product_states.of_amps_csv(product / "amps.csv") if said is None else said
                states[amp] = state_of(said, amp, product)
        return states

    def _wanting(self, unit: Unit, amp: str) -> State | None:
        """Return what the first calibration makes of a science frame that is not well; None if all are."""
        for step in (*CALIBRATIONS, "amp_to_amp"):
            state = self._calibrated.get((step, unit.month, unit.ifu), {}).get(amp, WELL)
            if state != WELL:
                return after(state, step)
        return None

    def _is_named(self, one: Member) -> bool:
        cells = self._left_out.get((one.tar, one.member, str(one.offset)))
        return cells is not None and cells["why"] == NAMED

    # ---- sources

    def _of_sources(self, step: str) -> Iterator[Line]:
        """Yield the lines of a step that needs the files of shots."""
        found = self._sources.setdefault(step, {})
        cubes: dict[str, dict[str, State]] = {}
        units = self._exposed_ifus if step in BY_IFU else dict.fromkeys((shot, "") for shot in self._shots)
        for shot, ifu in units:
            place = Place(shot[:6], ifu, shot)
            product = place.product(step, self.layout)
            state = self._calibrated_fibers(shot, ifu)
            if state == WELL and step == "cubes":
                if shot not in cubes:
                    cubes[shot] = product_states.of_cubes(product / "cubes.csv")
                state = state_of(cubes[shot], ifu, product)
            elif state == WELL:
                state = _READERS[step](product / DETECTIONS_FILE if step == "detections" else product)[""]
            found.setdefault(place.month, []).append(state)
            yield self._line(Line(step, place.month, shot[:8], shot, ifu=ifu), state)

    def _calibrated_fibers(self, shot: str, ifu: str) -> State:
        """Return whether a shot has calibrated fibers, and its IFU if one is named."""
        if self._shots[shot] != WELL:
            return after(self._shots[shot], OF_SHOT[-1])
        return (first_cause(self._exposed_ifus[shot, ifu], "science") if ifu else None) or WELL

    def _merged(self) -> Iterator[Line]:
        """Yield the lines of the files that others are merged into; one waits if nothing of what it merges is there."""
        for step, merged in MERGED.items() if self._shots else ():
            if not self.chosen.merges(step):
                continue
            for month in self.plan.months if step == "detections_of_month" else [""]:
                states = {of: self._states_of(of, str(month)) for of in merged}
                causes = [first_cause(some, of) for of, some in states.items() if some]
                product = Place(str(month)).product(step, self.layout, self.chosen.release)
                state = causes[0] if causes and all(causes) else product_states.of_merged(product)[""]
                yield self._line(Line(step, month=str(month)), state or WELL)

    def _states_of(self, step: str, month: str) -> list[State]:
        """Return how what a step makes stands, in a month or in all."""
        if step == OF_SHOT[-1]:
            return list(self._shots.values())
        of = self._sources.get(step, {})
        return [state for some in ([of.get(month, [])] if month else of.values()) for state in some]

    # ---- lines

    def _amp_lines(self, line: Line, states: Mapping[str, State]) -> Iterator[Line]:
        for amp, state in states.items():
            yield self._line(replace(line, amp=amp), state)

    def _line(self, line: Line, state: State) -> Line:
        command = self._command(line) if state[0] == FAILED else ""
        return replace(line, state=state[0], reason=state[1], command=command)

    def _command(self, line: Line) -> str:
        """Return the command that a job's log begins with; empty if there is none."""
        path = self.logs / Place(line.month, line.ifu, line.shot, line.exposure).log(line.step)
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


_READERS = {
    INDEXED: product_states.of_shot,
    "detections": product_states.of_shot,
    "continuum": product_states.of_shot,
    "cutouts": product_states.of_shot,
    "reports": product_states.of_reports,
}
