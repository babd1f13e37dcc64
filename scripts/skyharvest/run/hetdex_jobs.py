"""How the jobs of HETDEX's reduction stand, from its plan and the files of the run alone."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from skyharvest.reduction.hetdex.layout import Layout, month_of
from skyharvest.reduction.hetdex.plan import BIAS, SCIENCE, TWILIGHT, read_plan
from skyharvest.reduction.hetdex.steps import CALIBRATIONS, OF_SHOT, RULES
from skyharvest.run.jobs import Jobs

FINISH = "finish_hetdex_reduction"


def count_hetdex_jobs(results: Path, tracked: Jobs) -> dict[str, tuple[str, Counter[str]]]:
    """Return, by rule, what a job of it makes, and how many are in each state; nothing if there is no plan.

    A job is ``ready`` once those of the step before are done, whatever they were about.
    """
    layout = Layout(results / "reduction" / "hetdex")
    if not layout.plan.exists():
        return {}
    counts: dict[str, Counter[str]] = {}
    before: dict[str, bool] = {}
    for rule, parts, product in _jobs(layout):
        ready = all(done for other, done in before.items() if other != rule)
        state = tracked.state(
            " ".join((rule, *parts)), [product], results / "logs" / rule / f"{'/'.join(parts)}.log", ready=ready
        )
        counts.setdefault(rule, Counter())[state] += 1
        before[rule] = before.get(rule, True) and product.exists()
    finished = tracked.state(
        FINISH,
        [layout.directory / "complete.json"],
        results / "logs" / f"{FINISH}.log",
        ready=all(before.values()),
    )
    counts[FINISH] = Counter({finished: 1})
    return {rule: ("job", states) for rule, states in counts.items()}


def _jobs(layout: Layout) -> Iterator[tuple[str, tuple[str, ...], Path]]:
    """Yield the rule of each job, what it is about, and what it makes."""
    plan = read_plan(layout.plan)
    for step in CALIBRATIONS:
        for unit in plan.units:
            if unit.kind == (BIAS if step == "bias" else TWILIGHT):
                month, ifu = str(unit.month), unit.ifu
                product = layout.flat(month, ifu) if step == "flat" else layout.calibration(step, month, ifu)
                yield RULES.get(step, f"hetdex_{step}"), (month, ifu), product
    for month in dict.fromkeys(str(unit.month) for unit in plan.units if unit.kind == TWILIGHT):
        yield "hetdex_amp_to_amp", (month,), layout.amp_to_amp(month)
    exposed = [unit for unit in plan.units if unit.kind == SCIENCE]
    for unit in exposed:
        parts = unit.shot, unit.exposure, unit.ifu
        yield "hetdex_science", parts, layout.science(*parts)
    for shot, exposure in dict.fromkeys((unit.shot, unit.exposure) for unit in exposed):
        yield "hetdex_full_sky", (shot, exposure), layout.full_sky(shot, exposure)
    for step in OF_SHOT:
        for shot in dict.fromkeys(unit.shot for unit in exposed):
            yield RULES.get(step, f"hetdex_{step}"), (shot,), layout.of_shot(step, shot)
    for month, ifu in dict.fromkeys((str(month_of(unit.shot)), unit.ifu) for unit in exposed):
        yield "hetdex_residuals", (month, ifu), layout.residuals(month, ifu)
