# The toy survey: which tables to read (plan), the spectra near targets (extract), a file per NSIDE=16 pixel (assemble).
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


rule extract_toy:
    input:
        # A new plan does not make a batch old: its own targets do, by params.
        plan=ancient(f"{TOY.root}/plan.csv"),
        targets=ancient(f"{TOY.root}/plan_targets.npy"),
    output:
        list=f"{TOY.extracted}/batches/{{batch}}.csv",
    log:
        f"{LOGS}/extract_toy/{{batch}}.log",
    benchmark:
        f"{BENCHMARKS}/extract_toy/{{batch}}.tsv"
    conda:
        "../../envs/extract.yaml"
    resources:
        tables=int(TOY.over_network),
        mem_mb=lambda wildcards, attempt: attempt * 700,
        runtime=lambda wildcards, attempt: attempt * TOY.minutes(wildcards, targets=1000, whole=1, rows=1),
    params:
        release=TOY.release.name,
        tables=TOY.units,
        digest=TOY.digests,
        options=TOY.settings,
        list=lambda wildcards, output: options(list=output.list),
    shell:
        f"{RUN}/toy/extract_toy.py {TOY.source_options} --release {{params.release:q}} --table {{params.tables}} "
        f"--targets {{input.targets:q}} {{params.options}} {TOY.extract_options} {{params.list}} --digest {{params.digest}} 2> {{log:q}}"


# One table alone: when a person asks for its file, or has removed it.
use rule extract_toy as extract_toy_table with:
    output:
        spectra=f"{TOY.extracted}/{{folder}}/{{unit}}.hdf5",
    log:
        f"{LOGS}/extract_toy/{{folder}}-{{unit}}.log",
    benchmark:
        f"{BENCHMARKS}/extract_toy/{{folder}}-{{unit}}.tsv"
    params:
        list="",


rule assemble_toy:
    input:
        targets=rules.prepare_targets.output.table,
        extraction=TOY.extraction,
    output:
        crossmatch=f"{TOY.assembled}/healpix={{pix16}}/crossmatch_toy.hdf5",
    log:
        f"{LOGS}/assemble_toy/{{pix16}}.log",
    benchmark:
        f"{BENCHMARKS}/assemble_toy/{{pix16}}.tsv"
    conda:
        "../../envs/assemble.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 700,
        runtime=lambda wildcards, attempt: attempt * 10,
    params:
        config_hash=CONFIG_HASH["toy"],
        extracted=TOY.extracted_files,
        name=config["targets"]["name"],
        release=TOY.release.name,
    shell:
        f"{RUN}/toy/assemble_toy.py --config-hash {{params.config_hash}} --pix16 {{wildcards.pix16}} "
        "--targets {input.targets:q} --extracted {params.extracted:q} --name {params.name:q} "
        "--release {params.release:q} --out {output.crossmatch:q} 2> {log:q}"
