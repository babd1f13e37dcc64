# Shots: where they point, their stars, their throughput, and the file of each.


rule hetdex_astrometry:
    input:
        multifits=lambda wildcards: HETDEX_REDUCTION.of_shot(rules.hetdex_science.output.multifits, wildcards.shot),
        star_catalogue=HETDEX_REDUCTION.settings["star_catalogue"],
        fplane=lambda wildcards: HETDEX_REDUCTION.fplane(wildcards.shot),
    output:
        astrometry=HETDEX_REDUCTION.path("astrometry/{shot}.h5"),
    log:
        f"{LOGS}/hetdex_astrometry/{{shot}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_astrometry/{{shot}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        options=as_it_is(HETDEX_REDUCTION.options("astrometry")),
    shell:
        f"{RUN}/reduction/hetdex/solve_astrometry.py "
        "--multifits {input.multifits:q} --star-catalogue {input.star_catalogue:q} --fplane {input.fplane:q} "
        "{params.options} --out {output.astrometry:q} 2> {log:q}"


rule hetdex_stars:
    input:
        multifits=lambda wildcards: HETDEX_REDUCTION.of_shot(rules.hetdex_science.output.multifits, wildcards.shot),
        astrometry=rules.hetdex_astrometry.output.astrometry,
    output:
        stars=HETDEX_REDUCTION.path("stars/{shot}.h5"),
    log:
        f"{LOGS}/hetdex_stars/{{shot}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_stars/{{shot}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        options=as_it_is(HETDEX_REDUCTION.options("stars")),
    shell:
        f"{RUN}/reduction/hetdex/extract_stars.py "
        "--multifits {input.multifits:q} --astrometry {input.astrometry:q} {params.options} --out {output.stars:q} 2> {log:q}"


rule hetdex_seds:
    input:
        stars=rules.hetdex_stars.output.stars,
        given=HETDEX_REDUCTION.given_seds,
    output:
        seds=HETDEX_REDUCTION.path("seds/{shot}.h5"),
    log:
        f"{LOGS}/hetdex_seds/{{shot}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_seds/{{shot}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        options=as_it_is(HETDEX_REDUCTION.options("sed_fits", seds=HETDEX_REDUCTION.settings["seds"])),
    shell:
        f"{RUN}/reduction/hetdex/fit_seds.py "
        "--stars {input.stars:q} {params.options} --out {output.seds:q} 2> {log:q}"


rule hetdex_throughput:
    input:
        stars=rules.hetdex_stars.output.stars,
        seds=rules.hetdex_seds.output.seds,
    output:
        throughput=HETDEX_REDUCTION.path("throughput/{shot}.h5"),
        text=HETDEX_REDUCTION.path("throughput/{shot}sedtp_f.dat"),
    log:
        f"{LOGS}/hetdex_throughput/{{shot}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_throughput/{{shot}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        options=as_it_is(HETDEX_REDUCTION.options("throughput")),
    shell:
        f"{RUN}/reduction/hetdex/measure_throughput.py "
        "--stars {input.stars:q} --seds {input.seds:q} {params.options} "
        "--out {output.throughput:q} --text {output.text:q} 2> {log:q}"


rule hetdex_shot:
    input:
        multifits=lambda wildcards: HETDEX_REDUCTION.of_shot(rules.hetdex_science.output.multifits, wildcards.shot),
        skies=lambda wildcards: HETDEX_REDUCTION.exposures_of(rules.hetdex_full_sky.output.sky, wildcards.shot),
        astrometry=rules.hetdex_astrometry.output.astrometry,
        stars=rules.hetdex_stars.output.stars,
        throughput=rules.hetdex_throughput.output.throughput,
        residuals=lambda wildcards: HETDEX_REDUCTION.maps_of(
            HETDEX_REDUCTION.path("residuals/{month}/{ifu}"), wildcards.shot
        ),
    output:
        shot=HETDEX_REDUCTION.path("shots/{shot}.h5"),
    log:
        f"{LOGS}/hetdex_shot/{{shot}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_shot/{{shot}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        options=as_it_is(HETDEX_REDUCTION.options("shot_file")),
    shell:
        f"{RUN}/reduction/hetdex/write_shot.py "
        "--shot {wildcards.shot} --multifits {input.multifits:q} --full-sky {input.skies:q} --astrometry {input.astrometry:q} "
        "--stars {input.stars:q} --throughput {input.throughput:q} --residuals {input.residuals:q} {params.options} "
        "--out {output.shot:q} 2> {log:q}"
