# How good it all is: values of all products, judged, by shot and by month; and the pages.


rule hetdex_quality_shot:
    input:
        plan=ancient(lambda wildcards: rules.plan_hetdex_reduction.output.plan),
        multifits=lambda wildcards: HETDEX_REDUCTION.of_shot(rules.hetdex_science.output.multifits, wildcards.shot),
        shot=rules.hetdex_shot.output.shot,
        sources=lambda wildcards: HETDEX_REDUCTION.sources_of(wildcards.shot),
    output:
        quality=HETDEX_REDUCTION.path("quality/shots/{shot}.json"),
    log:
        f"{LOGS}/hetdex_quality_shot/{{shot}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_quality_shot/{{shot}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        reduction=as_it_is(str(HETDEX_REDUCTION.layout.directory)),
        options=as_it_is(HETDEX_REDUCTION.options("quality")),
        chosen=as_it_is(HETDEX_REDUCTION.chosen_options),
    shell:
        f"{RUN}/reduction/hetdex/collect_quality.py "
        "--reduction {params.reduction:q} {params.chosen} --shot {wildcards.shot} {params.options} --out {output.quality:q} 2> {log:q}"


rule hetdex_quality_month:
    input:
        plan=ancient(lambda wildcards: rules.plan_hetdex_reduction.output.plan),
        biases=lambda wildcards: HETDEX_REDUCTION.of_month(rules.hetdex_bias.output.bias, wildcards.month, "bias"),
        wavelengths=lambda wildcards: HETDEX_REDUCTION.of_month(
            rules.hetdex_twilight.output.wavelength, wildcards.month
        ),
        amp_to_amp=lambda wildcards: HETDEX_REDUCTION.all_months(
            rules.hetdex_amp_to_amp.output.amp_to_amp, wildcards.month
        ),
        residuals=lambda wildcards: HETDEX_REDUCTION.all_residuals(
            rules.hetdex_residuals.output.residuals, wildcards.month
        ),
        shots=lambda wildcards: HETDEX_REDUCTION.all_shots(rules.hetdex_quality_shot.output.quality, wildcards.month),
    output:
        quality=HETDEX_REDUCTION.path("quality/months/{month}.json"),
    log:
        f"{LOGS}/hetdex_quality_month/{{month}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_quality_month/{{month}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        reduction=as_it_is(str(HETDEX_REDUCTION.layout.directory)),
        options=as_it_is(HETDEX_REDUCTION.options("quality")),
        chosen=as_it_is(HETDEX_REDUCTION.chosen_options),
    shell:
        f"{RUN}/reduction/hetdex/collect_quality.py "
        "--reduction {params.reduction:q} {params.chosen} --month {wildcards.month} {params.options} --out {output.quality:q} 2> {log:q}"


rule hetdex_pages_month:
    input:
        quality=rules.hetdex_quality_month.output.quality,
    output:
        # The rest of the month's directory takes its place with it, whole.
        page=HETDEX_REDUCTION.path("quality/pages/{month}/index.html"),
    log:
        f"{LOGS}/hetdex_pages_month/{{month}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_pages_month/{{month}}.tsv"
    conda:
        "../../../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        reduction=as_it_is(str(HETDEX_REDUCTION.layout.directory)),
        logs=LOGS,
        configfiles=as_it_is(options(configfile=[str(path) for path in workflow.configfiles])),
    shell:
        f"{RUN}/reduction/hetdex/write_quality_pages.py --reduction {{params.reduction:q}} --logs {{params.logs:q}} "
        "{params.configfiles} --month {wildcards.month} 2> {log:q}"


rule hetdex_pages:
    input:
        plan=ancient(lambda wildcards: rules.plan_hetdex_reduction.output.plan),
        quality=lambda wildcards: HETDEX_REDUCTION.every_month(rules.hetdex_quality_month.output.quality),
        pages=lambda wildcards: HETDEX_REDUCTION.every_month(rules.hetdex_pages_month.output.page),
        drift=rules.hetdex_drift.output.drift,
    output:
        page=HETDEX_REDUCTION.path("quality/pages/index.html"),
    log:
        f"{LOGS}/hetdex_pages.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_pages.tsv"
    conda:
        "../../../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        reduction=as_it_is(str(HETDEX_REDUCTION.layout.directory)),
        logs=LOGS,
        configfiles=as_it_is(options(configfile=[str(path) for path in workflow.configfiles])),
        months=lambda wildcards: HETDEX_REDUCTION.every_month("{month}"),
    shell:
        f"{RUN}/reduction/hetdex/write_quality_pages.py --reduction {{params.reduction:q}} --logs {{params.logs:q}} "
        "{params.configfiles} --months {params.months} --drift {input.drift:q} 2> {log:q}"


rule reduce_hetdex_report:
    input:
        lambda wildcards: rules.hetdex_pages.output.page,
    localrule: True
