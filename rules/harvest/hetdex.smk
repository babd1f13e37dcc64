# HETDEX: which cubes to read (plan), the spectra of their targets (extract), one file per NSIDE=16 pixel (assemble).
HETDEX = HARVESTS["hetdex"]
MAPS = {"maps": directory(f"{HETDEX.assembled}/healpix={{pix16}}/maps")} if HETDEX.has_fits_maps else {}


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


rule extract_hetdex:
    input:
        # A new plan does not make a batch old: its own targets and cubes do, by params.
        plan=ancient(f"{HETDEX.root}/plan.csv"),
        targets=ancient(f"{HETDEX.root}/plan_targets.npy"),
        cubes=ancient(f"{HETDEX.root}/plan_cubes.npy"),
    output:
        list=f"{HETDEX.extracted}/batches/{{batch}}.csv",
    log:
        f"{LOGS}/extract_hetdex/{{batch}}.log",
    benchmark:
        f"{BENCHMARKS}/extract_hetdex/{{batch}}.tsv"
    conda:
        "../../envs/cubes.yaml"
    resources:
        cubes=int(HETDEX.over_network),
        disk_mb=40 * int(HETDEX.over_network),
        mem_mb=lambda wildcards, attempt: attempt * (900 + max(HETDEX.n_targets(wildcards))),
        runtime=lambda wildcards, attempt: attempt * HETDEX.minutes(wildcards, targets=10, whole=2, rows=2),
    params:
        release=HETDEX.release.name,
        cubes=HETDEX.units,
        digest=HETDEX.digests,
        options=HETDEX.settings,
        list=lambda wildcards, output: options(list=output.list),
    shell:
        f"{RUN}/hetdex/extract_hetdex.py {HETDEX.source_options} "
        "--release {params.release:q} --cube {params.cubes} --targets {input.targets:q} --cubes {input.cubes:q} "
        f"{{params.options}} {HETDEX.extract_options} {{params.list}} --digest {{params.digest}} 2> {{log:q}}"


# One cube alone: when a person asks for its file, or has removed it.
use rule extract_hetdex as extract_hetdex_cube with:
    output:
        spectra=f"{HETDEX.extracted}/{{folder}}/{{unit}}.hdf5",
    log:
        f"{LOGS}/extract_hetdex/{{folder}}-{{unit}}.log",
    benchmark:
        f"{BENCHMARKS}/extract_hetdex/{{folder}}-{{unit}}.tsv"
    params:
        list="",


rule assemble_hetdex:
    input:
        targets=rules.prepare_targets.output.table,
        plan_targets=ancient(f"{HETDEX.root}/plan_targets.npy"),
        plan_cubes=ancient(f"{HETDEX.root}/plan_cubes.npy"),
        extraction=HETDEX.extraction,
    output:
        **MAPS,
        crossmatch=f"{HETDEX.assembled}/healpix={{pix16}}/crossmatch_hetdex.hdf5",
    log:
        f"{LOGS}/assemble_hetdex/{{pix16}}.log",
    benchmark:
        f"{BENCHMARKS}/assemble_hetdex/{{pix16}}.tsv"
    conda:
        "../../envs/cubes.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * HETDEX.assemble_mb(wildcards),
        runtime=lambda wildcards, attempt: attempt * (10 + len(HETDEX.units(wildcards)) // 50),
    params:
        config_hash=CONFIG_HASH["hetdex"],
        extracted=HETDEX.extracted_files,
        name=config["targets"]["name"],
        release=HETDEX.release.name,
        radius=HETDEX.section["aperture_radius_arcsec"],
        fits=lambda wildcards, output: options(fits=output.get("maps")),
    shell:
        f"{RUN}/hetdex/assemble_hetdex.py "
        "--config-hash {params.config_hash} --pix16 {wildcards.pix16} "
        "--targets {input.targets:q} --plan-targets {input.plan_targets:q} "
        "--plan-cubes {input.plan_cubes:q} --extracted {params.extracted:q} --name {params.name:q} "
        "--release {params.release:q} --radius {params.radius} {params.fits} --out {output.crossmatch:q} 2> {log:q}"
