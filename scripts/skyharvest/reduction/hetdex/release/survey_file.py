"""The table of all shots, ``survey/survey_{release}.h5``: ``/Survey`` has their rows of ``/Shot``, by shotid.

Shots that have none are in ``/Failed``, with the reason. Beside it stands ``flim4600_averages.txt``: the flux of a line
at 4600 Å that is the 1 σ noise, erg/s/cm², for each shot; hetdex_api reads both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.pytables import open_new, write_table
from skyharvest.reduction.hetdex.biweight import location
from skyharvest.reduction.hetdex.layout import Layout, shotid_of
from skyharvest.reduction.hetdex.lines.flux_limits import FILE as LIMITS_FILE
from skyharvest.reduction.hetdex.lines.flux_limits import limit_at_4600
from skyharvest.reduction.hetdex.release.failures import Failure, write_failures
from skyharvest.reduction.hetdex.release.merging import Source, check_unit, merge_files, open_source
from skyharvest.reduction.hetdex.shots.shot_tables import SHOT

AVERAGES = "flim4600_averages.txt"


@dataclass(frozen=True)
class Part:
    """A shot.

    Attributes
    ----------
    source
        Its file.
    row
        (1,) of type `SHOT`.
    """

    source: Source
    row: Array


def write_survey(sources: Sequence[Source], out: Path) -> None:
    """Write the table.

    Parameters
    ----------
    sources
        Files ``shots/SHOT.h5``, in any order. A shot whose file cannot be read fails.
    out
        The file to write.
    """
    merge_files(sources, out, look_at_shot, _write)


def look_at_shot(source: Source) -> tuple[Part | None, list[Failure]]:
    """Return a shot's row, None if the shot failed, and what failed.

    Raises
    ------
    MalformedFile
        If it is no file of this shot.
    """
    with open_source(source.path) as file:
        check_unit(file, source)
        if reason := str(file.attrs.get("failed", "")):
            return None, [Failure(source.shot, "", reason)]
        row = file["Shot"][:] if "Shot" in file else np.zeros(0, SHOT)
    if row.dtype != SHOT or row["shotid"].tolist() != [shotid_of(source.shot)]:
        raise MalformedFile(
            f"{source.path}[/Shot]: found no row of {source.shot} with the columns expected; remove it and run again"
        )
    return Part(source, row), []


def _write(path: Path, parts: Sequence[Part], failures: Sequence[Failure]) -> None:
    rows = np.concatenate([np.zeros(0, SHOT), *(part.row for part in parts)])
    with open_new(path, "HETDEX Survey") as file:
        file.attrs["missing"] = "NaN"
        write_table(file, "Survey", rows[np.argsort(rows["shotid"])], "All shots")
        write_failures(file, failures)


def write_limits(layout: Layout, ifus: Mapping[str, Sequence[str]], out: Path) -> None:
    """Write what noise a line at 4600 Å has in each shot, ``shotid`` and ``f1sigma_biweight``: that of its IFUs.

    Parameters
    ----------
    layout
        Where products are.
    ifus
        Name of each shot → pairings in which lines were looked for. One without limits, or whose file is damaged, is
        left out; a shot without any has ``nan``.
    out
        `AVERAGES`, to be written.
    """
    lines = ["shotid f1sigma_biweight"]
    for shot, pairings in sorted(ifus.items()):
        found = np.array([limit_at_4600(layout.detections(shot, ifu) / LIMITS_FILE, sn=1.0) for ifu in pairings])
        known = found[np.isfinite(found)]
        lines.append(f"{shotid_of(shot)} {float(location(known)) if len(known) else np.nan:.4e}")
    with atomic_path(out) as temporary:
        temporary.write_text("\n".join(lines) + "\n")
