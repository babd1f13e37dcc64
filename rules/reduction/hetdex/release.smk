# The release: cubes with their index, as HETDEX's public ones are laid out, and tables of all shots, fibers and sources.


rule hetdex_cubes:
    input:
        shot=lambda wildcards: HETDEX_REDUCTION.layout.of_shot("shots", layout.shot_of(wildcards.shotid)),
        astrometry=lambda wildcards: HETDEX_REDUCTION.layout.of_shot("astrometry", layout.shot_of(wildcards.shotid)),
        stars=lambda wildcards: HETDEX_REDUCTION.layout.of_shot("stars", layout.shot_of(wildcards.shotid)),
        flags=HETDEX_REDUCTION.flags,
    output:
        cubes=directory(HETDEX_REDUCTION.path("release/datacubes/{shotid}")),
    log:
        f"{LOGS}/hetdex_cubes/{{shotid}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_cubes/{{shotid}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        options=as_it_is(HETDEX_REDUCTION.options("cubes", "flags")),
    shell:
        f"{RUN}/reduction/hetdex/make_cubes.py "
        "--shot {input.shot:q} --astrometry {input.astrometry:q} --stars {input.stars:q} "
        "{params.options} --out {output.cubes:q} 2> {log:q}"


rule hetdex_cube_index:
    input:
        plan=ancient(lambda wildcards: rules.plan_hetdex_reduction.output.plan),
        cubes=lambda wildcards: HETDEX_REDUCTION.all_shots(rules.hetdex_cubes.output.cubes),
        detections=lambda wildcards: (
            HETDEX_REDUCTION.all_ifus(rules.hetdex_detections.output.detections)
            if HETDEX_REDUCTION.on("detections")
            else []
        ),
    output:
        index=HETDEX_REDUCTION.path("release/ifu-index.fits"),
    log:
        f"{LOGS}/hetdex_cube_index.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_cube_index.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        reduction=as_it_is(str(HETDEX_REDUCTION.layout.directory)),
        shots=lambda wildcards: HETDEX_REDUCTION.all_shots("{shot}"),
        limits=as_it_is("" if HETDEX_REDUCTION.on("detections") else "--no-limits"),
    shell:
        f"{RUN}/reduction/hetdex/index_cubes.py "
        "--reduction {params.reduction:q} --shots {params.shots} {params.limits} --out {output.index:q} 2> {log:q}"


rule hetdex_detections_of_month:
    input:
        plan=ancient(lambda wildcards: rules.plan_hetdex_reduction.output.plan),
        detections=lambda wildcards: HETDEX_REDUCTION.all_ifus(
            rules.hetdex_detections.output.detections, wildcards.month
        ),
    output:
        detections=HETDEX_REDUCTION.path("release/detect/months/detect_{month}.h5"),
    log:
        f"{LOGS}/hetdex_detections_of_month/{{month}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_detections_of_month/{{month}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        reduction=as_it_is(str(HETDEX_REDUCTION.layout.directory)),
        shots=lambda wildcards: HETDEX_REDUCTION.all_shots("{shot}", wildcards.month),
    shell:
        f"{RUN}/reduction/hetdex/collect_detections.py "
        "--reduction {params.reduction:q} --shots {params.shots} --out {output.detections:q} 2> {log:q}"


rule hetdex_detect:
    input:
        plan=ancient(lambda wildcards: rules.plan_hetdex_reduction.output.plan),
        months=lambda wildcards: HETDEX_REDUCTION.every_month(rules.hetdex_detections_of_month.output.detections),
    output:
        detections=HETDEX_REDUCTION.path(f"release/detect/detect_{HETDEX_RELEASE}.h5"),
    log:
        f"{LOGS}/hetdex_detect.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_detect.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        reduction=as_it_is(str(HETDEX_REDUCTION.layout.directory)),
        months=lambda wildcards: HETDEX_REDUCTION.every_month("{month}"),
    shell:
        f"{RUN}/reduction/hetdex/merge_detections.py "
        "--reduction {params.reduction:q} --months {params.months} --out {output.detections:q} 2> {log:q}"


rule hetdex_cont:
    input:
        plan=ancient(lambda wildcards: rules.plan_hetdex_reduction.output.plan),
        shots=lambda wildcards: HETDEX_REDUCTION.all_shots(rules.hetdex_continuum.output.continuum),
    output:
        continuum=HETDEX_REDUCTION.path(f"release/detect/cont_{HETDEX_RELEASE}.h5"),
    log:
        f"{LOGS}/hetdex_cont.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_cont.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        # Products of years have more names than a command may have.
        reduction=as_it_is(str(HETDEX_REDUCTION.layout.directory)),
        shots=lambda wildcards: HETDEX_REDUCTION.all_shots("{shot}"),
    shell:
        f"{RUN}/reduction/hetdex/merge_detections.py "
        "--reduction {params.reduction:q} --shots {params.shots} --out {output.continuum:q} 2> {log:q}"


rule hetdex_detect_index:
    input:
        lines=rules.hetdex_detect.output.detections if HETDEX_REDUCTION.on("detections") else [],
        continuum=rules.hetdex_cont.output.continuum if HETDEX_REDUCTION.on("continuum") else [],
    output:
        index=HETDEX_REDUCTION.path("release/detect/detect_index_hdr5.h5"),
        correction=HETDEX_REDUCTION.path("release/detect/wdcor.txt"),
    log:
        f"{LOGS}/hetdex_detect_index.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_detect_index.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    shell:
        f"{RUN}/reduction/hetdex/index_detections.py --release {HETDEX_RELEASE} "
        "--lines {input.lines:q} --continuum {input.continuum:q} --out {output.index:q} 2> {log:q}"


rule hetdex_survey:
    input:
        plan=ancient(lambda wildcards: rules.plan_hetdex_reduction.output.plan),
        shots=lambda wildcards: HETDEX_REDUCTION.all_shots(rules.hetdex_shot.output.shot),
        detections=lambda wildcards: (
            HETDEX_REDUCTION.all_ifus(rules.hetdex_detections.output.detections)
            if HETDEX_REDUCTION.on("detections")
            else []
        ),
    output:
        survey=HETDEX_REDUCTION.path(f"release/survey/survey_{HETDEX_RELEASE}.h5"),
        limits=HETDEX_REDUCTION.path("release/survey/flim4600_averages.txt"),
    log:
        f"{LOGS}/hetdex_survey.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_survey.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        reduction=as_it_is(str(HETDEX_REDUCTION.layout.directory)),
        shots=lambda wildcards: HETDEX_REDUCTION.all_shots("{shot}"),
        limits=as_it_is("" if HETDEX_REDUCTION.on("detections") else "--no-limits"),
    shell:
        f"{RUN}/reduction/hetdex/write_survey.py "
        "--reduction {params.reduction:q} --shots {params.shots} {params.limits} --out {output.survey:q} 2> {log:q}"


rule hetdex_shot_fibers:
    input:
        shot=rules.hetdex_shot.output.shot,
        flags=HETDEX_REDUCTION.flags,
    output:
        fibers=HETDEX_REDUCTION.path("fiber_index/{shot}.h5"),
    log:
        f"{LOGS}/hetdex_shot_fibers/{{shot}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_shot_fibers/{{shot}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        options=as_it_is(HETDEX_REDUCTION.options("flags")),
    shell:
        f"{RUN}/reduction/hetdex/index_fibers.py "
        "--shot {wildcards.shot} --file {input.shot:q} {params.options} --out {output.fibers:q} 2> {log:q}"


rule hetdex_fiber_index:
    input:
        plan=ancient(lambda wildcards: rules.plan_hetdex_reduction.output.plan),
        shots=lambda wildcards: HETDEX_REDUCTION.all_shots(rules.hetdex_shot_fibers.output.fibers),
    output:
        index=HETDEX_REDUCTION.path(f"release/survey/fiber_index_{HETDEX_RELEASE}.h5"),
        mask=HETDEX_REDUCTION.path("release/survey/fiber_mask.h5"),
    log:
        f"{LOGS}/hetdex_fiber_index.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_fiber_index.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        reduction=as_it_is(str(HETDEX_REDUCTION.layout.directory)),
        shots=lambda wildcards: HETDEX_REDUCTION.all_shots("{shot}"),
    shell:
        f"{RUN}/reduction/hetdex/merge_fiber_index.py "
        "--reduction {params.reduction:q} --shots {params.shots} --out {output.index:q} 2> {log:q}"


# What of it is asked for.
HETDEX_RELEASED = [
    rules.hetdex_survey.output.survey,
    rules.hetdex_fiber_index.output.index,
    *([rules.hetdex_detect.output.detections] if HETDEX_REDUCTION.on("detections") else []),
    *([rules.hetdex_cont.output.continuum] if HETDEX_REDUCTION.on("continuum") else []),
    *([rules.hetdex_detect_index.output.index] if HETDEX_REDUCTION.on("detect_index") else []),
    *([rules.hetdex_cube_index.output.index] if HETDEX_REDUCTION.on("cubes") else []),
]
