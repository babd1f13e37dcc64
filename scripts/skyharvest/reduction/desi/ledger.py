"""The account of a production: every exposure × camera × step, and every HEALPix pixel × step, exactly once."""

import functools
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from skyharvest.core.atomic import atomic_path
from skyharvest.core.csv_file import write_rows
from skyharvest.core.errors import HarvestError
from skyharvest.reduction.desi.exposure_table import STAR_ARMS, Exposure
from skyharvest.reduction.desi.graph import RUN, Key, owner_of, pixel_of
from skyharvest.reduction.desi.production import Production
from skyharvest.reduction.desi.records import DONE, FAILED, READY, WAITING, Judged, Records, judge_all
from skyharvest.reduction.desi.steps import OF_STARS, QA, STEPS, Step, reaches

log = logging.getLogger(__name__)

SKIPPED = "skipped"
TABLES = "tables"
"""Instead of a step, of an exposure of which nobody knows what it is."""
STATES = (DONE, FAILED, WAITING, SKIPPED)


@dataclass(frozen=True)
class Line:
    """A line of the ledger. What a step is not divided by is empty: the expid of a night's steps."""

    night: str
    expid: str
    obstype: str
    tileid: str
    camera: str
    survey: str
    program: str
    healpix: str
    step: str
    state: str
    seconds: str
    megabytes: str
    reason: str


class Incomplete(HarvestError):
    """A production has tasks that failed, or that wait for such."""


def lines_of(production: Production) -> Iterator[Line]:
    """Yield the lines of a production's ledger, in the order of nights, exposures, cameras and steps."""
    records = Records(production.directory)
    judged = judge_all(production.tasks(), records, production.commands.listed(), again=False)
    own = functools.partial(_line, judged, records)
    for night, exposures in production.nights.items():
        cameras = sorted(frozenset().union(*(one.cameras | one.left_out for one in exposures)))
        for exposure in exposures:
            if exposure.obstype not in RUN:
                yield _unread(exposure)
            for camera in cameras:
                for step in _steps("exposure", exposure.obstype):
                    yield own(step, owner_of(exposure), camera, _skipped(production, exposure, camera, step), exposure)
        run = [exposure for exposure in exposures if not exposure.reason and exposure.obstype in RUN]
        for camera in sorted(frozenset().union(*(one.cameras for one in run))):
            for step in _steps("night"):
                key = Key(step.name, str(night), camera)
                otherwise = "another production stands in for it" if production.graph.linked else "nothing needs it"
                why = "" if key in judged else otherwise
                yield own(step, str(night), camera, why, None)
    owners = sorted({key.owner for key in judged if key.kind == "spectra"})
    for owner in owners:
        for step in _steps("pixel"):
            why = "" if Key(step.name, owner, "") in judged else "redshift.enabled is false"
            yield own(step, owner, "", why, None)


def _unread(exposure: Exposure) -> Line:
    """Return the line of an exposure of which nobody knows what it is."""
    known = {"night": str(exposure.night), "expid": str(exposure.expid), "obstype": exposure.obstype}
    blank = dict.fromkeys((field.name for field in fields(Line)), "")
    return Line(**blank | known | {"step": TABLES, "state": SKIPPED, "reason": exposure.reason})


def _steps(per: str, obstype: str | None = None) -> list[Step]:
    return [step for step in STEPS.values() if step.per == per and (obstype is None or obstype in step.obstypes)]


def _skipped(production: Production, exposure: Exposure, camera: str, step: Step) -> str:
    """Return why a step of a camera's exposure is not run; "" if it is."""
    if exposure.reason:
        return exposure.reason
    if camera not in exposure.cameras:
        return "BADCAMWORD" if camera in exposure.left_out else f"CAMWORD has no {camera}"
    linked = production.graph.linked
    cframes = "cframe" in linked
    given = {"arc": "psfnight", "flat": "fiberflatnight"}.get(exposure.obstype) in linked
    given |= cframes and (step.name not in ("cframe", QA) or exposure.obstype != "science")
    whys = {
        f"LASTSTEP {exposure.laststep}": exposure.obstype == "science" and not reaches(exposure.laststep, step.name),
        "qa.enabled is false": step.name == QA and not production.graph.quality,
        "another production stands in for it": given,
        f"stars need the arms {' and '.join(STAR_ARMS)} of spectrograph {camera[1]}": (
            step.name in OF_STARS and not cframes and camera[1] not in exposure.with_stars
        ),
    }
    return next((why for why, holds in whys.items() if holds), "")


def _line(
    judged: Mapping[Key, Judged], records: Records, step: Step, owner: str, camera: str, why: str, of: Exposure | None
) -> Line:
    # A step of several kinds of tasks has ended as the first of them that is not well.
    units = {"starfit": camera[1:], "calibstars": ""}
    keys = [Key(kind, owner, units.get(kind, camera)) for kind in step.kinds]
    keys = [key for key in keys if key in judged]
    state, reason, record = SKIPPED, why, None
    if not why:
        assert keys, (step.name, owner, camera)
        key = next((key for key in keys if judged[key].state != DONE), keys[-1])
        state, reason, record = judged[key].state, judged[key].reason, records.get(key)
        state = WAITING if state == READY else state
    seconds, megabytes = (record.seconds, record.megabytes) if record else ("", "")
    survey, program, pix64 = pixel_of(owner) if step.per == "pixel" else ("", "", "")
    return Line(
        night="" if step.per == "pixel" else owner.partition("/")[0],
        expid=str(of.expid) if of else "",
        obstype=of.obstype if of else "",
        tileid=str(of.tileid) if of and of.obstype == "science" else "",
        camera=camera,
        survey=survey,
        program=program,
        healpix=str(pix64),
        step=step.name,
        state=state,
        seconds=seconds,
        megabytes=megabytes,
        reason="" if state == DONE else f"{reason} ({of.headererr})" if of and of.headererr and record else reason,
    )


def write_ledger(production: Production, ledger: Path, summary: Path) -> None:
    """Write the ledger, and how many of each step are in which state. Files appear whole."""
    lines = list(lines_of(production))
    write_rows(ledger, [field.name.upper() for field in fields(Line)], map(astuple, lines))
    counts = Counter((line.step, line.state) for line in lines)
    steps = {step: {state: counts[step, state] for state in STATES} for step in STEPS}
    seconds = {step: sum(float(line.seconds or 0) for line in lines if line.step == step) for step in STEPS}
    text = {"steps": steps, "seconds": {step: round(value, 1) for step, value in seconds.items()}}
    with atomic_path(summary) as temporary:
        temporary.write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")
    log.info("\n%s", table(steps, seconds))


def table(steps: Mapping[str, Mapping[str, int]], seconds: Mapping[str, float]) -> str:
    """Return the states of all steps, and the seconds of their tasks, as a table."""
    rows: list[tuple[str, ...]] = [("step", *STATES, "seconds")]
    rows += [
        (step, *(str(counts[state] or "–") for state in STATES), f"{seconds[step]:.0f}")
        for step, counts in steps.items()
    ]
    return "\n".join(f"{row[0]:<16}" + "".join(f"{cell:>10}" for cell in row[1:]) for row in rows)


def check_complete(ledger: Path, lines: Iterable[Mapping[str, str]], shown: int = 10) -> None:
    """Check that nothing of a ledger has failed, or waits; but for what tells how good it is.

    Raises
    ------
    Incomplete
        Names what has failed first, and what to do.
    """
    lines = list(lines)
    for line in lines:
        if line["STEP"] == TABLES:
            log.warning("%s is left out: %s", _told(line), line["REASON"])
    unwell = [line for line in lines if line["STATE"] in (FAILED, WAITING) and line["STEP"] != QA]
    failed = [line for line in unwell if line["STATE"] == FAILED]
    if not unwell:
        return
    # Where nothing has failed, something is not there: what waits for that, and not what waits for the waiting.
    first = failed or [line for line in unwell if not line["REASON"].endswith(f": {WAITING}")] or unwell
    told = "\n".join(f"  {_told(line)}: {line['REASON']}" for line in first[:shown])
    more = f"\n  … and {len(first) - shown} more" if len(first) > shown else ""
    then = (
        "Mend the raw file; or name the camera, amplifier or exposure in its exposure table (BADCAMWORD, BADAMPS, "
        "EXPFLAG) and run again: what depends on it is run. To try again what failed though nothing has changed: "
        "--config desi_reduction='{again: true}'."
        if failed
        else "Add the exposures that are lacking to the raw data, or leave out in the exposure table what needs them "
        "(EXPFLAG, or LASTSTEP ignore), and run again."
    )
    raise Incomplete(
        f"{len(failed)} steps of cameras or pixels failed, and {len(unwell) - len(failed)} wait for what is not there "
        f"({ledger}):\n{told}{more}\n{then}"
    )


def _told(line: Mapping[str, str]) -> str:
    what = [line["STEP"], line["CAMERA"], line["NIGHT"], line["EXPID"] and f"{int(line['EXPID']):08d}"]
    return " ".join(filter(None, [*what, line["SURVEY"], line["PROGRAM"], line["HEALPIX"]]))
