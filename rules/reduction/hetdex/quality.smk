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
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        options=as_it_is(HETDEX_REDUCTION.options("residual_maps")),
    shell:
        f"{RUN}/reduction/hetdex/map_residuals.py "
        "--multifits {input.multifits:q} {params.options} --out {output.residuals:q} 2> {log:q}"


rule hetdex_drift:
    input:
        biases=lambda wildcards: HETDEX_REDUCTION.all_calibrations(rules.hetdex_bias.output.bias),
        traces=lambda wildcards: HETDEX_REDUCTION.all_calibrations(rules.hetdex_trace.output.trace),
        wavelengths=lambda wildcards: HETDEX_REDUCTION.all_calibrations(rules.hetdex_twilight.output.wavelength),
        amp_to_amps=lambda wildcards: HETDEX_REDUCTION.all_months(rules.hetdex_amp_to_amp.output.amp_to_amp),
    output:
        drift=HETDEX_REDUCTION.path("drift.csv"),
    log:
        f"{LOGS}/hetdex_drift.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_drift.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        # Products of years have more names than a command may have.
        reduction=as_it_is(str(HETDEX_REDUCTION.layout.directory)),
    shell:
        f"{RUN}/reduction/hetdex/measure_drift.py " "--reduction {params.reduction:q} --out {output.drift:q} 2> {log:q}"
