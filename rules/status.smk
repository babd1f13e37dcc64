# What a run leaves for `make status`: who runs it, and a journal of the coadds that have been dealt with. And that a run
# which fails says what is missing, and leaves no ledger that says otherwise.
from snakemake.logging import logger

from skyharvest import missing, runs

REPORT = f"--journal {shlex.quote(f'{LOGS}/extract_desi.csv')} --plan {shlex.quote(f'{RESULTS}/desi/plan.csv')}"
MISSING = Path(RESULTS, "desi", "missing.csv")


onstart:
    # Snakemake locks its working directory, and not the results, which two directories may share.
    other = runs.load(Path(LOGS))
    if other is not None and other.directory != str(Path.cwd()) and runs.is_alive(other):
        raise WorkflowError(
            f"{RESULTS} is being written by another run: process {other.pid}, in {other.directory}. Wait for its end, "
            f"or stop it: kill -INT {other.pid}"
        )
    runs.begin(
        Path(LOGS),
        next(iter(log), ""),
        release=RELEASE.name,
        simulated=LIST_ARCHIVE == DEMO or config["targets"]["csv"].startswith(f"{DEMO}/"),
        enabled=config["desi"]["enabled"],
        copied=COPY_FIRST,
    )
    if not workflow.touch and any(job.rule.name == "account_desi" for job in workflow.dag.needrun_jobs()):
        for name in ("ledger.csv", "summary.json"):
            missing.set_aside(Path(RESULTS, "desi", name))


onsuccess:
    runs.end(Path(LOGS), runs.FINISHED)
    if Path(RESULTS, "desi", "ledger.csv").exists():
        MISSING.unlink(missing_ok=True)


onerror:
    runs.end(Path(LOGS), runs.FAILED)
    if Path(RESULTS, "desi", "plan.csv").exists():
        plan = read_plan(f"{RESULTS}/desi/plan.csv")
        left = missing.find_missing(plan, Path(EXTRACTED), Path(LOGS, "extract_desi.csv"))
        if left:
            missing.write_missing(MISSING, left)
            logger.error(missing.show(left, len(plan.coadds), MISSING))
