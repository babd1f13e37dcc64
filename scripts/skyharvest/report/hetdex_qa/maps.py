"""Data of maps of the focal plane, and of series by shot and by month, as scripts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from skyharvest.reduction.hetdex.layout import AMPS
from skyharvest.reduction.hetdex.qa.definitions import describe, place_of
from skyharvest.reduction.limits import BAD, state_of
from skyharvest.report.quality.series import Limit, rows_script, series_script, to_json
from skyharvest.report.quality.words import rounded

BY_SHOT, BY_MONTH = "shots", "months"
MJD_OF_DAY_0 = 678576
"""Days from the proleptic year 1 to the beginning of MJD."""
MAP_DIGITS = 4

Limits = Mapping[str, Mapping[str, Sequence[float | None]]]


def limits_of(limits: Limits, name: str) -> list[Limit]:
    """Return the limits of a value one by one."""
    return [("", level, value) for level, pair in limits.get(name, {}).items() for value in pair if value is not None]


def maps_script(
    amps: Sequence[str], sets: Mapping[str, Mapping[str, Any]], failed: Mapping[str, Mapping[str, str]], limits: Limits
) -> str:
    """Return the script with maps of the focal plane.

    Parameters
    ----------
    amps
        Amplifiers, ``PAIRING_AMP``.
    sets
        Name, such as an exposure's, → value → a number for each amplifier.
    failed
        Name → amplifier → why.
    limits
        Of all values.
    """
    names = sorted({name for of in sets.values() for name in of}, key=place_of)
    about = {
        name: {"unit": describe(name).unit, "says": describe(name).meaning, "limits": limits.get(name, {})}
        for name in names
    }
    values = {
        key: {name: [rounded(value, MAP_DIGITS) for value in column] for name, column in of.items()}
        for key, of in sets.items()
    }
    place = {amp: k for k, amp in enumerate(amps)}
    reasons = {key: {place[amp]: why for amp, why in of.items() if amp in place} for key, of in failed.items()}
    return f"maps.of({to_json({'amps': list(amps), 'about': about, 'sets': values, 'failed': reasons})});\n"


def shot_series(months: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield scripts by name: the rows, all shots, and each of their values, of the shot or of its exposures."""
    shots = [(month, shot) for month in months for shot in month["shots"]]
    limits = {name: of for month, _ in shots for name, of in month["limits"].items()}
    exposures = sorted({name for _, shot in shots for name in shot["exposures"]})
    columns = ["shot", *exposures]
    about = {
        "root": "",
        "noun": "exposure",
        "columns": columns,
        "groups": columns,
        "axes": {"mjd": "MJD of the night", "order": "shot, in order"},
        "link": "{month}/{name}.html",
    }
    of = {
        "name": [shot["shot"] for _, shot in shots],
        "month": [month["month"] for month, _ in shots],
        "about": [""] * len(shots),
        "filter": [str(month["month"]) for month, _ in shots],
        "mjd": [_mjd(shot["shot"]) for _, shot in shots],
        "order": list(range(1, len(shots) + 1)),
    }
    yield BY_SHOT, rows_script(BY_SHOT, about, of)
    for name in names_of_shots(months := [month for month, _ in shots]) if shots else ():
        rows, bad = [], []
        for k, (_, shot) in enumerate(shots):
            some = [shot["values"].get(name), *(shot["exposures"].get(one, {}).get(name) for one in exposures)]
            bad += [k * len(columns) + c for c, one in enumerate(some) if one and one[1] == "BAD"]
            rows.append([rounded(one[0]) if one else None for one in some] if any(some) else None)
        yield name, series_script(name, BY_SHOT, _about(name, limits), bad, rows)


def names_of_shots(months: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the values that shots and their exposures have."""
    found = {
        name
        for month in months
        for shot in month["shots"]
        for of in (shot["values"], *shot["exposures"].values())
        for name in of
    }
    return sorted(found, key=place_of)


def month_series(months: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield scripts by name: the rows, all months, and each value of their amplifiers, ``amps.VALUE``."""
    amps = sorted({amp for month in months for amp in month["amps"]})
    about = {
        "root": "",
        "noun": "amplifier",
        "columns": [amp.replace("_", " ") for amp in amps],
        "groups": [amp.rpartition("_")[2] for amp in amps],
        "axes": {"year": "year"},
        "link": "{name}/index.html",
    }
    of = {
        "name": [str(month["month"]) for month in months],
        "about": [""] * len(months),
        "filter": [""] * len(months),
        "year": [round(month["month"] // 100 + (month["month"] % 100 - 0.5) / 12, 4) for month in months],
    }
    yield BY_MONTH, rows_script(BY_MONTH, about, of)
    place = {amp: k for k, amp in enumerate(amps)}
    limits = {name: one for month in months for name, one in month["limits"].items()}
    for name in names_of_months(months):
        rows, bad = [], []
        for k, month in enumerate(months):
            row: list[float | None] = [None] * len(amps)
            for amp, value in zip(month["amps"], month["values"].get(name, [None] * len(month["amps"])), strict=True):
                row[place[amp]] = rounded(value, MAP_DIGITS)
                if value is not None and state_of(value, month["limits"].get(name, {})) == BAD:
                    bad.append(k * len(amps) + place[amp])
            rows.append(row)
        yield f"amps.{name}", series_script(f"amps.{name}", BY_MONTH, _about(name, limits), bad, rows)


def names_of_months(months: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the values that amplifiers have."""
    return sorted({name for month in months for name in month["values"]}, key=place_of)


def groups_of(kind: Iterable[str]) -> list[tuple[str, str]]:
    """Return by which columns a reader chooses."""
    return [("", "all"), *((one, one) for one in kind)]


AMP_CHOICES = groups_of(AMPS)


def _about(name: str, limits: Limits) -> dict[str, Any]:
    said = describe(name)
    return {"unit": said.unit, "says": said.meaning, "limits": limits_of(limits, name)}


def _mjd(shot: str) -> int:
    return date(int(shot[:4]), int(shot[4:6]), int(shot[6:8])).toordinal() - MJD_OF_DAY_0
