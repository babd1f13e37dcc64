"""What the rules of a survey ask: which files, which units a job deals with, how much, and the options of its command.

Without Snakemake, and light: it is imported whenever the workflow is parsed. A survey's own answers are in its module
``rules``, as a subclass of `Harvest`.
"""

import hashlib
import logging
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from skyharvest.archive.archive import is_url
from skyharvest.core.errors import InputError
from skyharvest.harvest import not_selected
from skyharvest.harvest.batches import LAYOUT, divide, name_of, pixels_of
from skyharvest.harvest.demo import DEMO, DEMO_CSV
from skyharvest.harvest.done import Done, note_begun
from skyharvest.harvest.manifest import NAME as MANIFEST
from skyharvest.harvest.manifest import read_manifest
from skyharvest.harvest.plan import Plan, Unit, recorded
from skyharvest.harvest.releases import ArchivedRelease
from skyharvest.harvest.survey import Survey

log = logging.getLogger(__name__)

R = TypeVar("R", bound=ArchivedRelease)

SECONDS_OVER_NETWORK = 0.05
"""What a file takes beyond the seconds of a local one: its bytes, and its share of round trips, for others wait too."""


def options(**settings: Any) -> str:
    """Return settings as options of a command, quoted for a shell: ``min_flag=2`` → ``--min-flag 2``.

    True gives the option alone, None and False nothing; all values of a list follow the option. A value that looks like
    an option itself is joined to its own: ``ra="-x"`` → ``--ra=-x``.
    """
    words = []
    for name, value in settings.items():
        if value is not None and value is not False:
            option = f"--{name.replace('_', '-')}"
            values = [] if value is True else value if isinstance(value, list | tuple) else [value]
            quoted = [shlex.quote(str(one)) for one in values]
            words += [f"{option}={quoted[0]}"] if str(value).startswith("-") else [option, *quoted]
    return " ".join(words)


def literal(text: str) -> str:
    """Return a text as it is to stand in a rule's shell command, in which braces are names to fill in."""
    return text.replace("{", "{{").replace("}", "}}")


class Harvest(Generic[R]):
    """A survey's part of a run.

    Parameters
    ----------
    config
        As `skyharvest.config.load.validate` returns it.
    find_plan
        Returns the path of ``plan.csv``, once it is there.
    force
        Makes this run do the jobs of these outputs again.
    meaning
        Attributes `skyharvest.harvest.manifest.MEANING` that the assembled files are to have.

    Attributes
    ----------
    resource
        Snakemake's name for the connections to the survey's archive.
    load_release
        Returns the release of a name.
    products_by_row
        Files in ``root`` that are made when they are asked for, and name rows of the CSV.
    whole_files
        Whether its files can only be read whole, so that they are downloaded first.
    seconds_per_file, seconds_per_target
        What extracting and assembling take, about: they size batches.
    root, extracted, assembled, resources
        Directories: of its results, and in it of extracted files; of assembled files; of the release's list of files.
    archive, list_archive
        Directory or URL that its files are read from, and that the release's list of them is.
    copied
        The list of what was copied before it is read, if that is done.
    not_selected
        The file of its plan that tells which rows only other files have; none of a survey without choices.
    downloads
        Directory for files that are downloaded whole; None where their rows are read from the archive.
    """

    resource: ClassVar[str]
    load_release: ClassVar[Any]  # a function of the name
    products_by_row: ClassVar[tuple[str, ...]] = ()
    whole_files: ClassVar[bool] = False
    seconds_per_file: ClassVar[float] = 0.05
    seconds_per_target: ClassVar[float] = 0.005

    def __init__(
        self,
        survey: Survey,
        release: R,
        config: Mapping[str, Any],
        find_plan: Callable[[], str],
        force: Callable[[Iterable[str]], None],
        *,
        meaning: Mapping[str, str],
    ) -> None:
        self.survey, self.name, self.release = survey, survey.name, release
        self.config, self.section = config, config[survey.name]
        self.enabled: bool = self.section["enabled"]
        self.root = f"{config['results']}/{self.name}"
        self.extracted = f"{self.root}/extracted"
        self.assembled = f"{config['results']}/{self.name}_crossmatches"
        self.copied: list[str] = []
        self.resources = f"resources/{self.name}/{release.name}"
        self.account = [f"{self.root}/{name}" for name in ("ledger.csv", "summary.json", MANIFEST)]
        whole = self.whole_files or self.section.get("transfer") == "files"
        self.downloads = f"{self.root}/downloads" if whole else None
        self.archive = self.list_archive = self._archive()
        self.not_selected = [f"{self.root}/{not_selected.NAME}"] if survey.choices else []
        self._find_plan, self._force, self._meaning = find_plan, force, meaning
        self._last: bool | None = None
        self._divided: tuple[Plan | None, dict[str, list[int]]] = (None, {})
        self._announced: Plan | None = None
        self._done: Done | None = None
        self._begun = False

    @classmethod
    def release_of(cls, section: Mapping[str, Any]) -> R:
        """Return the release that the survey's section of a configuration asks for."""
        release: R = cls.load_release(section["release"])
        return release

    def _archive(self) -> str:
        return self.release.root(self.section["archive"])

    @property
    def settings(self) -> str:
        """Options of its program that harvests that change what comes out."""
        raise NotImplementedError

    @property
    def known(self) -> str | None:
        """Path of a file that the archive has for certain: where that is absent, nothing is recorded as absent."""
        raise NotImplementedError

    @property
    def listed(self) -> str:
        """Path, below `list_archive`, of the release's list of its files."""
        return self.known or ""

    @property
    def is_simulated(self) -> bool:
        """Whether its archive is the demo's, which a rule writes first."""
        return self.archive == f"{DEMO}/{self.name}"

    @property
    def over_network(self) -> bool:
        """Whether its archive is reached over the network."""
        return is_url(self.archive)

    @property
    def connections(self) -> int:
        """Connections that may be open to its archive, over all jobs together."""
        return int(self.config["connections"])

    def connections_per_job(self, jobs: int) -> int:
        """Return how many of them each of so many jobs that run at once may open; 0 where there is no network."""
        return max(1, self.connections // jobs) if self.over_network else 0

    def options(self, *names: str) -> str:
        """Return settings of the survey's section as options of the same names."""
        return options(**{name: self.section[name] for name in names})

    @property
    def source_options(self) -> str:
        """Options of every program that reads its archive, for a shell command: as params they would be outcomes."""
        return literal(options(archive=self.archive, server_notes=f"{self.config['results']}/logs/servers.json"))

    @property
    def job_options(self) -> str:
        """Options of its program that harvests that do not change what comes out, for a shell command."""
        said = options(
            download=self.downloads,
            again=self.section["read_again"],
            known=self.known,
            forbidden_is_absent=self.section.get("forbidden_is_absent"),  # a survey may do without
            journal=f"{self.config['results']}/logs/extract_{self.name}.csv",
            extracted=self.extracted,
            assembled=self.assembled,
        )
        return literal(said)

    @property
    def plan(self) -> Plan:
        """Its plan. Until that is there, an input function that asks for it is called again."""
        return self.survey.read_plan(self._find_plan())

    @property
    def batches(self) -> dict[str, list[int]]:
        """Name of each batch (`skyharvest.harvest.batches`) → its NSIDE=16 pixels."""
        return self.batches_of(self.plan)

    def batches_of(self, plan: Plan) -> dict[str, list[int]]:
        """Return those of a plan."""
        if self._divided[0] is not plan:
            seconds = {pix16: self._seconds(plan, pix16) for pix16 in plan.searched}
            self._divided = (plan, divide(seconds, float(self.config["batch_seconds"])))
        return self._divided[1]

    def _seconds(self, plan: Plan, pix16: int) -> float:
        """Return about how long a job takes for an NSIDE=16 pixel; it sizes batches, no more."""
        per_file = self.seconds_per_file + (SECONDS_OVER_NETWORK if self.over_network else 0)
        units = plan.searched[pix16]
        return sum(per_file * len(plan.files[unit]) + self.seconds_per_target * plan.n_targets[unit] for unit in units)

    def batch(self, wildcards: Any) -> str:
        """Return the name of a job's batch: of its one NSIDE=16 pixel, if a person asks for that."""
        return name_of(wildcards.pix16) if hasattr(wildcards, "pix16") else str(wildcards.batch)

    def pixels(self, wildcards: Any = None) -> list[int]:
        """Return the NSIDE=16 pixels of a job: of its batch, its one pixel, or all.

        Raises
        ------
        InputError
            If the plan has none of them.
        """
        searched = self.plan.searched
        pixels = list(searched) if wildcards is None else pixels_of(self.batch(wildcards), searched)
        if not pixels and wildcards is not None:
            raise InputError(f"{self.root}/plan.csv has no NSIDE=16 pixel in batch {self.batch(wildcards)}")
        return pixels

    def units(self, wildcards: Any = None) -> list[Unit]:
        """Return the units that are searched for the targets of a job's pixels."""
        return self.plan.units(self.pixels(wildcards))

    def n_targets(self, wildcards: Any) -> list[int]:
        """Return the number of targets that a job looks for, for each of its units."""
        n_targets = self.plan.n_targets
        return [n_targets[unit] for unit in self.units(wildcards)]

    def n_targets_of_pixels(self, wildcards: Any) -> list[int]:
        """Return the number of targets that are looked for, for each NSIDE=16 pixel of a job."""
        plan = self.plan
        return [sum(plan.n_targets[unit] for unit in plan.searched[pix16]) for pix16 in self.pixels(wildcards)]

    def digest(self, wildcards: Any) -> str:
        """Return a digest of what a job is done for, 16 hex digits: where that differs, it is done again.

        It is of the targets and files of its units, of how they are extracted (the settings, and `LAYOUT`), and of the
        CSV and the settings of the assembled files.
        """
        return self._digest(self.pixels(wildcards))

    def _digest(self, pixels: list[int]) -> str:
        plan = self.plan
        of_units = [(unit, plan.digest[unit], plan.files[unit]) for unit in plan.units(pixels)]
        # The demo's CSV is made by a rule: before its first run, nobody knows its content.
        meaning = dict(self._meaning)
        if self.config["targets"]["csv"] == DEMO_CSV:
            meaning["csv_sha256"] = ""
        how = (LAYOUT, self.release.name, self.settings, *meaning.values())
        return hashlib.blake2b(f"{pixels} {of_units} {how}".encode(), digest_size=8).hexdigest()

    def minutes(self, wildcards: Any, targets: int, whole: int, rows: int) -> int:
        """Return how long a job may take at a slow hour of the archive.

        Parameters
        ----------
        targets
            So many are dealt with in a minute.
        whole, rows
            Minutes for each unit, when files are downloaded, and when their rows are read.
        """
        counts = self.n_targets(wildcards)
        return 20 + sum(counts) // targets + (whole if self.downloads else rows) * len(counts)

    def assembled_file(self, pix16: int | str) -> str:
        """Return the assembled file of an NSIDE=16 pixel."""
        return str(self.survey.crossmatch(Path(self.assembled), int(pix16)))

    @property
    def pixel_files(self) -> set[str]:
        """Names of what stands in the directory of an NSIDE=16 pixel, with these settings."""
        return {Path(self.assembled_file(0)).name}

    def assembled_files(self, pixels: Iterable[int]) -> list[str]:
        """Return the assembled files of NSIDE=16 pixels, as far as the plan has them."""
        searched = self.plan.searched
        return [self.assembled_file(pix16) for pix16 in pixels if pix16 in searched]

    def list_of(self, batch: str) -> str:
        """Return the list of a batch: the output of its job, which also makes the files of its units and pixels."""
        return str(self.survey.listed(Path(self.extracted), batch))

    def harvested(self, pixels: Iterable[int] | None = None) -> list[str]:
        """Return the files that tell that NSIDE=16 pixels, or all, are harvested: the lists of their batches.

        Batches that are stale are forced: that leaves no trace, so that nothing is to be done once they are well. Where
        results are of another run, its plan is made again. Where there will be a new ledger, which needs the extracted
        files, those of which one is not there are forced as well.
        """
        if pixels is None and not self._is_current():
            self._force([f"{self.root}/plan.csv"])
            targets = Path(f"{self.config['results']}/targets/targets.parquet")
            if targets.exists() and self._meaning["csv_sha256"] not in ("", recorded().csv_of(targets)):
                self._force([str(targets)])
        wanted = None if pixels is None else set(pixels)
        batches = [batch for batch, within in self.batches.items() if wanted is None or not wanted.isdisjoint(within)]
        done = self._of_earlier_runs()
        if pixels is None and (not Path(self.account[0]).exists() or any(map(done.is_to_do, batches))):
            done.want_extracted()
        self._force(self.list_of(batch) for batch in batches if done.is_stale(batch))
        if pixels is None and self._announced is not self.plan:
            self._announced = self.plan
            self._announce_reading(done.n_bare())
        return [self.list_of(batch) for batch in batches]

    def alone(self, wildcards: Any) -> list[str]:
        """Return no file; force that of the one NSIDE=16 pixel that a person asks for, if it is of another run.

        Snakemake does not know what it was made for: batches make it, too.
        """
        pixels = self.pixels(wildcards) if hasattr(wildcards, "pix16") else []
        there = [path for path in map(Path, map(self.assembled_file, pixels)) if path.exists()]
        self._force(str(path) for path in there if recorded().meaning_of(path) != self._meaning)
        return []

    def _of_earlier_runs(self) -> Done:
        plan = self.plan
        if self._done is None or self._done.plan is not plan:
            self._done = Done(
                self.survey,
                plan,
                self.batches_of(plan),
                extracted=Path(self.extracted),
                assembled=Path(self.assembled),
                pixel_files=self.pixel_files,
                digest=self._digest,
                meaning=self._meaning,
                again=self.section["read_again"],
                begun=self._begun,
            )
        return self._done

    def _announce_reading(self, n_bare: int) -> None:
        if n_bare:
            log.warning(
                f"{self.survey.title}: {n_bare} {self.survey.unit}s have other targets or settings than when their "
                f"{self.survey.product} were removed (keep_extracted: false). What is needed of them is read again "
                f"from {self.archive}."
            )

    def _is_current(self) -> bool:
        """Tell whether what the last run has left is of this CSV and these settings; also true if it left nothing.

        Snakemake knows that as well, unless its notes are gone, or in another working directory.
        """
        if self._last is None:
            results = Path(self.config["results"])
            names = (MANIFEST, str(Path(MANIFEST).with_suffix(".previous.json")))
            read = (read_manifest(results, self.name, name) for name in names)
            last = next((manifest for manifest in read if manifest is not None), None)
            self._last = last is None or all(getattr(last, key) == value for key, value in self._meaning.items())
        return self._last

    def begin(self, begun: Collection[Path], *, forced: bool = False) -> None:
        """Prepare for jobs: one that is done again because something is not well is not asked for anew.

        Parameters
        ----------
        begun
            Real paths of outputs of jobs that an earlier run began, and did not end.
        forced
            Whether a person forces the jobs.
        """
        self._begun = not forced
        if self._done is not None:
            self._done.begun = self._begun
        stale = self._done.stale if self._done is not None else set()
        note_begun(Path(self.list_of("")).parent, stale, begun, forced=forced)

    def products(self, _wildcards: Any = None) -> list[str]:
        """Return what the configuration asks for of the survey beside its ledger: files that need no plan."""
        return []


def pixels_of_spectra(harvests: Iterable[Harvest[Any]]) -> list[int]:
    """Return the NSIDE=16 pixels where a survey of spectra is searched.

    Raises
    ------
    InputError
        If no survey of spectra is asked for.
    """
    of_spectra = [harvest for harvest in harvests if harvest.survey.product == "spectra"]
    if not any(harvest.enabled for harvest in of_spectra):
        names = " or ".join(f"`{harvest.name}: enabled: true`" for harvest in of_spectra)
        raise InputError(f"`browse` makes pages of spectra: set {names}")
    # All plans, before there are jobs that ask for one: Snakemake would start them without what it adds.
    searched = {harvest.name: harvest.plan.searched for harvest in harvests if harvest.enabled}
    return sorted({pix16 for harvest in of_spectra for pix16 in searched.get(harvest.name, ())})
