# A rule for each step. A job has the tasks of some exposures, of a night, or of some HEALPix pixels: each task is a
# command of desispec, or of ours, in a process of its own. Its files are no outputs: Snakemake would remove all of a job
# where one task fails, and one that failed holds up only what needs it. What failed is in the ledger.
from skyharvest.reduction.desi.steps import STEPS


rule check_redshift_templates:
    input:
        simulated=rules.simulate_desi_night.output.exposures if DESI_REDUCTION.is_demo else [],
    output:
        found=DESI_REDUCTION.path("redshift_templates.json"),
    log:
        f"{LOGS}/check_redshift_templates.log",
    benchmark:
        f"{BENCHMARKS}/check_redshift_templates.tsv"
    conda:
        "../../../envs/desi_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        templates=as_it_is(DESI_REDUCTION.template_options),
    shell:
        f"{RUN}/reduction/desi/check_redrock_templates.py " "{params.templates} --out {output.found:q} 2> {log:q}"


for name in STEPS:

    rule:
        name:
            f"desi_{name}"
        input:
            tables=ancient(rules.desi_exposure_tables.output.tables),
            templates=rules.check_redshift_templates.output.found if name == "redshift" else [],
            before=lambda wildcards, step=name: DESI_REDUCTION.before(step, wildcards.job, to_do=True),
            # Of a job without tasks to be run: that one of these is done again does not make it old.
            kept=ancient(lambda wildcards, step=name: DESI_REDUCTION.before(step, wildcards.job, to_do=False)),
        output:
            done=DESI_REDUCTION.done(name, "{job}"),
        log:
            f"{LOGS}/desi_{name}/{{job}}.log",
        benchmark:
            f"{BENCHMARKS}/desi_{name}/{{job}}.tsv"
        conda:
            "../../../envs/desi_reduction.yaml"
        threads: DESI_REDUCTION.cores(name)
        resources:
            archive=DESI_REDUCTION.connections(name),
            mem_mb=lambda wildcards, threads, attempt, step=name: attempt * DESI_REDUCTION.mem_mb(step, threads),
            runtime=lambda wildcards, threads, attempt, step=name: attempt
            * DESI_REDUCTION.minutes(step, wildcards.job, threads),
        params:
            step=name,
        shell:
            f"{RUN}/reduction/desi/run_step.py "
            f"{{params.step}} --job {{wildcards.job}} {DESI_REDUCTION.program_options} "
            "--workers {threads} --done {output.done:q} 2> {log:q}"
