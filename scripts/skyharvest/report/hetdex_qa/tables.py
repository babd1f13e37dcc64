"""Tables of the pages."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from skyharvest.core.words import counted
from skyharvest.reduction.hetdex.qa.definitions import describe, place_of
from skyharvest.reduction.hetdex.qa.missing import Missing, missing_amps
from skyharvest.reduction.hetdex.steps import FAILED, WAITING
from skyharvest.report.hetdex_qa.faults import in_words
from skyharvest.report.hetdex_qa.site import page_of
from skyharvest.report.page import Cell, Table, number, text
from skyharvest.report.quality.words import limit_in_words, mark, shown

OF_SHOTS = (
    "throughput.response_4540",
    "throughput.n_taken",
    "stars.fwhm",
    "astrometry.n_matched",
    "astrometry.rms_x",
    "astrometry.rms_y",
    "detections.n_lines",
    "detections.scatter",
    "detections.flux_limit_4600",
    "continuum.n_sources",
)
"""Values of shots that the table of a month has; of those of exposures the worst, by the median of all."""
NO_VALUE = float("nan")
DAMAGED = ("damaged", "unknown")
"""Why frames are left out, as the plan says it, that somebody should look at."""
MOST_DAMAGED = 200


def cell(value: float | None, state: str = "", unit: str = "") -> Cell:
    """Return a cell with a value, marked if it is not good; places on the sky have more digits than other numbers."""
    digits = f"{value:.5f}".replace("-", "−") if unit == "°" and value is not None else shown(value)
    return Cell(digits, NO_VALUE if value is None else value, mark="" if state == "OK" else state)


def strip(shots: Iterable[Mapping[str, Any]], root: str) -> list[dict[str, str]]:
    """Return shots as squares of a row."""
    return [
        {
            "link": root + page_of(one["shot"][:6], one["shot"]),
            "state": one["state"],
            "text": mark(one["state"]),
            "says": f"{one['shot']}: {one['state']}, {one['n_amps']} amplifiers, {one['n_missing']} missing",
        }
        for one in shots
    ]


def shots_table(shots: Sequence[Mapping[str, Any]]) -> Table:
    """Return the shots of a month."""
    names = [name for name in OF_SHOTS if any(_values(one, name) for one in shots)]
    rows = []
    for one in shots:
        n_bad = one["n_bad"]
        row = [
            text(one["shot"], f"{one['shot']}.html"),
            Cell(one["state"], mark=one["state"]),
            Cell(f"{n_bad:,}", n_bad, mark="BAD" if n_bad else ""),
            number(len(one["exposures"])),
            number(one["n_amps"]),
            number(one["n_missing"]),
        ]
        for name in names:
            found = _values(one, name)
            worst = next((pair for state in ("BAD", "WARN") for pair in found if pair[1] == state), None)
            row.append(cell(*(worst or (found[len(found) // 2] if found else (None, "OK")))))
        rows.append([*row, text("; ".join(one["steps"]))])
    columns = ["shot", "state", "values BAD", "exposures", "amplifiers", "missing", *names, "failed"]
    note = "Of values of exposures the one that is not good, or else the middle one."
    return Table("Shots", columns, rows, note)


def _values(shot: Mapping[str, Any], name: str) -> list[tuple[float | None, str]]:
    some = (shot["values"].get(name), *(of.get(name) for of in shot["exposures"].values()))
    return sorted((tuple(one) for one in some if one), key=lambda one: (one[0] is None, one[0]))


def missing_table(missing: Sequence[Missing], month: int, shot: str = "") -> Table:
    """Return the amplifiers of a month, or of a shot, that are missing."""
    rows = []
    for one in missing:
        mark = {FAILED: "BAD", WAITING: "WARN"}.get(one.state, "")
        row = [text(in_words(one.amp)), Cell(one.state.replace("_", " "), mark=mark), text(one.step), text(one.reason)]
        if shot:
            row.append(text(" ".join(exposure.partition("/")[2] for exposure in one.exposures)))
        else:
            first = one.exposures[0].partition("/")[0] if one.exposures else ""
            row += [number(len(one.exposures)), text(first, first and page_of(month, first).partition("/")[2])]
        rows.append(row)
    columns = ["amplifier", "state", "step", "reason", *(["exposures"] if shot else ["exposures", "first shot"])]
    note = "left out: named in a table of what is bad. waiting: the step before has failed, or a frame is missing."
    return Table("Amplifiers that are missing", columns, rows, note)


def bad_amps_table(months: Iterable[Mapping[str, Any]]) -> Table:
    """Return the amplifiers that are missing in any month, the most frequent first."""
    found: dict[tuple[str, str, str], list[tuple[int, Missing]]] = {}
    for month in months:
        for one in missing_amps(month["unwell"]):
            found.setdefault((one.amp, one.step, one.state), []).append((month["month"], one))
    rows = []
    for (amp, step, state), some in sorted(found.items(), key=lambda item: (-len({m for m, _ in item[1]}), item[0])):
        when = sorted({month for month, _ in some})
        shown_months = str(when[0]) if len(when) == 1 else f"{len(when)} ({when[0]} to {when[-1]})"
        rows.append(
            [
                text(in_words(amp)),
                Cell(state.replace("_", " "), mark="BAD" if state == FAILED else ""),
                text(step),
                Cell(some[-1][1].reason),
                number(len(when), shown_months, page_of(when[-1])),
                number(sum(len(one.exposures) for _, one in some)),
            ]
        )
    columns = ["amplifier", "state", "step", "reason", "months", "exposures"]
    note = "The reason is the last one; a link leads to the last month."
    return Table("Amplifiers that are missing", columns, rows, note)


def months_table(months: Sequence[Mapping[str, Any]]) -> Table:
    """Return the months, the latest first."""
    rows = []
    for one in sorted(months, key=lambda one: -one["month"]):
        counts = one["counts"]
        row = [
            number(one["month"], str(one["month"]), page_of(one["month"])),
            Cell(one["state"], mark=one["state"]),
            *(Cell(f"{counts[s]:,}", counts[s], mark=s if counts[s] and s != "OK" else "") for s in ("BAD", "WARN")),
            number(counts["OK"]),
            number(counts["pairings"]),
            number(counts["amps"]),
            number(counts["failed"]),
        ]
        rows.append(row)
    columns = ["month", "state", "shots BAD", "WARN", "OK", "pairings", "amplifiers", "missing"]
    return Table("Months", columns, rows)


def values_table(values: Mapping[str, Sequence[Any]], limits: Mapping[str, Any]) -> Table:
    """Return the values of a shot, what is not good first."""
    rows = [
        [
            Cell(state, mark=state),
            Cell(name, note=describe(name).meaning),
            Cell(f"{shown(value)} {describe(name).unit}".rstrip(), NO_VALUE if value is None else value),
            Cell(limit_in_words(limits.get(name, {}).get("warn"))),
            Cell(limit_in_words(limits.get(name, {}).get("bad"))),
        ]
        for name, (value, state) in sorted(values.items(), key=lambda item: place_of(item[0]))
    ]
    rows.sort(key=lambda row: ("BAD", "WARN", "OK").index(row[0].text))
    return Table("Of the shot", ["state", "value", "found", "WARN if not", "BAD if not"], rows)


def exposures_table(exposures: Mapping[str, Mapping[str, Any]], limits: Mapping[str, Any]) -> Table:
    """Return the values of exposures: a column for each."""
    names = sorted({name for of in exposures.values() for name in of["values"]}, key=place_of)
    rows = []
    for name in names:
        found = [of["values"].get(name, (None, "OK")) for of in exposures.values()]
        said = describe(name)
        bounds = limits.get(name, {})
        row = [
            Cell(f"{name} ({said.unit})" if said.unit else name, note=said.meaning),
            *(cell(value, state, said.unit) for value, state in found),
        ]
        rows.append([*row, Cell(limit_in_words(bounds.get("warn"))), Cell(limit_in_words(bounds.get("bad")))])
    return Table("Of exposures", ["value", *exposures, "WARN if not", "BAD if not"], rows)


def ifus_table(ifus: Mapping[str, Mapping[str, Sequence[Any]]]) -> Table | None:
    """Return the values of a shot's IFUs: a row for each; None if there are none."""
    names = sorted({name for of in ifus.values() for name in of}, key=place_of)
    if not names:
        return None
    rows = [
        [text(ifu.replace("_", " ")), *(cell(*of.get(name, (None, "OK"))) for name in names)]
        for ifu, of in ifus.items()
    ]
    units = ((name, describe(name).unit) for name in names)
    return Table("Of IFUs", ["IFU", *(f"{name} ({unit})" if unit else name for name, unit in units)], rows)


def stars_table(stars: Mapping[str, Sequence[Any]]) -> Table:
    """Return the stars of a shot: which were taken for its throughput."""
    rows = [
        [
            text(name),
            Cell("refused" if reason else "taken", mark="WARN" if reason else ""),
            *(cell(stars[column][k]) for column in ("g", "level", "scatter", "rms")),
            text(reason),
        ]
        for k, (name, reason) in enumerate(zip(stars["id"], stars["reason"], strict=True))
    ]
    n = sum(not reason for reason in stars["reason"])
    note = f"{counted(n, 'star')} of {len(rows)} taken. level: throughput over the reference."
    return Table("Stars", ["star", "state", "g", "level", "scatter", "rms", "why refused"], rows, note)


def left_out_table(left_out: Sequence[Mapping[str, str]]) -> Table:
    """Return how many frames are not used, and why."""
    counts = Counter(row["why"] for row in left_out)
    first = {row["why"]: row["reason"] for row in reversed(left_out)}
    rows = [[text(why), number(n), text(first[why])] for why, n in counts.most_common()]
    return Table("Frames that are not used", ["why", "frames", "the first of them"], rows)


def damaged_table(left_out: Sequence[Mapping[str, str]]) -> Table:
    """Return the frames that are damaged: where they are, and what is wrong."""
    damaged = [row for row in left_out if row["why"] in DAMAGED]
    columns = ("night", "obs", "expnum", "type", "ifuslot", "amp")
    rows = [
        [
            *(text(row[name]) for name in columns),
            text(f"{row['tar']}: {row['member'] or row['offset']}"),
            text(row["reason"]),
        ]
        for row in damaged[:MOST_DAMAGED]
    ]
    n_left = len(damaged) - len(rows)
    note = f"{counted(n_left, 'more frame')} in plan/left_out.csv." if n_left else ""
    return Table("Damaged frames", [*columns, "where", "what is wrong"], rows, note)
