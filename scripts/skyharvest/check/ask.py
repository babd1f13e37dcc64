"""Ask the archives of all enabled surveys every question, and turn what goes wrong into findings."""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from skyharvest.archive.archive import Archive, is_url
from skyharvest.archive.http.patience import Patience
from skyharvest.check import directory, server
from skyharvest.check.estimate import estimate
from skyharvest.core.errors import ArchiveUnavailable, BudgetSpent, HarvestError
from skyharvest.harvest.check import (
    BUDGET,
    FAILS,
    NO_ANSWER,
    NOT_ASKED,
    Asking,
    Checked,
    EnoughAsked,
    Finding,
    Question,
)
from skyharvest.harvest.rules import Harvest
from skyharvest.surveys import load_harvests
from skyharvest.targets.table import column_of, read_targets

log = logging.getLogger(__name__)

PATIENCE = Patience(tries=2, base_s=0.5, cap_s=1.0, retry_after_cap_s=5.0, connect_s=5.0, read_s=10.0)
"""Of a check: a person waits for it."""

REPORT = "report this line, and what stands above it, to the project: it is a mistake of the check"


def check(config: Mapping[str, Any]) -> Checked:
    """Ask the archives of all enabled surveys.

    Parameters
    ----------
    config
        As `skyharvest.config.load.validate` returns it.

    Raises
    ------
    InputError
        If a survey has no such release, or that has no such archive.
    """
    harvests = load_harvests(config, find_plan=lambda _: "")
    asked = {name: harvest for name, harvest in harvests.items() if harvest.enabled}
    targets = cache(lambda: _read_targets(config))
    findings = [finding for harvest in asked.values() for finding in ask(harvest, targets)]
    return Checked(
        {name: f"{harvest.release.name} at {harvest.list_archive}" for name, harvest in asked.items()}, findings
    )


def ask(harvest: Harvest[Any], targets: Callable[[], Mapping[str, Any]]) -> list[Finding]:
    """Ask the archive of one survey; ``targets`` is `Asking.read_targets`."""
    root = harvest.list_archive
    with Archive(
        root,
        connections=harvest.connections,
        patience=PATIENCE,
        forbidden_is_absent=bool(harvest.section.get("forbidden_is_absent")),
        budget=BUDGET,
    ) as archive:
        asking = Asking(
            survey=harvest.name,
            config=harvest.config,
            release=harvest.release,
            known=harvest.listed,
            archive=archive,
            read_targets=targets,
        )
        if harvest.is_simulated and not Path(root).is_dir():
            means = "the workflow writes this release itself, before it reads it"
            change = "to check it: run first, as with make demo"
            question = "root of the archive"
            told = {"assumed": "a directory", "seen": "nothing", "means": means, "change": change}
            return [asking.found(NOT_ASKED, question, root, **told)]
        return [*answers(asking, _questions(harvest.name, root))]


def _questions(survey: str, root: str) -> dict[str, Question]:
    """Return all questions to an archive."""
    of_every = server.QUESTIONS if is_url(root) else directory.QUESTIONS
    name = f"skyharvest.surveys.{survey}.check"
    if not find_spec(name):
        return dict(of_every)
    own: Any = import_module(name)
    questions = {**of_every, **own.QUESTIONS}
    if hasattr(own, "work"):
        questions["this run"] = lambda asking: estimate(asking, own.work(asking))
    return questions


def answers(asking: Asking, questions: Mapping[str, Question]) -> Iterator[Finding]:
    """Ask questions, in their order; what goes wrong is a finding as well."""
    left = list(questions)
    for name, question in questions.items():
        left.remove(name)
        log.info("%s: %s", asking.survey, name)
        try:
            yield from question(asking)
        except EnoughAsked:
            if left:
                means = "without an answer to the questions before"
                yield asking.found(NOT_ASKED, "what follows", asking.archive.root, seen=", ".join(left), means=means)
            return
        except Exception as error:
            yield _of_error(asking, name, error)


def _of_error(asking: Asking, name: str, error: Exception) -> Finding:
    """Return the finding that a question ended in an error; whether another attempt may help is not confused."""
    verdict, means, change = NOT_ASKED, "not known", REPORT
    if isinstance(error, BudgetSpent):
        means, change = "a check reads no more; the run will", ""
    elif isinstance(error, ArchiveUnavailable):
        verdict, means = NO_ANSWER, "the run would try again and again, and then fail"
        change = "check again later"
    elif isinstance(error, HarvestError | OSError):
        verdict, means, change = FAILS, "the run would find the same, and fail", "as the message says"
    else:
        log.exception("%s: %s", asking.survey, name)
    seen = str(error) if isinstance(error, HarvestError | OSError) else f"{type(error).__name__}: {error}"
    return asking.found(verdict, name, asking.archive.root, assumed="an answer", seen=seen, means=means, change=change)


def _read_targets(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return `Asking.read_targets` of a configuration's CSV."""
    given = config["targets"]
    names = {key: given[key] or None for key in ("healpix", "targetid")}
    table = read_targets(given["csv"], given["ra"], given["dec"], **names, text=given["text"]).table
    columns = {name: table.column(name).to_numpy() for name in ("row", "ra", "dec", "pix16")}
    if given["targetid"]:
        columns["targetid"] = column_of(table, given["targetid"]).to_numpy()
    return columns
