# How good the production is: metrics of all frames, which the step qa has measured, by night and as a whole. They are
# collated whether tasks failed or not, before the run says so.


rule desi_qa_night:
    input:
        # What was done again may be good or bad for another reason.
        done=lambda wildcards: DESI_REDUCTION.done_of_night(int(wildcards.night)),
        table=lambda wildcards: DESI_REDUCTION.table(int(wildcards.night)),
        limits=DESI_REDUCTION.limits,
    output:
        metrics=DESI_REDUCTION.path("QA/{night}/qa-night-{night}.json"),
    log:
        f"{LOGS}/desi_qa_night/{{night}}.log",
    benchmark:
        f"{BENCHMARKS}/desi_qa_night/{{night}}.tsv"
    conda:
        "../../../envs/desi_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 15 * attempt,
    shell:
        f"{RUN}/reduction/desi/collate_night.py {DESI_REDUCTION.program_options} "
        "--night {wildcards.night} --out {output.metrics:q} 2> {log:q}"


rule desi_qa_production:
    input:
        nights=lambda wildcards: DESI_REDUCTION.measured_nights(rules.desi_qa_night.output.metrics),
        limits=DESI_REDUCTION.limits,
    output:
        metrics=DESI_REDUCTION.path("QA/qa-production.json"),
    log:
        f"{LOGS}/desi_qa_production.log",
    benchmark:
        f"{BENCHMARKS}/desi_qa_production.tsv"
    conda:
        "../../../envs/desi_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 15 * attempt,
    shell:
        f"{RUN}/reduction/desi/collate_production.py {DESI_REDUCTION.program_options} "
        "--out {output.metrics:q} 2> {log:q}"
