"""How the jobs of HETDEX's reduction stand, from its plan and the files of the run alone."""

from collections import Counter
from pathlib import Path

from skyharvest.reduction.hetdex.layout import Layout
from skyharvest.reduction.hetdex.places import jobs
from skyharvest.reduction.hetdex.plan import read_plan
from skyharvest.reduction.hetdex.steps import Chosen, rule_of
from skyharvest.run.jobs import Jobs

FINISH = "finish_hetdex_reduction"


def count_hetdex_jobs(results: Path, tracked: Jobs, chosen: Chosen) -> dict[str, tuple[str, Counter[str]]]:
    """Return, by rule, what a job of it makes, and how many are in each state; nothing if there is no plan.

    A job is ``ready`` once those of the step before are done, whatever they were about.
    """
    layout = Layout(results / "reduction" / "hetdex")
    if not layout.plan.exists():
        return {}
    counts: dict[str, Counter[str]] = {}
    before: dict[str, bool] = {}
    for step, place in jobs(read_plan(layout.plan), chosen):
        rule, product = rule_of(step), place.product(step, layout, chosen.release)
        ready = all(done for other, done in before.items() if other != rule)
        name, log = " ".join((rule, *place.parts(step))), results / "logs" / place.log(step)
        counts.setdefault(rule, Counter())[tracked.state(name, [product], log, ready=ready)] += 1
        before[rule] = before.get(rule, True) and product.exists()
    finished = tracked.state(
        FINISH,
        [layout.directory / "complete.json"],
        results / "logs" / f"{FINISH}.log",
        ready=all(before.values()),
    )
    counts[FINISH] = Counter({finished: 1})
    return {rule: ("job", states) for rule, states in counts.items()}
