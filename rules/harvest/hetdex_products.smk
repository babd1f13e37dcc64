# What HETDEX itself has found near the targets, where the config asks for it: catalogued sources, raw detections, pictures.
CATALOGUE = HETDEX.section["catalogue"]
DETECTIONS = HETDEX.section["detections"]


rule match_hetdex_catalogue:
    input:
        targets=rules.prepare_targets.output.table,
    output:
        catalogue=f"{HETDEX.root}/catalogue.hdf5",
    log:
        f"{LOGS}/match_hetdex_catalogue.log",
    benchmark:
        f"{BENCHMARKS}/match_hetdex_catalogue.tsv"
    conda:
        "../../envs/cubes.yaml"
    resources:
        cubes=int(HETDEX.over_network),
        mem_mb=lambda wildcards, input, attempt: attempt * (1500 + 20 * int(input.size_mb)),
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        release=HETDEX.release.name,
        options=options(radius=CATALOGUE["radius_arcsec"], catalogue_version=CATALOGUE["version"] or None),
    shell:
        f"{RUN}/match_hetdex_catalogue.py {HETDEX.source_options} "
        "--release {params.release:q} --targets {input.targets:q} {params.options} "
        f"--config-hash {CONFIG_HASH['hetdex']} --out {{output.catalogue:q}} 2> {{log:q}}"


rule fetch_hetdex_detections:
    input:
        detectids=HETDEX.detectids,
    output:
        detections=f"{HETDEX.root}/detections.hdf5",
    log:
        f"{LOGS}/fetch_hetdex_detections.log",
    benchmark:
        f"{BENCHMARKS}/fetch_hetdex_detections.tsv"
    conda:
        "../../envs/cubes.yaml"
    resources:
        cubes=int(HETDEX.over_network),
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        release=HETDEX.release.name,
        column=as_it_is(DETECTIONS["column"]),
    shell:
        f"{RUN}/fetch_hetdex_detections.py {HETDEX.source_options} "
        "--release {params.release:q} --detectids {input.detectids:q} --column={params.column:q} "
        f"--config-hash {CONFIG_HASH['hetdex']} --out {{output.detections:q}} 2> {{log:q}}"


rule fetch_elixer:
    input:
        detectids=HETDEX.detectids,
    output:
        # The pictures are no outputs: Snakemake would remove them before it asks for those that are missing.
        addresses=f"{HETDEX.root}/elixer/elixer_addresses.csv",
    log:
        f"{LOGS}/fetch_elixer.log",
    benchmark:
        f"{BENCHMARKS}/fetch_elixer.tsv"
    conda:
        "../../envs/cubes.yaml"
    resources:
        cubes=int(HETDEX.over_network),
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 720 * attempt,
    params:
        out_dir=lambda wildcards, output: str(Path(output.addresses).parent),
        release=HETDEX.release.name,
        column=as_it_is(DETECTIONS["column"]),
        pictures=options(pictures=DETECTIONS["pictures"] == "files"),
    shell:
        f"{RUN}/fetch_elixer.py {HETDEX.source_options} "
        "--release {params.release:q} --detectids {input.detectids:q} --column={params.column:q} {params.pictures} "
        "--out-dir {params.out_dir:q} 2> {log:q}"
