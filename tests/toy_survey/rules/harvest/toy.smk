# The toy survey: which tables to read (plan), the spectra near targets, in a file per NSIDE=16 pixel (harvest).
TOY = HARVESTS["toy"]


checkpoint plan_toy:
    input:
        targets=rules.prepare_targets.output.table,
    output:
        plan=f"{TOY.root}/plan.csv",
        pixels=f"{TOY.root}/plan_pixels.csv",
        targets=f"{TOY.root}/plan_targets.npy",
    log:
        f"{LOGS}/plan_toy.log",
    benchmark:
        f"{BENCHMARKS}/plan_toy.tsv"
    conda:
        "../../envs/plan.yaml"
    resources:
        tables=int(TOY.over_network),
        mem_mb=lambda wildcards, attempt: attempt * 700,
        runtime=lambda wildcards, attempt: attempt * 10,
    params:
        out_dir=lambda wildcards, output: str(Path(output.plan).parent),
        release=TOY.release.name,
        archive=TOY.archive,
    shell:
        f"{RUN}/toy/plan_toy.py --targets {{input.targets:q}} --release {{params.release:q}} "
        "--archive {params.archive:q} --out-dir {params.out_dir:q} 2> {log:q}"


rule harvest_toy:
    input:
        # New tables do not make a batch old: its own targets, tables and settings do, by their digest.
        plan=ancient(f"{TOY.root}/plan.csv"),
        plan_targets=ancient(f"{TOY.root}/plan_targets.npy"),
        targets=ancient(TARGETS),
        alone=TOY.alone,
    output:
        # The files of pixels are no outputs: Snakemake would remove all of a batch where one fails.
        list=f"{TOY.extracted}/batches/{{batch}}.csv",
    log:
        f"{LOGS}/harvest_toy/{{batch}}.log",
    benchmark:
        f"{BENCHMARKS}/harvest_toy/{{batch}}.tsv"
    conda:
        "../../envs/spectra.yaml"
    resources:
        tables=int(TOY.over_network),
        mem_mb=lambda wildcards, attempt: attempt * 700,
        runtime=lambda wildcards, attempt: attempt * TOY.minutes(wildcards, targets=1000, whole=1, rows=1),
    params:
        batch=TOY.batch,
        digest=TOY.digest,
        release=TOY.release.name,
        settings=TOY.settings,
        name=config["targets"]["name"],
        config_hash=CONFIG_HASH["toy"],
        list=lambda wildcards, output: options(list=output.list),
    shell:
        f"{RUN}/toy/harvest_toy.py {TOY.source_options} "
        "--release {params.release:q} --targets {input.targets:q} --plan {input.plan:q} --batch {params.batch} "
        "{params.settings} --name {params.name:q} --config-hash {params.config_hash} "
        f"{TOY.job_options} --digest {{params.digest}} {{params.list}} 2> {{log:q}}"


# One pixel alone, when a person asks for its file.
use rule harvest_toy as harvest_toy_pixel with:
    output:
        crossmatch=f"{TOY.assembled}/healpix={{pix16}}/crossmatch_toy.hdf5",
    log:
        f"{LOGS}/harvest_toy/healpix={{pix16}}.log",
    benchmark:
        f"{BENCHMARKS}/harvest_toy/healpix={{pix16}}.tsv"
    params:
        list="",
