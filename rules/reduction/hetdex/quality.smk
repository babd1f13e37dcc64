# How good it all is: residuals of pixels over a month, what drifts over months, and the page.


rule hetdex_residuals:
    input:
        multifits=lambda wildcards: HETDEX_REDUCTION.of_pairing(rules.hetdex_science.output.multifits, wildcards),
    output:
        residuals=directory(HETDEX_REDUCTION.path("residuals/{month}/{ifu}")),
    log:
        f"{LOGS}/hetdex_residuals/{{month}}/{{ifu}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_residuals/{{month}}/{{ifu}}.tsv"
    conda:
        "../../../envs/reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        options=as_it_is(HETDEX_REDUCTION.options("residual_maps")),
    shell:
        f"{RUN}/reduction/hetdex/map_residuals.py "
        "--multifits {input.multifits:q} {params.options} --out {output.residuals:q} 2> {log:q}"
