# HETDEX: which cubes to read (plan), the spectra of their targets, in a file per NSIDE=16 pixel (harvest).
HETDEX = HARVESTS["hetdex"]


include: "hetdex_products.smk"


rule simulate_hetdex:
    input:
        csv=rules.simulate_release.output.csv,
    output:
        truth=f"{DEMO}/hetdex/truth.hdf5",
        index=f"{DEMO}/hetdex/ifu-index.fits",
    log:
        f"{LOGS}/simulate_hetdex.log",
    benchmark:
        f"{BENCHMARKS}/simulate_hetdex.tsv"
    conda:
        "../../envs/simulate.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    shell:
        f"{RUN}/demo/simulate_survey.py hetdex --csv {{input.csv:q}} --out {DEMO}/hetdex 2> {{log:q}}"


rule fetch_hetdex_index:
    input:
        simulated=rules.simulate_hetdex.output.index if HETDEX.is_simulated else [],
        own=lambda wildcards: HETDEX.own_index(
            HETDEX_REDUCTION.layout.cube_index, made=HETDEX_REDUCTION.enabled and HETDEX_REDUCTION.on("cubes")
        ),
    output:
        index=f"{HETDEX.resources}/ifu-index.fits",
    log:
        f"{LOGS}/fetch_hetdex_index.log",
    benchmark:
        f"{BENCHMARKS}/fetch_hetdex_index.tsv"
    conda:
        "../../envs/plan.yaml"
    resources:
        cubes=int(HETDEX.over_network),
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        release=HETDEX.release.name,
        archive=lambda wildcards: HETDEX.archive,
    shell:
        f"{RUN}/run/fetch_index.py hetdex "
        "--release {params.release:q} --archive {params.archive:q} --out {output.index:q} 2> {log:q}"


checkpoint plan_hetdex:
    input:
        targets=rules.prepare_targets.output.table,
        index=rules.fetch_hetdex_index.output.index,
    output:
        plan=f"{HETDEX.root}/plan.csv",
        pixels=f"{HETDEX.root}/plan_pixels.csv",
        targets=f"{HETDEX.root}/plan_targets.npy",
        not_selected=HETDEX.not_selected,
        cubes=f"{HETDEX.root}/plan_cubes.npy",
        urls=f"{HETDEX.root}/urls.txt",
    log:
        f"{LOGS}/plan_hetdex.log",
    benchmark:
        f"{BENCHMARKS}/plan_hetdex.tsv"
    conda:
        "../../envs/plan.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (700 + 20 * int(input.size_mb)),
        runtime=lambda wildcards, input, attempt: attempt * (10 + int(input.size_mb) // 50),
    params:
        out_dir=lambda wildcards, output: str(Path(output.plan).parent),
        release=HETDEX.release.name,
        options=HETDEX.options("min_flag", "fields"),
        line=as_it_is(HETDEX.line_options),
    shell:
        f"{RUN}/hetdex/plan_hetdex.py {literal(options(archive=HETDEX.archive))} "
        "--targets {input.targets:q} --index {input.index:q} --release {params.release:q} {params.options} "
        "{params.line} --out-dir {params.out_dir:q} 2> {log:q}"


rule harvest_hetdex:
    input:
        # New tables do not make a batch old: its own targets, cubes and settings do, by their digest.
        plan=ancient(f"{HETDEX.root}/plan.csv"),
        plan_targets=ancient(f"{HETDEX.root}/plan_targets.npy"),
        plan_cubes=ancient(f"{HETDEX.root}/plan_cubes.npy"),
        targets=ancient(TARGETS),
        alone=HETDEX.alone,
    output:
        # The files of pixels are no outputs: Snakemake would remove all of a batch where one fails.
        list=f"{HETDEX.extracted}/batches/{{batch}}.csv",
    log:
        f"{LOGS}/harvest_hetdex/{{batch}}.log",
    benchmark:
        f"{BENCHMARKS}/harvest_hetdex/{{batch}}.tsv"
    conda:
        "../../envs/cubes.yaml"
    resources:
        cubes=int(HETDEX.over_network),
        disk_mb=40 * int(HETDEX.over_network),
        mem_mb=lambda wildcards, attempt: attempt * HETDEX.mb(wildcards),
        runtime=lambda wildcards, attempt: attempt * HETDEX.minutes(wildcards, targets=10, whole=2, rows=2),
    params:
        batch=HETDEX.batch,
        digest=HETDEX.digest,
        release=HETDEX.release.name,
        settings=HETDEX.settings,
        name=config["targets"]["name"],
        config_hash=CONFIG_HASH["hetdex"],
        list=lambda wildcards, output: options(list=output.list),
    shell:
        f"{RUN}/hetdex/harvest_hetdex.py {HETDEX.source_options} "
        "--release {params.release:q} --targets {input.targets:q} --plan {input.plan:q} --batch {params.batch} "
        "{params.settings} --name {params.name:q} --config-hash {params.config_hash} "
        f"{HETDEX.job_options} --digest {{params.digest}} {{params.list}} 2> {{log:q}}"


# One pixel alone, when a person asks for its file.
use rule harvest_hetdex as harvest_hetdex_pixel with:
    output:
        crossmatch=f"{HETDEX.assembled}/healpix={{pix16}}/crossmatch_hetdex.hdf5",
    log:
        f"{LOGS}/harvest_hetdex/healpix={{pix16}}.log",
    benchmark:
        f"{BENCHMARKS}/harvest_hetdex/healpix={{pix16}}.tsv"
    params:
        list="",
