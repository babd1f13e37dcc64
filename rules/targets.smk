# The CSV in, a validated table out.

# `ancient(rules.prepare_targets.output.table)` would make the table old for every rule that reads it: it has a name.
TARGETS = f"{RESULTS}/targets/targets.parquet"


rule prepare_targets:
    input:
        csv=CSV or [],
    output:
        table=TARGETS,
        rejected=f"{RESULTS}/targets/rejected.csv",
        pixels=f"{RESULTS}/targets/pix64.txt",
        counts=f"{RESULTS}/targets/pix64_counts.csv",
    log:
        f"{LOGS}/prepare_targets.log",
    benchmark:
        f"{BENCHMARKS}/prepare_targets.tsv"
    conda:
        "../envs/targets.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (700 + 10 * int(input.size_mb)),
        runtime=lambda wildcards, input, attempt: attempt * (5 + int(input.size_mb) // 50),
    params:
        out_dir=lambda wildcards, output: str(Path(output.table).parent),
        # The CSV's time may lie: of a copy that keeps it, or where a clock was wrong. The demo's is made by a rule.
        content="" if IN_DEMO else CSV_SHA256,
        columns=as_it_is(
            options(**{key: config["targets"][key] or None for key in ("ra", "dec", "healpix", "targetid", "text")})
        ),
    shell:
        f"{RUN}/targets/prepare_targets.py " "{input.csv:q} {params.columns} --out-dir {params.out_dir:q} 2> {log:q}"


rule targets:
    input:
        rules.prepare_targets.output,
    localrule: True


rule plan:
    input:
        [f"{harvest.root}/plan.csv" for harvest in ENABLED],
    localrule: True
