# What became of every frame, and the targets that people name: all, or up to a step.


rule account_hetdex_reduction:
    input:
        plan=lambda wildcards: rules.plan_hetdex_reduction.output.plan,
        lists=HETDEX_REDUCTION.lists,
        calibrations=lambda wildcards: HETDEX_REDUCTION.all_calibrations(rules.hetdex_twilight.output.wavelength),
        science=lambda wildcards: HETDEX_REDUCTION.all_exposures(rules.hetdex_science.output.multifits),
        shots=lambda wildcards: HETDEX_REDUCTION.all_shots(rules.hetdex_shot.output.shot),
        residuals=lambda wildcards: HETDEX_REDUCTION.all_residuals(rules.hetdex_residuals.output.residuals),
        released=HETDEX_RELEASED,
        cutouts=rules.hetdex_all_cutouts.output.cutouts if HETDEX_REDUCTION.on("cutouts") else [],
        reports=rules.hetdex_report_pages.output.page if HETDEX_REDUCTION.on("reports") else [],
    output:
        ledger=HETDEX_REDUCTION.path("ledger.csv"),
        summary=HETDEX_REDUCTION.path("summary.json"),
    log:
        f"{LOGS}/account_hetdex_reduction.log",
    benchmark:
        f"{BENCHMARKS}/account_hetdex_reduction.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        reduction=as_it_is(str(HETDEX_REDUCTION.layout.directory)),
        logs=LOGS,
        chosen=as_it_is(HETDEX_REDUCTION.chosen_options),
    shell:
        f"{RUN}/reduction/hetdex/account_hetdex.py "
        "--reduction {params.reduction:q} --logs {params.logs:q} {params.chosen} --ledger {output.ledger:q} --summary {output.summary:q} 2> {log:q}"


rule finish_hetdex_reduction:
    input:
        ledger=rules.account_hetdex_reduction.output.ledger,
        summary=rules.account_hetdex_reduction.output.summary,
        # Before it says what failed.
        pages=rules.hetdex_pages.output.page if HETDEX_REDUCTION.settings["report"] else [],
    output:
        complete=HETDEX_REDUCTION.path("complete.json"),
    log:
        f"{LOGS}/finish_hetdex_reduction.log",
    benchmark:
        f"{BENCHMARKS}/finish_hetdex_reduction.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    shell:
        f"{RUN}/reduction/hetdex/finish_hetdex.py "
        "--ledger {input.ledger:q} --summary {input.summary:q} --out {output.complete:q} 2> {log:q}"


rule reduce_hetdex:
    input:
        rules.finish_hetdex_reduction.output.complete,
    localrule: True


rule reduce_hetdex_bias:
    input:
        lambda wildcards: HETDEX_REDUCTION.all_calibrations(rules.hetdex_bias.output.bias, "bias"),
    localrule: True


rule reduce_hetdex_calibration:
    input:
        lambda wildcards: HETDEX_REDUCTION.all_calibrations(rules.hetdex_twilight.output.wavelength),
        lambda wildcards: HETDEX_REDUCTION.all_months(rules.hetdex_amp_to_amp.output.amp_to_amp),
    localrule: True


rule reduce_hetdex_science:
    input:
        lambda wildcards: HETDEX_REDUCTION.all_exposures(rules.hetdex_science.output.multifits),
        lambda wildcards: HETDEX_REDUCTION.all_exposures(rules.hetdex_full_sky.output.sky),
    localrule: True


rule reduce_hetdex_astrometry:
    input:
        lambda wildcards: HETDEX_REDUCTION.all_shots(rules.hetdex_astrometry.output.astrometry),
    localrule: True


rule reduce_hetdex_throughput:
    input:
        lambda wildcards: HETDEX_REDUCTION.all_shots(rules.hetdex_throughput.output.throughput),
    localrule: True


rule reduce_hetdex_shots:
    input:
        lambda wildcards: HETDEX_REDUCTION.all_shots(rules.hetdex_shot.output.shot),
    localrule: True


rule reduce_hetdex_detections:
    input:
        lambda wildcards: HETDEX_REDUCTION.all_ifus(rules.hetdex_detections.output.detections),
        lambda wildcards: (
            HETDEX_REDUCTION.all_shots(rules.hetdex_continuum.output.continuum)
            if HETDEX_REDUCTION.on("continuum")
            else []
        ),
    localrule: True


rule reduce_hetdex_completeness:
    input:
        rules.hetdex_completeness_page.output.page,
    localrule: True


rule reduce_hetdex_cubes:
    input:
        rules.hetdex_cube_index.output.index,
    localrule: True


rule reduce_hetdex_release:
    input:
        HETDEX_RELEASED,
    localrule: True


rule reduce_hetdex_reports:
    input:
        rules.hetdex_report_pages.output.page,
    localrule: True
