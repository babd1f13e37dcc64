# The Legacy Surveys: which bricks to read (plan), their cutouts, in a file per NSIDE=16 pixel (harvest).
LEGACYSURVEY = HARVESTS["legacysurvey"]


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
        options=LEGACYSURVEY.cutting,
        transfer=LEGACYSURVEY.options("transfer"),
    shell:
        f"{RUN}/legacysurvey/plan_legacysurvey.py {literal(options(archive=LEGACYSURVEY.archive))} "
        "--targets {input.targets:q} --bricks {input.bricks:q} --release {params.release:q} {params.options} "
        "{params.transfer} --out-dir {params.out_dir:q} 2> {log:q}"


rule harvest_legacysurvey:
    input:
        # New tables do not make a batch old: its own targets, bricks and settings do, by their digest.
        plan=ancient(f"{LEGACYSURVEY.root}/plan.csv"),
        plan_targets=ancient(f"{LEGACYSURVEY.root}/plan_targets.npy"),
        plan_bricks=ancient(f"{LEGACYSURVEY.root}/plan_bricks.npy"),
        targets=ancient(TARGETS),
        alone=LEGACYSURVEY.alone,
    output:
        # The files of pixels are no outputs: Snakemake would remove all of a batch where one fails.
        list=f"{LEGACYSURVEY.extracted}/batches/{{batch}}.csv",
    log:
        f"{LOGS}/harvest_legacysurvey/{{batch}}.log",
    benchmark:
        f"{BENCHMARKS}/harvest_legacysurvey/{{batch}}.tsv"
    conda:
        "../../envs/images.yaml"
    resources:
        bricks=LEGACYSURVEY.connections_per_job(PARALLEL_JOBS),
        disk_mb=LEGACYSURVEY.disk_mb,
        mem_mb=lambda wildcards, attempt: attempt * LEGACYSURVEY.mb(wildcards),
        runtime=lambda wildcards, attempt: attempt * LEGACYSURVEY.minutes(wildcards, targets=20, whole=20, rows=1),
    params:
        batch=LEGACYSURVEY.batch,
        digest=LEGACYSURVEY.digest,
        release=LEGACYSURVEY.release.name,
        settings=LEGACYSURVEY.settings,
        name=config["targets"]["name"],
        config_hash=CONFIG_HASH["legacysurvey"],
        list=lambda wildcards, output: options(list=output.list),
    shell:
        f"{RUN}/legacysurvey/harvest_legacysurvey.py {LEGACYSURVEY.source_options} --connections {{resources.bricks}} "
        "--release {params.release:q} --targets {input.targets:q} --plan {input.plan:q} --batch {params.batch} "
        "{params.settings} --name {params.name:q} --config-hash {params.config_hash} "
        f"{LEGACYSURVEY.job_options} --digest {{params.digest}} {{params.list}} 2> {{log:q}}"


# One pixel alone, when a person asks for its file.
use rule harvest_legacysurvey as harvest_legacysurvey_pixel with:
    output:
        crossmatch=f"{LEGACYSURVEY.assembled}/healpix={{pix16}}/crossmatch_legacysurvey.hdf5",
    log:
        f"{LOGS}/harvest_legacysurvey/healpix={{pix16}}.log",
    benchmark:
        f"{BENCHMARKS}/harvest_legacysurvey/healpix={{pix16}}.tsv"
    params:
        list="",


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
