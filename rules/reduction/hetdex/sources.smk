# What is in the calibrated fibers: emission lines of each IFU, continuum sources of each shot; and which share is found.


rule hetdex_detections:
    input:
        shot=rules.hetdex_shot.output.shot,
        astrometry=rules.hetdex_astrometry.output.astrometry,
        stars=rules.hetdex_stars.output.stars,
    output:
        detections=directory(HETDEX_REDUCTION.path("detections/{shot}/{ifu}")),
    log:
        f"{LOGS}/hetdex_detections/{{shot}}/{{ifu}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_detections/{{shot}}/{{ifu}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        options=as_it_is(HETDEX_REDUCTION.options("detections")),
    shell:
        f"{RUN}/reduction/hetdex/find_lines.py "
        "--shot {input.shot:q} --astrometry {input.astrometry:q} --stars {input.stars:q} "
        "--ifu {wildcards.ifu} {params.options} --out {output.detections:q} 2> {log:q}"


rule hetdex_continuum:
    input:
        shot=rules.hetdex_shot.output.shot,
        astrometry=rules.hetdex_astrometry.output.astrometry,
        stars=rules.hetdex_stars.output.stars,
    output:
        continuum=HETDEX_REDUCTION.path("continuum/{shot}.h5"),
    log:
        f"{LOGS}/hetdex_continuum/{{shot}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_continuum/{{shot}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        options=as_it_is(HETDEX_REDUCTION.options("continuum")),
    shell:
        f"{RUN}/reduction/hetdex/find_continuum.py "
        "--shot {input.shot:q} --astrometry {input.astrometry:q} --stars {input.stars:q} "
        "{params.options} --out {output.continuum:q} 2> {log:q}"


rule hetdex_completeness:
    input:
        shot=rules.hetdex_shot.output.shot,
        astrometry=rules.hetdex_astrometry.output.astrometry,
        stars=rules.hetdex_stars.output.stars,
    output:
        completeness=HETDEX_REDUCTION.path("completeness/{shot}/{ifu}.h5"),
    log:
        f"{LOGS}/hetdex_completeness/{{shot}}/{{ifu}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_completeness/{{shot}}/{{ifu}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        options=as_it_is(HETDEX_REDUCTION.options("completeness", "detections")),
    shell:
        f"{RUN}/reduction/hetdex/measure_completeness.py "
        "--shot {input.shot:q} --astrometry {input.astrometry:q} --stars {input.stars:q} "
        "--ifu {wildcards.ifu} {params.options} --out {output.completeness:q} 2> {log:q}"


rule hetdex_completeness_page:
    input:
        plan=ancient(lambda wildcards: rules.plan_hetdex_reduction.output.plan),
        completeness=lambda wildcards: HETDEX_REDUCTION.all_ifus(rules.hetdex_completeness.output.completeness),
    output:
        page=HETDEX_REDUCTION.path("completeness/index.html"),
    log:
        f"{LOGS}/hetdex_completeness_page.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_completeness_page.tsv"
    conda:
        "../../../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        reduction=as_it_is(str(HETDEX_REDUCTION.layout.directory)),
        shots=lambda wildcards: HETDEX_REDUCTION.all_shots("{shot}"),
    shell:
        f"{RUN}/reduction/hetdex/write_completeness_page.py "
        "--reduction {params.reduction:q} --shots {params.shots} --out {output.page:q} 2> {log:q}"
