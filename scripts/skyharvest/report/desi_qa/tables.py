"""Tables of the pages of a night, of an exposure, and of a camera."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from skyharvest.reduction.desi.qa.measured import Metric
from skyharvest.report.desi_qa.steps import Ended
from skyharvest.report.desi_qa.words import describe, kind_of, program_of
from skyharvest.report.page import Cell, Table, number, text
from skyharvest.report.quality.words import limit_in_words, shown

FEW = 9
"""Cameras whose metrics stand in one table; of more, each arm has one."""
WORST = ("BAD", "WARN", "OK")


def exposures_table(exposures: Sequence[Mapping[str, Any]]) -> Table:
    """Return the exposures of a night."""
    rows = []
    for one in exposures:
        states = [frame["state"] for frame in one["cameras"].values()]
        bad, warn = states.count("BAD"), states.count("WARN")
        rows.append(
            [
                number(one["expid"], f"{one['expid']:08d}", f"{one['expid']:08d}/index.html"),
                text(program_of(one)),
                number(one["tileid"], str(one["tileid"])) if one["tileid"] > 0 else Cell("", -1),
                number(one["exptime"], f"{one['exptime']:,.0f}"),
                number(one["mjd"], f"{one['mjd']:.4f}"),
                Cell(f"{bad}", bad, mark="BAD" if bad else ""),
                Cell(f"{warn}", warn, mark="WARN" if warn else ""),
                number(len(states)),
                text(one["left_out"]),
            ]
        )
    columns = ["EXPID", "program", "TILEID", "exposure (s)", "MJD", "BAD", "WARN", "frames", "left out"]
    return Table("Exposures", columns, rows)


def metrics_table(caption: str, metrics: Mapping[str, Sequence[Any]]) -> Table:
    """Return the metrics of an exposure or of a night as a whole, what is not good first."""
    rows = []
    for name, (value, state, *at) in metrics.items():
        said = describe(name)
        rows.append(
            [
                Cell(state, mark=state),
                Cell(name, note=said.meaning),
                _value(value, unit=said.unit),
                text(" ".join(at)),
            ]
        )
    rows.sort(key=lambda row: WORST.index(row[0].text))
    return Table(caption, ["state", "metric", "value", "where"], rows)


def _value(value: float | None, mark: str = "", link: str = "", unit: str = "") -> Cell:
    return Cell(f"{shown(value)} {unit}".rstrip(), float("nan") if value is None else value, link, mark)


def exposure_tables(exposure: Mapping[str, Any], arms: Sequence[str], cameras: Sequence[str]) -> Iterator[Table]:
    """Yield the metrics of an exposure: as a whole; metrics × cameras, what is not good first; its petals."""
    if exposure["metrics"]:
        yield metrics_table("Of the exposure as a whole", exposure["metrics"])
    frames = exposure["cameras"]
    for arm in arms if len(cameras) > FEW else ("brz",):
        own = [camera for camera in cameras if camera[0] in arm and camera in frames]
        names = list(dict.fromkeys(name for camera in own for name in frames[camera]["metrics"]))
        rows = []
        for name in names:
            row = [Cell(name)]
            for camera in own:
                value, state, *_ = frames[camera]["metrics"].get(name, (None, ""))
                is_well = state in ("OK", "")
                row.append(_value(value, "" if is_well else state, "" if is_well else f"{camera}.html"))
            rows.append(row)
        rows.sort(key=lambda row: min((WORST.index(cell.mark) for cell in row if cell.mark), default=len(WORST)))
        if rows:
            yield Table(f"Cameras {arm}" if len(arm) == 1 else "Cameras", ["metric", *own], rows)
    petals = exposure.get("petals") or {}
    if columns := list(dict.fromkeys(name for one in petals.values() for name in one)):
        rows = [[number(int(petal)), *(_value(one.get(name)) for name in columns)] for petal, one in petals.items()]
        yield Table("Petals", ["petal", *columns], rows, "Columns of desispec's exposure QA (PETALQA).")


def steps_table(ended: Mapping[str, Sequence[Ended]]) -> Table:
    """Return how the steps of each camera of an exposure have ended."""
    kinds = list(dict.fromkeys(one.kind for some in ended.values() for one in some))
    rows = []
    for camera, some in ended.items():
        of = {one.kind: one for one in some}
        row = [text(camera, f"{camera}.html#steps")]
        for kind in kinds:
            one = of.get(kind)
            state = {"failed": "BAD", "waiting": "WARN"}.get(one.state, "") if one else ""
            took = f"{float(one.seconds):,.0f} s" if one and one.seconds and one.state == "done" else ""
            row.append(Cell(took or one.state, None, f"{camera}.html#{kind}", state) if one else Cell("–"))
        rows.append(row)
    return Table("Steps of each camera", ["camera", *kinds], rows, "Seconds that each took, or how it stands.")


def camera_table(metrics: Mapping[str, Metric], kinds: Collection[str]) -> Table:
    """Return the metrics of a frame, with their limits; they lead to those kinds of tasks that its page has."""
    rows = []
    for name, one in metrics.items():
        kind = kind_of(name)
        rows.append(
            [
                Cell(one.state, mark=one.state),
                Cell(name, None, f"#{kind}" if kind in kinds else "", note=describe(name).meaning),
                _value(one.value, unit=one.unit),
                Cell(limit_in_words(one.limits.get("warn"))),
                Cell(limit_in_words(one.limits.get("bad"))),
                Cell(one.at),
            ]
        )
    rows.sort(key=lambda row: WORST.index(row[0].text))
    columns = ["state", "metric", "value", "WARN if not", "BAD if not", "where"]
    return Table("Metrics", columns, rows, "A metric leads to the step that made what it measures.")
