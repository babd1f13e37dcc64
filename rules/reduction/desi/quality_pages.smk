# The pages of quality: those of a night, of its exposures and cameras; and the first page, over all nights.


rule desi_qa_pages_night:
    input:
        metrics=rules.desi_qa_night.output.metrics,
    output:
        # The rest of the night's directory takes its place with it, whole.
        page=DESI_REDUCTION.path("QA/pages/{night}/index.html"),
    log:
        f"{LOGS}/desi_qa_pages_night/{{night}}.log",
    benchmark:
        f"{BENCHMARKS}/desi_qa_pages_night/{{night}}.tsv"
    conda:
        "../../../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=lambda wildcards, attempt: 15 * attempt,
    params:
        logs=LOGS,
    shell:
        f"{RUN}/reduction/desi/write_qa_night_pages.py {DESI_REDUCTION.program_options} "
        "--night {wildcards.night} --logs {params.logs:q} 2> {log:q}"


rule desi_qa_pages:
    input:
        metrics=rules.desi_qa_production.output.metrics,
        nights=lambda wildcards: DESI_REDUCTION.measured_nights(rules.desi_qa_pages_night.output.page),
    output:
        page=DESI_REDUCTION.path("QA/pages/index.html"),
    log:
        f"{LOGS}/desi_qa_pages.log",
    benchmark:
        f"{BENCHMARKS}/desi_qa_pages.tsv"
    conda:
        "../../../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 15 * attempt,
    params:
        production=as_it_is(str(DESI_REDUCTION.directory)),
    shell:
        f"{RUN}/reduction/desi/write_qa_pages.py " "--production {params.production:q} 2> {log:q}"


rule desi_quality:
    input:
        rules.desi_qa_pages.output.page,
    localrule: True
