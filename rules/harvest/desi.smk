# DESI: which coadds to read (plan), their matched rows, in a file per NSIDE=16 pixel (harvest).
DESI = HARVESTS["desi"]


include: "globus.smk"


rule fetch_tilepix:
    input:
        there=rules.simulate_release.output.tilepix if DESI.is_simulated else (lambda wildcards: DESI.produced),
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


rule harvest_desi:
    input:
        # New tables do not make a batch old: its own targets, coadds and settings do, by their digest.
        plan=ancient(f"{DESI.root}/plan.csv"),
        plan_targets=ancient(f"{DESI.root}/plan_targets.npy"),
        targets=ancient(TARGETS),
        copied=ancient(DESI.copied),
        alone=DESI.alone,
    output:
        # The files of pixels are no outputs: Snakemake would remove all of a batch where one fails.
        list=f"{DESI.extracted}/batches/{{batch}}.csv",
    log:
        f"{LOGS}/harvest_desi/{{batch}}.log",
    benchmark:
        f"{BENCHMARKS}/harvest_desi/{{batch}}.tsv"
    conda:
        "../../envs/spectra.yaml"
    resources:
        archive=DESI.connections_per_job(PARALLEL_JOBS),
        disk_mb=lambda wildcards: DESI.disk_mb(wildcards),
        mem_mb=lambda wildcards, attempt: attempt * (800 + max(DESI.n_targets_of_pixels(wildcards)) // 10),
        runtime=lambda wildcards, attempt: attempt * DESI.minutes(wildcards, targets=10, whole=30, rows=2),
    params:
        batch=DESI.batch,
        digest=DESI.digest,
        release=DESI.release.name,
        settings=DESI.settings,
        name=config["targets"]["name"],
        config_hash=CONFIG_HASH["desi"],
        list=lambda wildcards, output: options(list=output.list),
    shell:
        f"{RUN}/desi/harvest_desi.py {DESI.source_options} --connections {{resources.archive}} "
        "--release {params.release:q} --targets {input.targets:q} --plan {input.plan:q} --batch {params.batch} "
        "{params.settings} --name {params.name:q} --config-hash {params.config_hash} "
        f"{DESI.job_options} --digest {{params.digest}} {{params.list}} 2> {{log:q}}"


# One pixel alone, when a person asks for its file.
use rule harvest_desi as harvest_desi_pixel with:
    output:
        crossmatch=f"{DESI.assembled}/healpix={{pix16}}/crossmatch_desi.hdf5",
    log:
        f"{LOGS}/harvest_desi/healpix={{pix16}}.log",
    benchmark:
        f"{BENCHMARKS}/harvest_desi/healpix={{pix16}}.tsv"
    params:
        list="",
