"""A small production of metrics, collated, with its pages: a clean night, and one with a fault of each kind."""

from dataclasses import dataclass
from pathlib import Path

from skyharvest.reduction.desi.graph import Key
from skyharvest.reduction.desi.production import Production
from skyharvest.reduction.desi.qa.collate import night_path, write_json, write_night
from skyharvest.reduction.desi.qa.collate_production import collate_production, production_path
from skyharvest.reduction.desi.qa.limits import read_limits
from skyharvest.reduction.desi.records import FAILED, Record, Records, judge_all, show
from skyharvest.report.desi_qa.night import Night
from skyharvest.report.desi_qa.production import write_site
from skyharvest.simulate.desi_metrics import Size, faults, simulate

CLEAN, FAULTY = 20250115, 20250116
WHY = "OSError: <b>the file</b> is cut short & so on"
SAID = "INFO: reads <script>alert(1)</script>"


@dataclass(frozen=True)
class Quality:
    """A production with its pages; ``failed`` is the task that failed in the night with faults."""

    production: Production
    failed: Key

    @property
    def site(self) -> Path:
        """Directory of its pages."""
        return self.production.directory / "QA/pages"

    def write(self, *nights: int) -> None:
        """Collate some nights, or all, and write their pages and the first one."""
        directory, limits = self.production.directory, read_limits()
        for night in nights or self.production.nights:
            write_night(self.production, night, limits, night_path(directory, night))
            Night(self.production, night, directory / "logs").write()
        write_json(collate_production(directory, limits), production_path(directory))
        write_site(directory)


def quality(root: Path) -> Quality:
    """Write a production of two nights of eight exposures and six cameras, of which a task failed; not collated."""
    production = simulate(root / "small", Size(2, 8, (0, 1), arcs=1), faults(1), seed=3)
    expid = production.nights[FAULTY][0].expid
    key = Key("preproc", f"{FAULTY}/{expid:08d}", "r0")
    made = judge_all(production.tasks(), Records(root / "none"), lambda _: False, again=False)[key].made
    Records(production.directory).put(key, Record("r0", FAILED, made or "", "3.0", "400", WHY))
    log = production.directory / f"logs/desi_preproc/{FAULTY}-{expid:08d}-{expid + 3:08d}.log"
    log.parent.mkdir(parents=True)
    other = show(key._replace(unit="b0"))
    log.write_text(f"\n=== {other}\ndesi_preproc b0\nall is well\n\n=== {show(key)}\ndesi_preproc r0\n{SAID}\n{WHY}\n")
    return Quality(production, key)
