# DESI: which coadds to read (plan), their matched rows (extract), one file per NSIDE=16 pixel (assemble).


include: "globus.smk"


wildcard_constraints:
    batch=r"\d+(\+\d+)*",
    pix16=r"\d+",
    pix64=r"\d+",
    pix64_group=r"\d+",
    survey="[a-z0-9]+",
    program="[a-z0-9]+",


rule fetch_tilepix:
    input:
        rules.simulate_release.output.tilepix if LIST_ARCHIVE == DEMO else [],
    output:
        f"{RESOURCES}/tilepix.fits",
    log:
        f"{LOGS}/fetch_tilepix.log",
    conda:
        "../../envs/plan.yaml"
    resources:
        archive=int(is_url(LIST_ARCHIVE)),
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        release=RELEASE.name,
        archive=lambda wildcards: LIST_ARCHIVE,
    shell:
        f"{RUN}/desi/fetch_tilepix.py "
        "--release {params.release} --archive {params.archive:q} --out {output:q} 2> {log:q}"


checkpoint plan_desi:
    input:
        targets=rules.prepare_targets.output.table,
        tilepix=rules.fetch_tilepix.output,
    output:
        plan=f"{RESULTS}/desi/plan.csv",
        pixels=f"{RESULTS}/desi/plan_pixels.csv",
        targets=f"{RESULTS}/desi/plan_targets.npy",
    log:
        f"{LOGS}/plan_desi.log",
    conda:
        "../../envs/plan.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (700 + 20 * int(input.size_mb)),
        runtime=lambda wildcards, input, attempt: attempt * (10 + int(input.size_mb) // 50),
    params:
        release=RELEASE.name,
        surveys=config["desi"]["surveys"],
        programs=config["desi"]["programs"],
        radius=config["match"]["radius_arcsec"],
        targetid=(
            f"--targetid {shlex.quote(config['targets']['targetid'])}"
            if config["targets"]["targetid"] is not None
            else ""
        ),
    shell:
        f"{RUN}/desi/plan_desi.py "
        "--targets {input.targets:q} {params.targetid} --tilepix {input.tilepix:q} "
        f"--archive {shlex.quote(LIST_ARCHIVE)} "
        "--release {params.release} --surveys {params.surveys} --programs {params.programs} "
        "--radius {params.radius} --out-dir $(dirname {output.plan:q}) 2> {log:q}"


rule plan:
    input:
        [f"{RESULTS}/{survey}/plan.csv" for survey in releases(config)],
    localrule: True


rule extract_desi:
    input:
        # A new plan does not make a batch old: its own targets and coadds do, by params.
        plan=ancient(f"{RESULTS}/desi/plan.csv"),
        targets=ancient(f"{RESULTS}/desi/plan_targets.npy"),
        copied=ancient(COPIED),
    output:
        f"{EXTRACTED}/batches/{{batch}}.csv",
    log:
        f"{LOGS}/extract_desi/{{batch}}.log",
    conda:
        "../../envs/extract.yaml"
    resources:
        archive=CONNECTIONS_PER_JOB,
        disk_mb=DISK_MB,
        mem_mb=lambda wildcards, attempt: attempt * (700 + max(n_targets(wildcards)) // 10),
        runtime=lambda wildcards, attempt: attempt * extract_minutes(wildcards),
    params:
        release=RELEASE.name,
        pixels=pixel_options,
        digest=lambda wildcards: [planned().digest[pix64] for pix64 in pixels_of(wildcards)],
        options=EXTRACT_OPTIONS,
        list=lambda wildcards, output: f"--list {shlex.quote(str(output))}",
    shell:
        f"{RUN}/desi/extract_desi.py --archive {shlex.quote(ARCHIVE)} --server-notes {SERVER_NOTES} "
        "--connections {resources.archive} --release {params.release} --targets {input.targets:q} {params.pixels} "
        f"{{params.options}} {DOWNLOAD} {CAUTION} {journal_options('desi')} --extracted {EXTRACTED} {{params.list}} 2> {{log:q}}"


# One pixel alone: when a person asks for its file, or has removed it.
use rule extract_desi as extract_desi_pixel with:
    output:
        f"{EXTRACTED}/{{pix64_group}}/{{pix64}}.hdf5",
    log:
        f"{LOGS}/extract_desi/{{pix64_group}}-{{pix64}}.log",
    params:
        list="",


rule assemble_desi:
    input:
        targets=rules.prepare_targets.output.table,
        extraction=lambda wildcards: extraction_of(
            planned().searched[int(wildcards.pix16)], crossmatch_file(wildcards.pix16)
        ),
    output:
        f"{CROSSMATCHES}/healpix={{pix16}}/crossmatch_desi.hdf5",
    log:
        f"{LOGS}/assemble_desi/{{pix16}}.log",
    conda:
        "../../envs/assemble.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * (800 + sum(n_targets(wildcards)) // 10),
        runtime=lambda wildcards, attempt: attempt * (10 + sum(n_targets(wildcards)) // 50),
    params:
        extracted=extracted_of,
        name=config["targets"]["name"],
        release=RELEASE.name,
        radius=config["match"]["radius_arcsec"],
        flags=flags(
            no_combine=not config["desi"]["spectra"]["combine"],
            no_lsf=not config["desi"]["spectra"]["lsf"],
            no_redshifts=not config["desi"]["spectra"]["redshifts"],
            arms=config["desi"]["spectra"]["arms"],
        ),
    shell:
        f"{RUN}/desi/assemble_desi.py --config-hash {CONFIG_HASH} "
        "--pix16 {wildcards.pix16} --targets {input.targets:q} --extracted {params.extracted:q} "
        "--name {params.name} --release {params.release} --radius {params.radius} "
        "{params.flags} --out {output:q} 2> {log:q}"
