# The Legacy Surveys: which bricks to read (plan), their cutouts (extract), one file per NSIDE=16 pixel (assemble).
LEGACYSURVEY = HARVESTS["legacysurvey"]
CONTACT_SHEET = (
    {"sheet": f"{LEGACYSURVEY.assembled}/healpix={{pix16}}/contact_sheet.png"}
    if LEGACYSURVEY.section["contact_sheets"]
    else {}
)


rule simulate_legacysurvey:
    input:
        csv=rules.simulate_release.output.csv,
    output:
        truth=f"{DEMO}/legacysurvey/truth.hdf5",
        north=f"{DEMO}/legacysurvey/north/survey-bricks-demo-north.fits.gz",
        south=f"{DEMO}/legacysurvey/south/survey-bricks-demo-south.fits.gz",
    log:
        f"{LOGS}/simulate_legacysurvey.log",
    benchmark:
        f"{BENCHMARKS}/simulate_legacysurvey.tsv"
    conda:
        "../../envs/simulate.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    shell:
        f"{RUN}/demo/simulate_survey.py legacysurvey --csv {{input.csv:q}} --out {DEMO}/legacysurvey 2> {{log:q}}"


rule fetch_legacysurvey_bricks:
    input:
        simulated=rules.simulate_legacysurvey.output if LEGACYSURVEY.is_simulated else [],
    output:
        bricks=f"{LEGACYSURVEY.resources}/bricks.npy",
    log:
        f"{LOGS}/fetch_legacysurvey_bricks.log",
    benchmark:
        f"{BENCHMARKS}/fetch_legacysurvey_bricks.tsv"
    conda:
        "../../envs/plan.yaml"
    resources:
        bricks=int(LEGACYSURVEY.over_network),
        mem_mb=lambda wildcards, attempt: 800 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        release=LEGACYSURVEY.release.name,
        archive=lambda wildcards: LEGACYSURVEY.archive,
    shell:
        f"{RUN}/run/fetch_index.py legacysurvey "
        "--release {params.release:q} --archive {params.archive:q} --out {output.bricks:q} 2> {log:q}"


checkpoint plan_legacysurvey:
    input:
        targets=rules.prepare_targets.output.table,
        bricks=rules.fetch_legacysurvey_bricks.output.bricks,
    output:
        plan=f"{LEGACYSURVEY.root}/plan.csv",
        pixels=f"{LEGACYSURVEY.root}/plan_pixels.csv",
        targets=f"{LEGACYSURVEY.root}/plan_targets.npy",
        not_selected=LEGACYSURVEY.not_selected,
        bricks=f"{LEGACYSURVEY.root}/plan_bricks.npy",
        urls=f"{LEGACYSURVEY.root}/urls.txt",
    log:
        f"{LOGS}/plan_legacysurvey.log",
    benchmark:
        f"{BENCHMARKS}/plan_legacysurvey.tsv"
    conda:
        "../../envs/plan.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (700 + 20 * int(input.size_mb)),
        runtime=lambda wildcards, input, attempt: attempt * (10 + int(input.size_mb) // 50),
    params:
        out_dir=lambda wildcards, output: str(Path(output.plan).parent),
        release=LEGACYSURVEY.release.name,
        options=LEGACYSURVEY.settings,
        transfer=LEGACYSURVEY.options("transfer"),
    shell:
        f"{RUN}/legacysurvey/plan_legacysurvey.py {literal(options(archive=LEGACYSURVEY.archive))} "
        "--targets {input.targets:q} --bricks {input.bricks:q} --release {params.release:q} {params.options} "
        "{params.transfer} --out-dir {params.out_dir:q} 2> {log:q}"


rule extract_legacysurvey:
    input:
        # A new plan does not make a batch old: its own targets and bricks do, by params.
        plan=ancient(f"{LEGACYSURVEY.root}/plan.csv"),
        targets=ancient(f"{LEGACYSURVEY.root}/plan_targets.npy"),
        bricks=ancient(f"{LEGACYSURVEY.root}/plan_bricks.npy"),
    output:
        list=f"{LEGACYSURVEY.extracted}/batches/{{batch}}.csv",
    log:
        f"{LOGS}/extract_legacysurvey/{{batch}}.log",
    benchmark:
        f"{BENCHMARKS}/extract_legacysurvey/{{batch}}.tsv"
    conda:
        "../../envs/cubes.yaml"
    resources:
        bricks=LEGACYSURVEY.connections_per_job(PARALLEL_JOBS),
        disk_mb=LEGACYSURVEY.disk_mb,
        mem_mb=lambda wildcards, attempt: attempt * LEGACYSURVEY.extract_mb(wildcards),
        runtime=lambda wildcards, attempt: attempt * LEGACYSURVEY.minutes(wildcards, targets=20, whole=20, rows=1),
    params:
        release=LEGACYSURVEY.release.name,
        bricks=LEGACYSURVEY.units,
        digest=LEGACYSURVEY.digests,
        options=LEGACYSURVEY.settings,
        list=lambda wildcards, output: options(list=output.list),
    shell:
        f"{RUN}/legacysurvey/extract_legacysurvey.py {LEGACYSURVEY.source_options} --connections {{resources.bricks}} "
        "--release {params.release:q} --brick {params.bricks} --targets {input.targets:q} --bricks {input.bricks:q} "
        f"{{params.options}} {LEGACYSURVEY.extract_options} {{params.list}} --digest {{params.digest}} 2> {{log:q}}"


# One brick alone: when a person asks for its file, or has removed it.
use rule extract_legacysurvey as extract_legacysurvey_brick with:
    output:
        images=f"{LEGACYSURVEY.extracted}/{{folder}}/{{unit}}.hdf5",
    log:
        f"{LOGS}/extract_legacysurvey/{{folder}}-{{unit}}.log",
    benchmark:
        f"{BENCHMARKS}/extract_legacysurvey/{{folder}}-{{unit}}.tsv"
    params:
        list="",


rule assemble_legacysurvey:
    input:
        targets=rules.prepare_targets.output.table,
        extraction=LEGACYSURVEY.extraction,
    output:
        **CONTACT_SHEET,
        crossmatch=f"{LEGACYSURVEY.assembled}/healpix={{pix16}}/crossmatch_legacysurvey.hdf5",
    log:
        f"{LOGS}/assemble_legacysurvey/{{pix16}}.log",
    benchmark:
        f"{BENCHMARKS}/assemble_legacysurvey/{{pix16}}.tsv"
    conda:
        "../../envs/images.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * LEGACYSURVEY.assemble_mb(wildcards),
        runtime=lambda wildcards, attempt: attempt * (10 + sum(LEGACYSURVEY.n_targets(wildcards)) // 50),
    params:
        config_hash=CONFIG_HASH["legacysurvey"],
        extracted=LEGACYSURVEY.extracted_files,
        name=config["targets"]["name"],
        release=LEGACYSURVEY.release.name,
        radii=LEGACYSURVEY.section["aperture_radii_arcsec"],
        sheet=lambda wildcards, output: options(contact_sheet=output.get("sheet")),
    shell:
        f"{RUN}/legacysurvey/assemble_legacysurvey.py "
        "--config-hash {params.config_hash} --pix16 {wildcards.pix16} "
        "--targets {input.targets:q} --extracted {params.extracted:q} "
        "--radii {params.radii} --name {params.name:q} --release {params.release:q} {params.sheet} "
        "--out {output.crossmatch:q} 2> {log:q}"


rule fetch_viewer:
    input:
        targets=rules.prepare_targets.output.table,
        # Those with a spectrum come first.
        ledgers=[harvest.account[0] for harvest in ENABLED if harvest.survey.product == "spectra"],
    output:
        # The pictures, and notes on what was asked, are no outputs: Snakemake would remove them before it goes on.
        pictures=f"{LEGACYSURVEY.root}/viewer/viewer.csv",
    log:
        f"{LOGS}/fetch_viewer.log",
    benchmark:
        f"{BENCHMARKS}/fetch_viewer.tsv"
    conda:
        "../../envs/plan.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1000,
        runtime=lambda wildcards, attempt: attempt * 2880,
    params:
        out_dir=lambda wildcards, output: str(Path(output.pictures).parent),
        options=as_it_is(LEGACYSURVEY.viewer_options),
        ledgers=lambda wildcards, input: [options(ledgers=ledger) for ledger in input.ledgers],
    shell:
        f"{RUN}/legacysurvey/fetch_viewer.py "
        "--targets {input.targets:q} {params.options} {params.ledgers} --out-dir {params.out_dir:q} "
        "2> {log:q}"
