# Exposures of shots: the spectra of all fibers, a job for each pairing; and the sky of the whole field.


rule hetdex_science:
    input:
        plan=ancient(lambda wildcards: rules.plan_hetdex_reduction.output.plan),
        # Which frames there are is a parameter: a list that is as it was makes nothing old.
        frames=ancient(lambda wildcards: HETDEX_REDUCTION.frames(wildcards.shot[:6], wildcards.ifu)),
        bias=lambda wildcards: HETDEX_REDUCTION.calibration(rules.hetdex_bias.output.bias, wildcards),
        trace=lambda wildcards: HETDEX_REDUCTION.calibration(rules.hetdex_trace.output.trace, wildcards),
        flat=lambda wildcards: HETDEX_REDUCTION.calibration(rules.hetdex_flat.output.flat, wildcards),
        wavelength=lambda wildcards: HETDEX_REDUCTION.calibration(rules.hetdex_twilight.output.wavelength, wildcards),
        amp_to_amp=lambda wildcards: HETDEX_REDUCTION.calibration(rules.hetdex_amp_to_amp.output.amp_to_amp, wildcards),
        # Exposures that failed as a file was not there are done again when it is.
        ifucen=lambda wildcards: HETDEX_REDUCTION.ifucen(wildcards.ifu),
    output:
        multifits=directory(HETDEX_REDUCTION.path("science/{shot}/{exposure}/{ifu}")),
    log:
        f"{LOGS}/hetdex_science/{{shot}}/{{exposure}}/{{ifu}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_science/{{shot}}/{{exposure}}/{{ifu}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        frames=lambda wildcards: HETDEX_REDUCTION.digest("science", wildcards.shot, wildcards.exposure, wildcards.ifu),
        options=as_it_is(
            HETDEX_REDUCTION.options(
                "background", "cosmics", "extract", "sky", ifucen=HETDEX_REDUCTION.settings["ifucen"]
            )
        ),
    shell:
        f"{RUN}/reduction/hetdex/extract_exposure.py "
        "--frames {input.frames:q} --shot {wildcards.shot} --exposure {wildcards.exposure} --bias {input.bias:q} "
        "--trace {input.trace:q} --flat {input.flat:q} --wavelength {input.wavelength:q} --amp-to-amp {input.amp_to_amp:q} "
        "{params.options} --out {output.multifits:q} 2> {log:q}"


rule hetdex_full_sky:
    input:
        multifits=lambda wildcards: HETDEX_REDUCTION.of_exposure(rules.hetdex_science.output.multifits, wildcards),
    output:
        sky=directory(HETDEX_REDUCTION.path("full_sky/{shot}/{exposure}")),
    log:
        f"{LOGS}/hetdex_full_sky/{{shot}}/{{exposure}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_full_sky/{{shot}}/{{exposure}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        options=as_it_is(HETDEX_REDUCTION.options("sky")),
    shell:
        f"{RUN}/reduction/hetdex/fit_full_sky.py "
        "--multifits {input.multifits:q} {params.options} --out {output.sky:q} 2> {log:q}"
