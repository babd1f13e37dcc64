# What HETDEX itself has found near the targets, where the config asks for it: catalogued sources, raw detections, pictures.


rule match_hetdex_catalogue:
    input:
        targets=rules.prepare_targets.output.table,
    output:
        f"{RESULTS}/hetdex/catalogue.hdf5",
    log:
        f"{LOGS}/match_hetdex_catalogue.log",
    conda:
        "../../envs/cubes.yaml"
    resources:
        cubes=int(is_url(CUBE_ARCHIVE)),
        mem_mb=lambda wildcards, input, attempt: attempt * (1500 + 20 * int(input.size_mb)),
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        release=CUBES.name,
        radius=config["hetdex"]["catalogue"]["radius_arcsec"],
        version=(
            f"--catalogue-version {config['hetdex']['catalogue']['version']}"
            if config["hetdex"]["catalogue"]["version"]
            else ""
        ),
    shell:
        f"{RUN}/match_hetdex_catalogue.py --archive {shlex.quote(CUBE_ARCHIVE)} --server-notes {SERVER_NOTES} "
        "--release {params.release} --targets {input.targets:q} --radius {params.radius} {params.version} "
        f"--config-hash {CONFIG_HASH} --out {{output:q}} 2> {{log:q}}"


rule fetch_hetdex_detections:
    input:
        detectids=DETECTIDS,
    output:
        f"{RESULTS}/hetdex/detections.hdf5",
    log:
        f"{LOGS}/fetch_hetdex_detections.log",
    conda:
        "../../envs/cubes.yaml"
    resources:
        cubes=int(is_url(CUBE_ARCHIVE)),
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        release=CUBES.name,
        column=DETECTIONS["column"],
    shell:
        f"{RUN}/fetch_hetdex_detections.py --archive {shlex.quote(CUBE_ARCHIVE)} --server-notes {SERVER_NOTES} "
        "--release {params.release} --detectids {input.detectids:q} --column {params.column:q} "
        f"--config-hash {CONFIG_HASH} --out {{output:q}} 2> {{log:q}}"


rule fetch_elixer:
    input:
        detectids=DETECTIDS,
    output:
        # The pictures are no outputs: Snakemake would remove them before it asks for those that are missing.
        f"{RESULTS}/hetdex/elixer/elixer_addresses.csv",
    log:
        f"{LOGS}/fetch_elixer.log",
    conda:
        "../../envs/cubes.yaml"
    resources:
        cubes=int(is_url(CUBE_ARCHIVE)),
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 720 * attempt,
    params:
        release=CUBES.name,
        column=DETECTIONS["column"],
        pictures=flags(pictures=DETECTIONS["pictures"] == "files"),
    shell:
        f"{RUN}/fetch_elixer.py --archive {shlex.quote(CUBE_ARCHIVE)} --server-notes {SERVER_NOTES} "
        "--release {params.release} --detectids {input.detectids:q} --column {params.column:q} {params.pictures} "
        "--out-dir $(dirname {output:q}) 2> {log:q}"
