"""What the rules of the reduction ask: which jobs there are, what each needs, and what is to be run again.

Without Snakemake, and light: it is imported whenever the workflow is parsed.
"""

import functools
import json
import logging
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from skyharvest.archive.archive import is_url
from skyharvest.core.paths import CONFIG
from skyharvest.harvest.demo import DEMO
from skyharvest.harvest.rules import literal, options
from skyharvest.reduction.desi.cameras import create_camword
from skyharvest.reduction.desi.given import said_of
from skyharvest.reduction.desi.graph import Key, digest_of
from skyharvest.reduction.desi.layout import Layout
from skyharvest.reduction.desi.production import BY_HAND, Job, Production, check_frozen, check_there, directory_of
from skyharvest.reduction.desi.qa.limits import limits_of
from skyharvest.reduction.desi.records import NEW, READY, WAITING, Judged, Records, judge_all
from skyharvest.reduction.desi.settings import CHOICES, LIMITS, frozen
from skyharvest.reduction.desi.steps import STEP_OF, STEPS

DEMO_NIGHT = f"{DEMO}/desi_night"

log = logging.getLogger(__name__)

SHOWN = 40
"""As many lines tell what is to be run again."""


class Reduction:
    """The reduction's part of a run.

    Parameters
    ----------
    config
        As `skyharvest.config.load.validate` returns it.
    find_tables
        Returns once the exposure tables are there.
    force
        Makes this run do the jobs of these outputs again.
    """

    def __init__(
        self, config: Mapping[str, Any], find_tables: Callable[[], object], force: Callable[[Iterable[str]], None]
    ) -> None:
        self.settings: dict[str, Any] = config["desi_reduction"]
        self.enabled: bool = self.settings["enabled"]
        self.batch_seconds = float(config["batch_seconds"])
        self._connections = int(config["connections"])
        self._find_tables, self._force = find_tables, force
        self._announced = False
        if self.enabled:
            self.directory = directory_of(Path(config["results"]), self.settings["specprod"])
            check_frozen(self.directory, self.settings)
            if not self.is_demo:
                check_there(self.settings)
            if self.quality:
                limits_of(self.settings)  # what is wrong in them is said before anything is done

    @property
    def is_demo(self) -> bool:
        """Whether its raw data are the demo's, which a rule writes first."""
        return bool(self.settings["raw"] == f"{DEMO_NIGHT}/data")

    @property
    def demo(self) -> str:
        """Directory of the demo's raw data."""
        return DEMO_NIGHT

    def path(self, name: str) -> str:
        """Return the path of a file of the production."""
        return str(self.directory / name)

    @property
    def catalogues(self) -> list[str]:
        """What a release has of the production as a whole: its tiles, exposures, targets and redshifts."""
        layout = Layout(self.directory)
        return [str(path) for path in (layout.tiles(), layout.exposures(), layout.targets(), layout.redshifts())]

    @property
    def program_options(self) -> str:
        """Options of every program of the reduction, for a shell command."""
        return literal(options(production=self.directory, **said_of(self.settings)))

    @property
    def begin_options(self) -> str:
        """Options of the program that begins a production: the raw data, and all that is frozen."""
        names = ("raw", "nights", "exposure_tables")
        said = options(production=self.directory, **{name: self.settings[name] for name in names})
        return literal(f"{said} --frozen {shlex.quote(json.dumps(frozen(self.settings)))}")

    @property
    def fetch_options(self) -> str:
        """Options of the program that fetches raw data."""
        said = {"archive": self.settings["raw_archive"], "tables": self.settings["exposure_tables"]}
        return literal(options(**said, raw=self.settings["raw"], **{name: self.settings[name] for name in CHOICES}))

    @property
    def template_options(self) -> str:
        """Options of the program that checks redrock's templates."""
        said = self.settings["options"]["redshift"]
        return options(templates=self.settings["redshift_templates"], any_version=said["any_version"])

    @property
    def night_directories(self) -> list[str]:
        """Those of the raw data: a new exposure makes one newer."""
        nights = self.settings["nights"]
        raw = self.settings["raw"]
        found = Path(raw).iterdir() if raw and Path(raw).is_dir() else ()
        return sorted(
            str(path)
            for path in found
            if path.name.isdigit() and len(path.name) == 8 and (nights is None or int(path.name) in nights)
        )

    @functools.cached_property
    def raw_files(self) -> str:
        """Digest of which raw files there are, with their sizes: one that comes late need not make its night newer.

        It is "" where a rule writes or fetches them.
        """
        if self.is_demo or self.settings["raw_archive"]:
            return ""
        found = (path for night in self.night_directories for path in Path(night).glob("*/*.fits*"))
        return digest_of(" ".join(f"{path}:{path.stat().st_size}" for path in sorted(found)))

    @functools.cached_property
    def production(self) -> Production:
        """The production. Until its tables are there, an input function that asks for it is called again."""
        self._find_tables()
        made = Production(self.directory, self.settings)
        made.check_choices()
        return made

    @property
    def tables(self) -> list[str]:
        """The exposure tables of the nights that are asked for."""
        return [str(path) for path in self.production.tables.values()]

    @property
    def asked_for(self) -> list[str]:
        """What of the production is asked for, as text: other choices make another ledger."""
        return [f"{name}: {self.settings[name]}" for name in CHOICES] + [f"qa: {self.quality}"]

    @functools.cached_property
    def _jobs(self) -> dict[str, dict[str, Job]]:
        return {step: {job.name: job for job in self.production.jobs(step, self.batch_seconds)} for step in STEPS}

    @functools.cached_property
    def _job_of(self) -> dict[tuple[str, str], str]:
        """Step and owner → the name of the job."""
        return {
            (step, owner): job.name
            for step, jobs in self._jobs.items()
            for job in jobs.values()
            for owner in job.owners
        }

    @functools.cached_property
    def _tasks(self) -> list[Any]:
        return self.production.tasks()

    @functools.cached_property
    def _needs(self) -> dict[tuple[str, str], set[tuple[str, str]]]:
        """Step and owner → steps and owners that its tasks need."""
        made: dict[tuple[str, str], set[tuple[str, str]]] = {}
        for task in self._tasks:
            step = STEP_OF[task.key.kind].name
            needed = made.setdefault((step, task.key.owner), set())
            needed.update((STEP_OF[key.kind].name, key.owner) for key in (*task.needs, *task.some_of))
            needed.discard((step, task.key.owner))
        return made

    def _job(self, step: str, name: str) -> Job:
        return self._jobs[step].get(name) or self.production.job(step, name)

    def done(self, step: str, job: str) -> str:
        """Return the file that says that a job has ended; with ``{job}`` it is a rule's output."""
        return self.path(f"tasks/jobs/{step}/{job}.json")

    def before(self, step: str, job: str, *, to_do: bool) -> list[str]:
        """Return the files of the jobs that a job needs, if it has tasks that are to be run, or if it has none."""
        done = self.done(step, job)
        if to_do != (done in self._stale or not Path(done).exists()):
            return []
        owners = self._job(step, job).owners
        needed = {one for owner in owners for one in self._needs.get((step, owner), ())}
        # Of exposures that this run does not choose there are no jobs: what has been done of them is used.
        jobs = {(name, self._job_of[name, owner]) for name, owner in needed if (name, owner) in self._job_of}
        return sorted(filter(self._is_asked_for, (self.done(name, one) for name, one in jobs)))

    def all_done(self) -> list[str]:
        """Return the files of all jobs; those with tasks that are to be run are done again."""
        self._force(path for path in sorted(self._stale) if Path(path).exists())
        self._announce()
        return [
            *filter(self._is_asked_for, (self.done(step, job) for step, jobs in self._jobs.items() for job in jobs))
        ]

    @property
    def by_hand(self) -> list[str]:
        """The file that is as old as the last change of records beside the workflow, if there was one."""
        path = self.directory / BY_HAND
        return [str(path)] if path.exists() else []

    @functools.cached_property
    def judged(self) -> dict[Key, Judged]:
        """How every task stands."""
        records = Records(self.directory)
        return judge_all(self._tasks, records, self.production.commands.listed(), again=self.settings["again"])

    @functools.cached_property
    def _stale(self) -> set[str]:
        """Files of the jobs that have tasks that are to be run."""
        return self._with_tasks(READY)

    @functools.cached_property
    def _left(self) -> set[str]:
        """Files of the jobs that have tasks that have not ended."""
        return self._with_tasks(READY, WAITING)

    def _with_tasks(self, *states: str) -> set[str]:
        found = {(STEP_OF[key.kind].name, key.owner) for key, one in self.judged.items() if one.state in states}
        return {self.done(step, self._job_of[step, owner]) for step, owner in found}

    def _is_asked_for(self, done: str) -> bool:
        """Tell whether a job is a part of the run: not if it never was, as all its tasks were run without Snakemake."""
        return done in self._left or Path(done).exists()

    def _announce(self) -> None:
        """Say once what is to be run again, or for the first time beside what has been done."""
        ready = [key for key, one in self.judged.items() if one.state == READY]
        if self._announced or all(self.judged[key].reason == NEW for key in ready):
            return
        self._announced = True
        counts = ", ".join(f"{kind} {n}" for kind, n in Counter(key.kind for key in ready).items())
        log.warning(f"{self.directory.name}: {len(ready)} tasks are to be run: {counts}")
        units: dict[tuple[str, str], list[str]] = {}
        for key in ready:
            units.setdefault((key.kind, key.owner), []).append(key.unit)
        for (kind, owner), some in [*units.items()][:SHOWN]:
            cameras = [unit for unit in some if len(unit) == 2]
            log.warning(f"  {kind} {owner} {create_camword(cameras) if cameras else ' '.join(some)}".rstrip())

    @property
    def quality(self) -> bool:
        """Whether it is measured how good exposures are."""
        return bool(self.settings["qa"]["enabled"])

    @property
    def limits(self) -> list[str]:
        """The files with the limits of metrics."""
        own = self.settings["qa"]["limits"]
        return [str(CONFIG / LIMITS), *([str(own)] if own else [])]

    def table(self, night: int) -> str:
        """Return the exposure table of a night."""
        return str(self.production.tables[night])

    def done_of_night(self, night: int) -> list[str]:
        """Return the files of the jobs of a night's exposures."""
        jobs = ((step, job) for step, jobs in self._jobs.items() for job in jobs if STEPS[step].per != "pixel")
        return [self.done(step, job) for step, job in jobs if job.partition("-")[0] == str(night)]

    def measured_nights(self, pattern: str) -> list[str]:
        """Return a file for each night: ``…/qa-night-{night}.json``, filled in."""
        return [pattern.replace("{night}", str(night)) for night in self.production.nights]

    @property
    def has_pixels(self) -> bool:
        """Whether there will be coadds."""
        return bool(self._jobs["spectra"])

    def n_tasks(self, step: str, job: str) -> int:
        """Return how many tasks a job has."""
        owners = self._job(step, job).owners
        return sum(self._n_of.get((step, owner), 0) for owner in owners)

    @functools.cached_property
    def _n_of(self) -> Counter[tuple[str, str]]:
        return Counter((STEP_OF[task.key.kind].name, task.key.owner) for task in self._tasks)

    def cores(self, step: str) -> int:
        """Return how many cores a job of a step may use."""
        most = int(self.settings["cores_per_job"])
        return min(most, self._connections) if self.connections(step) else max(most, 2 if step == "redshift" else 1)

    def connections(self, step: str) -> int:
        """Return how many connections to an archive a job of a step has: one for each task that runs at once."""
        start = self.settings["start_from"]
        fetches = step in start["products"] and is_url(start["production"])
        return min(int(self.settings["cores_per_job"]), self._connections) if fetches else 0

    def mem_mb(self, step: str, threads: int) -> int:
        """Return the memory of a job."""
        return self.production.mem_mb(step, threads)

    def minutes(self, step: str, job: str, threads: int) -> int:
        """Return how long a job may take."""
        return self.production.minutes({step: self.n_tasks(step, job)}, threads)
