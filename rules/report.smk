# The report: one page on what was harvested, and its figures, which Snakemake's own --report shows as well.
from skyharvest.report.names import TITLES, figures


rule write_report:
    input:
        ledgers=[f"{harvest.root}/ledger.csv" for harvest in ENABLED],
        summaries=[f"{harvest.root}/summary.json" for harvest in ENABLED],
        manifests=[harvest.account[2] for harvest in ENABLED],
        plans=[f"{harvest.root}/plan.csv" for harvest in ENABLED],
    output:
        **{
            f"{survey}_{kind}": report(
                f"{REPORT}/figures/{survey}_{kind}.svg",
                caption=f"../scripts/skyharvest/report/captions/{kind}.rst",
                category=HARVESTS[survey].survey.title if survey in HARVESTS else "Run",
                labels={"figure": TITLES[kind]},
            )
            for survey, kind in figures(harvest.name for harvest in ENABLED)
        },
        page=f"{REPORT}/index.html",
    log:
        f"{LOGS}/write_report.log",
    benchmark:
        f"{BENCHMARKS}/write_report.tsv"
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (600 + 20 * int(input.size_mb)),
        runtime=lambda wildcards, input, attempt: attempt * (10 + int(input.size_mb)),
    params:
        config=as_it_is(json.dumps(config)),
        figures=lambda wildcards, output: Path(output.page).with_name("figures"),
    shell:
        f"{RUN}/run/report.py "
        "--config {params.config:q} --out {output.page:q} --figures {params.figures:q} 2> {log:q}"


rule report:
    input:
        rules.write_report.output,
    localrule: True
