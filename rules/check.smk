# What the archives say, before anything is harvested. Without an output: it is asked anew whenever it is asked for, and
# what it has found stays, also where that is that the run would fail.
rule check:
    log:
        f"{LOGS}/check.log",
    conda:
        "../envs/check.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 2000,
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        config=as_it_is(json.dumps(config)),
    shell:
        f"{RUN}/run/check.py " "--config {params.config:q} 2> {log:q}"
