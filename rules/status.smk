# What a run leaves for `make status`: who runs it. And that a run which fails says what is missing, and leaves no ledger
# that says otherwise. A check is no run. A workflow that imports this one has to call these three from its own:
# docs/module.md.
from snakemake.logging import logger

from skyharvest.harvest import missing, run_record
from skyharvest.run import superseded


onstart:
    snakemake_state.lift_start_limit(workflow)
    if snakemake_state.is_only(workflow, rules.check.rule):
        return
    # Snakemake locks its working directory, and not the results, which two directories may share.
    other = run_record.load(Path(LOGS))
    if other is not None and other.directory != str(Path.cwd()) and run_record.is_alive(other):
        raise WorkflowError(
            f"{RESULTS} is being written by another run: process {other.pid}, in {other.directory}. Wait for its end, "
            f"or stop it: kill -INT {other.pid}"
        )
    run_record.begin(
        Path(LOGS),
        next(iter(log), ""),
        releases={harvest.name: harvest.release.name for harvest in ENABLED},
        simulated=IN_DEMO or any(harvest.is_simulated for harvest in ENABLED),
        copied=any(harvest.copied for harvest in ENABLED),
        hetdex=HETDEX_REDUCTION.chosen._asdict(),
    )
    begun = snakemake_state.read_begun(Path.cwd())
    for harvest in ENABLED if not workflow.touch else ():
        harvest.begin(begun.keys(), forced=snakemake_state.is_forced(workflow, f"harvest_{harvest.name}"))
    for harvest in HARVESTS.values() if not workflow.touch else ():
        if snakemake_state.is_to_run(workflow, harvest.account[0]):
            for path in harvest.account:
                missing.set_aside(Path(path))


def set_earlier_runs_aside():
    """Move what is of earlier runs; here no job is under way that could be writing, or reading it."""
    if not CSV:
        return
    try:
        for harvest in ENABLED:
            superseded.remove_old_lists(harvest)
        moved = superseded.supersede(Path(RESULTS), HARVESTS, content_digest(CSV), CONFIG_HASH)
    except OSError as error:
        logger.error(f"What earlier runs have left in {RESULTS} cannot be moved aside ({error}): move it yourself.")
    else:
        if moved:
            logger.warning(superseded.show(Path(RESULTS), moved))


onsuccess:
    if snakemake_state.is_only(workflow, rules.check.rule):
        return
    run_record.end(Path(LOGS), run_record.FINISHED)
    set_earlier_runs_aside()
    for harvest in HARVESTS.values():
        if Path(harvest.account[0]).exists():
            Path(harvest.root, "missing.csv").unlink(missing_ok=True)


onerror:
    if snakemake_state.is_only(workflow, rules.check.rule):
        return
    run_record.end(Path(LOGS), run_record.FAILED)
    set_earlier_runs_aside()
    for harvest in ENABLED:
        path = Path(harvest.root, "plan.csv")
        if path.exists():
            plan = harvest.survey.read_plan(str(path))
            left = missing.find_missing(
                plan, harvest.batches_of(plan), Path(harvest.extracted), Path(LOGS, f"extract_{harvest.name}.csv")
            )
            if left:
                logger.error(missing.tell(left, plan, path.with_name("missing.csv")))
