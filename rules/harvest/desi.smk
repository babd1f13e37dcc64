# DESI: which coadds to read (plan), their matched rows (extract), one file per NSIDE=16 pixel (assemble).
DESI = HARVESTS["desi"]


include: "globus.smk"


rule fetch_tilepix:
    input:
        simulated=rules.simulate_release.output.tilepix if DESI.is_simulated else [],
    output:
        tilepix=f"{DESI.resources}/tilepix.fits",
    log:
        f"{LOGS}/fetch_tilepix.log",
    benchmark:
        f"{BENCHMARKS}/fetch_tilepix.tsv"
    conda:
        "../../envs/plan.yaml"
    resources:
        archive=int(is_url(DESI.list_archive)),
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        release=DESI.release.name,
        archive=lambda wildcards: DESI.list_archive,
    shell:
        f"{RUN}/run/fetch_index.py desi "
        "--release {params.release:q} --archive {params.archive:q} --out {output.tilepix:q} 2> {log:q}"


checkpoint plan_desi:
    input:
        targets=rules.prepare_targets.output.table,
        tilepix=rules.fetch_tilepix.output.tilepix,
    output:
        plan=f"{DESI.root}/plan.csv",
        pixels=f"{DESI.root}/plan_pixels.csv",
        targets=f"{DESI.root}/plan_targets.npy",
        not_selected=DESI.not_selected,
    log:
        f"{LOGS}/plan_desi.log",
    benchmark:
        f"{BENCHMARKS}/plan_desi.tsv"
    conda:
        "../../envs/plan.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (700 + 20 * int(input.size_mb)),
        runtime=lambda wildcards, input, attempt: attempt * (10 + int(input.size_mb) // 50),
    params:
        out_dir=lambda wildcards, output: str(Path(output.plan).parent),
        release=DESI.release.name,
        options=DESI.options("surveys", "programs"),
        radius=config["match"]["radius_arcsec"],
        targetid=as_it_is(options(targetid=config["targets"]["targetid"], targetid_radius=DESI.targetid_radius)),
    shell:
        f"{RUN}/desi/plan_desi.py {literal(options(archive=DESI.list_archive))} "
        "--targets {input.targets:q} {params.targetid} --tilepix {input.tilepix:q} --release {params.release:q} "
        "{params.options} --radius {params.radius} --out-dir {params.out_dir:q} 2> {log:q}"


rule extract_desi:
    input:
        # A new plan does not make a batch old: its own targets and coadds do, by params.
        plan=ancient(f"{DESI.root}/plan.csv"),
        targets=ancient(f"{DESI.root}/plan_targets.npy"),
        copied=ancient(DESI.copied),
    output:
        list=f"{DESI.extracted}/batches/{{batch}}.csv",
    log:
        f"{LOGS}/extract_desi/{{batch}}.log",
    benchmark:
        f"{BENCHMARKS}/extract_desi/{{batch}}.tsv"
    conda:
        "../../envs/extract.yaml"
    resources:
        archive=DESI.connections_per_job(PARALLEL_JOBS),
        disk_mb=lambda wildcards: DESI.disk_mb(wildcards),
        mem_mb=lambda wildcards, attempt: attempt * (700 + max(DESI.n_targets(wildcards)) // 10),
        runtime=lambda wildcards, attempt: attempt * DESI.minutes(wildcards, targets=10, whole=30, rows=2),
    params:
        release=DESI.release.name,
        pixels=DESI.pixels,
        digest=DESI.digests,
        options=DESI.settings,
        list=lambda wildcards, output: options(list=output.list),
    shell:
        f"{RUN}/desi/extract_desi.py {DESI.source_options} --connections {{resources.archive}} "
        "--release {params.release:q} --targets {input.targets:q} {params.pixels} {params.options} "
        f"{DESI.extract_options} {{params.list}} --digest {{params.digest}} 2> {{log:q}}"


# One pixel alone: when a person asks for its file, or has removed it.
use rule extract_desi as extract_desi_pixel with:
    output:
        spectra=f"{DESI.extracted}/{{folder}}/{{unit}}.hdf5",
    log:
        f"{LOGS}/extract_desi/{{folder}}-{{unit}}.log",
    benchmark:
        f"{BENCHMARKS}/extract_desi/{{folder}}-{{unit}}.tsv"
    params:
        list="",


rule assemble_desi:
    input:
        targets=rules.prepare_targets.output.table,
        extraction=DESI.extraction,
    output:
        crossmatch=f"{DESI.assembled}/healpix={{pix16}}/crossmatch_desi.hdf5",
    log:
        f"{LOGS}/assemble_desi/{{pix16}}.log",
    benchmark:
        f"{BENCHMARKS}/assemble_desi/{{pix16}}.tsv"
    conda:
        "../../envs/assemble.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * (800 + sum(DESI.n_targets(wildcards)) // 10),
        runtime=lambda wildcards, attempt: attempt * (10 + sum(DESI.n_targets(wildcards)) // 50),
    params:
        config_hash=CONFIG_HASH["desi"],
        extracted=DESI.extracted_files,
        name=config["targets"]["name"],
        release=DESI.release.name,
        radius=config["match"]["radius_arcsec"],
        columns=DESI.columns,
    shell:
        f"{RUN}/desi/assemble_desi.py "
        "--config-hash {params.config_hash} --pix16 {wildcards.pix16} "
        "--targets {input.targets:q} --extracted {params.extracted:q} "
        "--name {params.name:q} --release {params.release:q} --radius {params.radius} "
        "{params.columns} --out {output.crossmatch:q} 2> {log:q}"
