# What a run leaves for `make status`: who runs it, and journals of the files that have been dealt with. And that a run
# which fails says what is missing, and leaves no ledger that says otherwise.
from snakemake.logging import logger

from skyharvest.harvest import missing, run_record


def journal_options(survey):
    """Return the options by which the jobs that extract tell how far they are."""
    return (
        f"--journal {shlex.quote(f'{LOGS}/extract_{survey}.csv')} --plan {shlex.quote(f'{RESULTS}/{survey}/plan.csv')}"
    )


onstart:
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
        releases=releases(config),
        simulated=LIST_ARCHIVE == DEMO or config["targets"]["csv"].startswith(f"{DEMO}/"),
        copied=COPY_FIRST,
    )
    for survey in SURVEYS if not workflow.touch else ():
        if any(job.rule.name == f"account_{survey}" for job in workflow.dag.needrun_jobs()):
            for name in ("ledger.csv", "summary.json"):
                missing.set_aside(Path(RESULTS, survey, name))


onsuccess:
    run_record.end(Path(LOGS), run_record.FINISHED)
    for survey in SURVEYS:
        if Path(RESULTS, survey, "ledger.csv").exists():
            Path(RESULTS, survey, "missing.csv").unlink(missing_ok=True)


onerror:
    run_record.end(Path(LOGS), run_record.FAILED)
    for survey in releases(config):
        root = Path(RESULTS, survey)
        if (root / "plan.csv").exists():
            plan = SURVEYS[survey].read_plan(str(root / "plan.csv"))
            left = missing.find_missing(plan, root / "extracted", Path(LOGS, f"extract_{survey}.csv"))
            if left:
                missing.write_missing(root / "missing.csv", left)
                logger.error(missing.show(left, plan, root / "missing.csv"))
