"""What no type can say of a configuration: how its keys go together, and whether what they name is there.

Snakemake imports this module whenever it parses the workflow: it stays light.
"""

from collections.abc import Collection, Iterator
from importlib import import_module
from typing import Any

from skyharvest import surveys
from skyharvest.config import settings
from skyharvest.core.settings import describe, leaves
from skyharvest.core.words import show
from skyharvest.harvest.releases import load_registry
from skyharvest.harvest.settings import Given, Problem, release_problems


def cross_problems(config: dict[str, Any], bad: Collection[str]) -> Iterator[Problem]:
    """Yield what is wrong between keys, or beyond the reach of types.

    Parameters
    ----------
    config
        With every key filled in.
    bad
        Dotted keys that are wrong in themselves: they are left out.
    """
    given = Given(config, bad)
    radius, report = given("match.radius_arcsec"), given("match.report_radius_arcsec")
    if radius and report and report < radius:
        yield "match.report_radius_arcsec", f"found {report:g}; expected at least match.radius_arcsec, {radius:g}"
    if given("targets.ra") and given("targets.ra") == given("targets.dec"):
        yield "targets.dec", f"found {given('targets.dec')!r}, the same column as targets.ra"
    if given("targets.name") in surveys.NAMES:
        group = show(given("targets.name"))
        yield "targets.name", f"found {group}; that is the name of a survey's own group: choose another"
    for key, said in leaves(settings.root()):
        if said.path and "://" in (given(key) or ""):
            yield key, f"found {show(given(key))}; expected a path on this machine"
    registry = load_registry(surveys.NAMES)
    for survey in surveys.NAMES:
        module, of_survey = settings.module(survey), given.of(survey)
        problems = [module.problems(of_survey, registry)] if hasattr(module, "problems") else []
        if "release" in describe(module.Settings):
            kind = import_module(f"{surveys.__name__}.{survey}.release").Release
            problems.append(release_problems(kind, of_survey, registry))
        yield from ((f"{survey}.{key}", text) for some in problems for key, text in some)
