"""The tables: printed, and kept in ``bench/results.md``, where each program replaces its own section.

The table at the head of that file is made of the sections, each time that one is written.
"""

import datetime
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib import ROOT
from skyharvest.core.atomic import atomic_path

RESULTS = ROOT / "bench" / "results.md"
BOUND = "What bounds it: "
HEAD = """# Benchmarks

Made by `make bench` (or `python bench/NAME.py` for one section): each section is its program's. Medians; ours and the
others' in the same run, on the same machine. A ratio above 1 is in our favour.

"""
SPEED = {
    "whole run: 102,403 rows, 2,869 pixels, 5,738 coadds, local": ("scale real", "seconds, whole run:"),
    "… through nginx at 20 ms and 50 MB/s": ("scale network", "seconds, whole run over a network"),
    "… with faulty answers, kills and full disks": ("chaos", "seconds, faults, kills and full disks"),
    "nothing to do": ("scale real", "seconds, rerun with nothing to do"),
    "disk: results for 47,671 spectra": ("scale real", "disk, results"),
    "30,000 pixels": ("scale growth", "seconds, 30,000 pixels"),
    "seconds per pixel, 30,000 over 300": ("scale growth", "seconds per pixel"),
    "how 101,175 tasks of a reduction stand": ("control", "101,175 tasks: top"),
    "`make demo`, after the install": ("demo", "seconds, `make demo`"),
    "`make test`": ("demo tests", "CPU-minutes, `make test`"),
    "200 of 20,000 spectra; LSDB, HATS: bytes": ("catalogues", "bytes, the same arrays"),
    "… with the resolution, which those lack": ("catalogues", "bytes, and their resolution"),
    "200 of 20,000 spectra; LSDB, HATS: seconds": ("catalogues", "seconds, the same arrays; the whole workflow"),
    "… and with the resolution": ("catalogues", "seconds, and their resolution; the whole workflow"),
    "a shot of HETDEX's raw frames, 4 IFUs × 3 exposures": ("hetdex_reduction shot", "seconds, a shot"),
    "emission lines of HETDEX, an IFU and shot, one core": ("hetdex_detections", "search and fits, both"),
    "a data cube of HETDEX": ("hetdex_cubes", "cube of an IFU, three exposures: seconds"),
    "HETDEX, 1,000 sources on 200 cubes, a loop": ("cubes many", "seconds, 1,000 sources"),
}
"""What the head's table shows: a name → section, and how the row of its first table begins."""


@dataclass(frozen=True)
class Row:
    """A figure, ours and another's.

    Attributes
    ----------
    what, ours, peer
        Text with units.
    ratio
        How many times better ours is, or None.
    goal
        At least this ratio; None if none was set.
    reached
        For goals that are not a ratio: whether, beside ``goal_text``.
    """

    what: str
    ours: str
    peer: str = ""
    ratio: float | None = None
    goal: float | None = None
    goal_text: str = ""
    reached: bool | None = None

    def cells(self) -> list[str]:
        """Return the row's cells as text."""
        reached = self.reached
        goal = self.goal_text
        if self.goal is not None and self.ratio is not None:
            reached = self.ratio >= self.goal
            goal = f"≥ {self.goal:,g} ×"
        ratio = "" if self.ratio is None else f"{_significant(self.ratio)} ×"
        return [self.what, self.ours, self.peer, ratio, goal, {True: "yes", False: "**no**", None: ""}[reached]]


def _significant(number: float) -> str:
    digits = 0 if number >= 100 else 1 if number >= 10 else 2
    return f"{number:,.{digits}f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def comparison(rows: Sequence[Row]) -> str:
    """Return the Markdown table of some rows."""
    return table(["what", "ours", "other", "ratio", "goal", "reached"], [row.cells() for row in rows])


def machine() -> str:
    """Return one line on what this ran on."""
    cpuinfo, meminfo = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    name = platform.processor() or platform.machine()
    if cpuinfo.exists() and (model := re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text())):
        name = model[1]
    memory = ""
    if meminfo.exists() and (total := re.search(r"MemTotal:\s*(\d+) kB", meminfo.read_text())):
        memory = f", {int(total[1]) / 2**20:.0f} GiB"
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    system = f"{platform.system()} {platform.release()}"
    return f"{name}, {os.cpu_count()} cores{memory}; {system}; Python {platform.python_version()}; {now}"


def write_section(program: str, title: str, body: str, *, part: str = "") -> None:
    """Print a section, and put it into ``results.md`` in place of what ``program`` wrote for this part before."""
    name = f"{program} {part}".strip()
    begin, end = _marks(name)
    section = f"{begin}\n## {title}\n\n{body.strip()}\n\n`python bench/{program}.py` on {machine()}\n{end}\n"
    print(section)
    text = RESULTS.read_text() if RESULTS.exists() else HEAD
    found = re.search(f"{re.escape(begin)}.*?{re.escape(end)}\n", text, re.DOTALL)
    begins, ends = found.span() if found else (len(text), len(text))
    text = with_summary(text[:begins].rstrip() + "\n\n" + section + text[ends:])
    with atomic_path(RESULTS) as temporary:
        temporary.write_text(text)


def with_summary(text: str) -> str:
    """Return the file's text with the table at its head made anew."""
    rows = []
    for name, (section, begins) in SPEED.items():
        begin, end = _marks(section)
        body = text.partition(begin)[2].partition(end)[0]
        row = re.search(rf"^\| ({re.escape(begins)}.*) \|$", body, re.MULTILINE)
        bound = re.search(rf"^{BOUND}(.*?)\n\n", body + "\n\n", re.MULTILINE | re.DOTALL)
        cells = row[1].split(" | ")[1:] if row else ["not measured", "", "", "", ""]
        missed = cells[-1] == "**no**" and bound
        rows.append([name, *cells, " ".join(bound[1].split()) if missed else ""])
    begin, end = _marks("summary")
    shown = table(["what", "ours", "other", "ratio", "goal", "reached", "what bounds it"], rows)
    summary = f"{begin}\n## Speed at the real scale\n\n{shown}\n{end}\n"
    if begin in text:
        before, _, rest = text.partition(begin)
        return before + summary + rest.partition(f"{end}\n")[2]
    head, mark, rest = text.partition("<!-- ")
    return f"{head.rstrip()}\n\n{summary}\n{mark}{rest}"


def _marks(section: str) -> tuple[str, str]:
    return f"<!-- {section}: begin -->", f"<!-- {section}: end -->"


if __name__ == "__main__":
    print(with_summary(RESULTS.read_text()).partition("<!-- summary: begin -->\n")[2].partition("<!-- summary")[0])
