# Pieces of images around detections, for machine learning; a report of each detection, and pages to browse them.


rule hetdex_cutouts:
    input:
        detections=lambda wildcards: HETDEX_REDUCTION.of_ifus(
            rules.hetdex_detections.output.detections, layout.shot_of(wildcards.shotid)
        ),
        multifits=lambda wildcards: HETDEX_REDUCTION.of_shot(
            rules.hetdex_science.output.multifits, layout.shot_of(wildcards.shotid)
        ),
        shot=lambda wildcards: HETDEX_REDUCTION.layout.of_shot("shots", layout.shot_of(wildcards.shotid)),
        astrometry=lambda wildcards: HETDEX_REDUCTION.layout.of_shot("astrometry", layout.shot_of(wildcards.shotid)),
        stars=lambda wildcards: HETDEX_REDUCTION.layout.of_shot("stars", layout.shot_of(wildcards.shotid)),
    output:
        cutouts=HETDEX_REDUCTION.path("im2D/im2D_{shotid}.h5"),
    log:
        f"{LOGS}/hetdex_cutouts/{{shotid}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_cutouts/{{shotid}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        options=as_it_is(HETDEX_REDUCTION.options("cutouts")),
    shell:
        f"{RUN}/reduction/hetdex/cut_out_detections.py "
        "--shot {input.shot:q} --astrometry {input.astrometry:q} --stars {input.stars:q} "
        "--multifits {input.multifits:q} --detections {input.detections:q} {params.options} --out {output.cutouts:q} 2> {log:q}"


rule hetdex_all_cutouts:
    input:
        plan=ancient(lambda wildcards: rules.plan_hetdex_reduction.output.plan),
        cutouts=lambda wildcards: HETDEX_REDUCTION.all_shots(rules.hetdex_cutouts.output.cutouts),
    output:
        cutouts=HETDEX_REDUCTION.path(f"release/im2D_{HETDEX_RELEASE}.h5"),
    log:
        f"{LOGS}/hetdex_all_cutouts.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_all_cutouts.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        reduction=as_it_is(str(HETDEX_REDUCTION.layout.directory)),
        shots=lambda wildcards: HETDEX_REDUCTION.all_shots("{shot}"),
    shell:
        f"{RUN}/reduction/hetdex/merge_cutouts.py "
        "--reduction {params.reduction:q} --shots {params.shots} --out {output.cutouts:q} 2> {log:q}"


rule hetdex_reports:
    input:
        shot=rules.hetdex_shot.output.shot,
        astrometry=rules.hetdex_astrometry.output.astrometry,
        stars=rules.hetdex_stars.output.stars,
        detections=lambda wildcards: HETDEX_REDUCTION.of_ifus(rules.hetdex_detections.output.detections, wildcards.shot),
        continuum=rules.hetdex_continuum.output.continuum if HETDEX_REDUCTION.on("continuum") else [],
        multifits=lambda wildcards: HETDEX_REDUCTION.of_shot(rules.hetdex_science.output.multifits, wildcards.shot),
        star_catalogue=HETDEX_REDUCTION.settings["star_catalogue"] or [],
        neighbours=HETDEX_REDUCTION.settings["reports"]["neighbours"] or [],
    output:
        list=HETDEX_REDUCTION.path("reports/{shot}.csv"),
    log:
        f"{LOGS}/hetdex_reports/{{shot}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_reports/{{shot}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        options=as_it_is(HETDEX_REDUCTION.options("reports")),
        harvest=as_it_is(RESULTS),
    shell:
        f"{RUN}/reduction/hetdex/write_reports.py "
        "--shot {input.shot:q} --astrometry {input.astrometry:q} --stars {input.stars:q} "
        "--multifits {input.multifits:q} --detections {input.detections:q} --continuum {input.continuum:q} "
        "--star-catalogue {input.star_catalogue:q} --results {params.harvest:q} {params.options} "
        "--out {output.list:q} 2> {log:q}"


rule hetdex_report_page:
    input:
        reports=rules.hetdex_reports.output.list,
        detections=lambda wildcards: HETDEX_REDUCTION.of_ifus(rules.hetdex_detections.output.detections, wildcards.shot),
        continuum=rules.hetdex_continuum.output.continuum if HETDEX_REDUCTION.on("continuum") else [],
    output:
        beside=directory(HETDEX_REDUCTION.path("reports/pages/{shot}")),
        page=HETDEX_REDUCTION.path("reports/pages/{shot}.html"),
    log:
        f"{LOGS}/hetdex_report_page/{{shot}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_report_page/{{shot}}.tsv"
    conda:
        "../../../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 700 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        reduction=as_it_is(str(HETDEX_REDUCTION.layout.directory)),
    shell:
        f"{RUN}/reduction/hetdex/write_report_pages.py "
        "--reduction {params.reduction:q} --shot {wildcards.shot} --detections {input.detections:q} "
        "--continuum {input.continuum:q} --out {output.page:q} 2> {log:q}"


rule hetdex_report_pages:
    input:
        reports=lambda wildcards: HETDEX_REDUCTION.reports(rules.hetdex_reports.output.list),
        pages=lambda wildcards: HETDEX_REDUCTION.all_shots(rules.hetdex_report_page.output.page),
        plan=ancient(lambda wildcards: rules.plan_hetdex_reduction.output.plan),
    output:
        page=HETDEX_REDUCTION.path("reports/pages/index.html"),
    log:
        f"{LOGS}/hetdex_report_pages.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_report_pages.tsv"
    conda:
        "../../../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 700 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        reduction=as_it_is(str(HETDEX_REDUCTION.layout.directory)),
        shots=lambda wildcards: HETDEX_REDUCTION.all_shots("{shot}"),
    shell:
        f"{RUN}/reduction/hetdex/write_report_pages.py "
        "--reduction {params.reduction:q} --shots {params.shots} --out {output.page:q} 2> {log:q}"
