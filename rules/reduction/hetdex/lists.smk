# Which frames there are, by their place in tar files; and what is to be done with them.


if HETDEX_REDUCTION.is_demo:

    rule simulate_hetdex_month:
        output:
            truth=f"{HETDEX_REDUCTION.demo}/truth.h5",
            stars=f"{HETDEX_REDUCTION.demo}/star_catalogue.fits",
        log:
            f"{LOGS}/simulate_hetdex_month.log",
        benchmark:
            f"{BENCHMARKS}/simulate_hetdex_month.tsv"
        conda:
            "../../../envs/hetdex_reduction.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 1500 * attempt,
            runtime=lambda wildcards, attempt: 10 * attempt,
        shell:
            f"{RUN}/demo/simulate_hetdex_month.py --root {HETDEX_REDUCTION.demo} 2> {{log:q}}"


rule index_hetdex_night:
    input:
        tars=lambda wildcards: (
            rules.simulate_hetdex_month.output.truth
            if HETDEX_REDUCTION.is_demo
            else HETDEX_REDUCTION.tars(wildcards.night)
        ),
    output:
        index=HETDEX_REDUCTION.path("lists/{night}.csv"),
    log:
        f"{LOGS}/index_hetdex_night/{{night}}.log",
    benchmark:
        f"{BENCHMARKS}/index_hetdex_night/{{night}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        raw=as_it_is(HETDEX_REDUCTION.settings["raw"]),
    shell:
        f"{RUN}/reduction/hetdex/index_night.py "
        "--raw {params.raw:q} --night {wildcards.night} --out {output.index:q} 2> {log:q}"


checkpoint plan_hetdex_reduction:
    input:
        lists=HETDEX_REDUCTION.lists,
        known=HETDEX_REDUCTION.known,
    output:
        plan=HETDEX_REDUCTION.path("plan/plan.csv"),
        left_out=HETDEX_REDUCTION.path("plan/left_out.csv"),
    log:
        f"{LOGS}/plan_hetdex_reduction.log",
    benchmark:
        f"{BENCHMARKS}/plan_hetdex_reduction.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        options=as_it_is(HETDEX_REDUCTION.plan_options),
    shell:
        f"{RUN}/reduction/hetdex/make_plan.py "
        "{params.options} --lists {input.lists:q} --plan {output.plan:q} --left-out {output.left_out:q} 2> {log:q}"
