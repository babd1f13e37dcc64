"""What a survey's run has left, read once for the report."""

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skyharvest.harvest.journal import Line, Read, read_journal
from skyharvest.harvest.manifest import NAME as MANIFEST
from skyharvest.harvest.manifest import Manifest, read_manifests
from skyharvest.harvest.origin import origin_of
from skyharvest.harvest.plan import Plan
from skyharvest.harvest.survey import Survey
from skyharvest.report.columns import Columns, read_columns
from skyharvest.report.files import read_files
from skyharvest.report.ledger import Rows, read_ledger, read_summary
from skyharvest.surveys import SURVEYS


@dataclass
class Harvested:
    """What a survey's run has left.

    Attributes
    ----------
    files
        The journal's lines of the plan's files.
    manifests
        By survey, of all that the results have.
    """

    results: Path
    config: Mapping[str, Any]
    rows: Rows
    summary: dict[str, Any]
    survey: Survey
    plan: Plan
    journal: Read
    files: list[Line]
    columns: Columns
    manifests: Mapping[str, Manifest]

    @property
    def manifest(self) -> Manifest:
        """What belongs to the survey's run."""
        return self.manifests[self.name]

    def page(self, pix16: int) -> str:
        """Return the name of the page of a pixel's spectra; "" if there is none of this run."""
        name = f"healpix={pix16}.html"
        path = self.results / "report" / name
        origin = origin_of(path) if path.exists() else None
        return name if origin is not None and origin.belongs(self.manifests) else ""

    @property
    def name(self) -> str:
        """The survey's key in the configuration."""
        return self.survey.name

    @property
    def title(self) -> str:
        """The survey's name as people write it."""
        return self.survey.title

    def crossmatch(self, pix16: int) -> Path:
        """Return where the assembled file of an NSIDE=16 pixel stands."""
        return self.survey.crossmatch(self.results / f"{self.name}_crossmatches", pix16)


def read_harvest(name: str, results: Path, config: Mapping[str, Any]) -> Harvested:
    """Read what a survey's run has left.

    Parameters
    ----------
    config
        As `skyharvest.config.load.validate` returns it.

    Raises
    ------
    FileNotFoundError
        If the survey has no ledger, summary, manifest or plan yet.
    MalformedFile
        If one of these is not what it should be.
    """
    root, survey = results / name, SURVEYS[name]
    rows, summary = read_ledger(root / "ledger.csv", f"n_{survey.product}"), read_summary(root / "summary.json")
    plan = survey.read_plan(str(root / "plan.csv"))
    journal = read_journal(results / "logs" / f"extract_{name}.csv")
    crossmatches = results / f"{name}_crossmatches"
    manifests = read_manifests(results, SURVEYS)
    if name not in manifests:
        raise FileNotFoundError(errno.ENOENT, "there is no manifest", str(root / MANIFEST))
    paths = [survey.crossmatch(crossmatches, pix16) for pix16 in plan.searched]
    return Harvested(
        results=results,
        config=config,
        rows=rows,
        summary=summary,
        survey=survey,
        plan=plan,
        journal=journal,
        files=read_files(survey, plan, journal, summary, root / "extracted"),
        manifests=manifests,
        columns=read_columns(paths, survey.report.columns, survey.report.constants),
    )
