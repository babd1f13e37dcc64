# The report: one page on what was harvested, and its figures, which Snakemake's own --report shows as well.


rule write_report:
    input:
        ledgers=[f"{RESULTS}/{survey}/ledger.csv" for survey in ON],
        summaries=[f"{RESULTS}/{survey}/summary.json" for survey in ON],
        plans=[f"{RESULTS}/{survey}/plan.csv" for survey in ON],
    output:
        **annotated_figures(),
        page=f"{REPORT}/index.html",
    log:
        f"{LOGS}/write_report.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (600 + 20 * int(input.size_mb)),
        runtime=lambda wildcards, input, attempt: attempt * (10 + int(input.size_mb)),
    params:
        config=json.dumps(config),
        figures=lambda wildcards, output: Path(output.page).with_name("figures"),
    shell:
        f"{RUN}/run/report.py --config-hash {CONFIG_HASH} "
        "--config {params.config:q} --out {output.page:q} --figures {params.figures:q} 2> {log:q}"


rule report:
    input:
        rules.write_report.output,
    localrule: True
