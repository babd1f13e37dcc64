# The Legacy Surveys: which bricks to read (plan), their cutouts (extract), one file per NSIDE=16 pixel (assemble).


wildcard_constraints:
    brick=r"(north|south)_\d{4}[pm]\d{3}",
    brick_group=r"\d{3}",


rule fetch_legacysurvey_bricks:
    input:
        rules.simulate_legacysurvey.output if BRICK_ARCHIVE == f"{DEMO}/legacysurvey" else [],
    output:
        f"{BRICK_RESOURCES}/bricks.npy",
    log:
        f"{LOGS}/fetch_legacysurvey_bricks.log",
    conda:
        "../../envs/plan.yaml"
    resources:
        bricks=int(is_url(BRICK_ARCHIVE)),
        mem_mb=lambda wildcards, attempt: 800 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        release=BRICKS.name,
        archive=lambda wildcards: BRICK_ARCHIVE,
    shell:
        f"{RUN}/legacysurvey/fetch_legacysurvey_bricks.py "
        "--release {params.release} --archive {params.archive:q} --out {output:q} 2> {log:q}"


checkpoint plan_legacysurvey:
    input:
        targets=rules.prepare_targets.output.table,
        bricks=rules.fetch_legacysurvey_bricks.output,
    output:
        plan=f"{RESULTS}/legacysurvey/plan.csv",
        pixels=f"{RESULTS}/legacysurvey/plan_pixels.csv",
        targets=f"{RESULTS}/legacysurvey/plan_targets.npy",
        bricks=f"{RESULTS}/legacysurvey/plan_bricks.npy",
        urls=f"{RESULTS}/legacysurvey/urls.txt",
    log:
        f"{LOGS}/plan_legacysurvey.log",
    conda:
        "../../envs/plan.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (700 + 20 * int(input.size_mb)),
        runtime=lambda wildcards, input, attempt: attempt * (10 + int(input.size_mb) // 50),
    params:
        release=BRICKS.name,
        options=BRICK_OPTIONS,
        transfer=config["legacysurvey"]["transfer"],
    shell:
        f"{RUN}/legacysurvey/plan_legacysurvey.py --archive {shlex.quote(BRICK_ARCHIVE)} "
        "--targets {input.targets:q} --bricks {input.bricks:q} --release {params.release} {params.options} "
        "--transfer {params.transfer} --out-dir $(dirname {output.plan:q}) 2> {log:q}"


rule extract_legacysurvey:
    input:
        # A new plan does not make a batch old: its own targets and bricks do, by params.
        plan=ancient(f"{RESULTS}/legacysurvey/plan.csv"),
        targets=ancient(f"{RESULTS}/legacysurvey/plan_targets.npy"),
        bricks=ancient(f"{RESULTS}/legacysurvey/plan_bricks.npy"),
    output:
        f"{BRICK_EXTRACTED}/batches/{{batch}}.csv",
    log:
        f"{LOGS}/extract_legacysurvey/{{batch}}.log",
    conda:
        "../../envs/cubes.yaml"
    resources:
        bricks=BRICK_CONNECTIONS_PER_JOB,
        disk_mb=BRICK_DISK_MB,
        mem_mb=lambda wildcards, attempt: attempt * brick_mb(wildcards),
        runtime=lambda wildcards, attempt: attempt * brick_minutes(wildcards),
    params:
        release=BRICKS.name,
        names=bricks_of,
        digest=lambda wildcards: [planned_bricks().digest[brick] for brick in bricks_of(wildcards)],
        options=BRICK_OPTIONS,
        list=lambda wildcards, output: f"--list {shlex.quote(str(output))}",
    shell:
        f"{RUN}/legacysurvey/extract_legacysurvey.py --archive {shlex.quote(BRICK_ARCHIVE)} --server-notes {SERVER_NOTES} "
        "--connections {resources.bricks} --release {params.release} --brick {params.names} "
        "--targets {input.targets:q} --bricks {input.bricks:q} {params.options} "
        f"{BRICK_DOWNLOAD} {BRICK_CAUTION} {journal_options('legacysurvey')} --extracted {BRICK_EXTRACTED} "
        "{params.list} 2> {log:q}"


# One brick alone: when a person asks for its file, or has removed it.
use rule extract_legacysurvey as extract_legacysurvey_brick with:
    output:
        f"{BRICK_EXTRACTED}/{{brick_group}}/{{brick}}.hdf5",
    log:
        f"{LOGS}/extract_legacysurvey/{{brick_group}}-{{brick}}.log",
    params:
        list="",


rule assemble_legacysurvey:
    input:
        targets=rules.prepare_targets.output.table,
        extraction=lambda wildcards: extraction_of(
            bricks_of(wildcards), legacysurvey_crossmatch(wildcards.pix16), LEGACYSURVEY
        ),
    output:
        **CONTACT_SHEET,
        crossmatch=f"{BRICK_CROSSMATCHES}/healpix={{pix16}}/crossmatch_legacysurvey.hdf5",
    log:
        f"{LOGS}/assemble_legacysurvey/{{pix16}}.log",
    conda:
        "../../envs/images.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * (900 + int(3 * min(64, n_cutouts(wildcards)) * CUTOUT_MB)),
        runtime=lambda wildcards, attempt: attempt * (10 + n_cutouts(wildcards) // 50),
    params:
        name=config["targets"]["name"],
        release=BRICKS.name,
        radii=config["legacysurvey"]["aperture_radii_arcsec"],
        extracted=lambda wildcards: [
            str(LEGACYSURVEY.path(Path(BRICK_EXTRACTED), brick)) for brick in bricks_of(wildcards)
        ],
        sheet=lambda wildcards, output: f"--contact-sheet {shlex.quote(output.sheet)}" if CONTACT_SHEET else "",
    shell:
        f"{RUN}/legacysurvey/assemble_legacysurvey.py --config-hash {CONFIG_HASH} "
        "--pix16 {wildcards.pix16} --targets {input.targets:q} --extracted {params.extracted:q} "
        "--radii {params.radii} --name {params.name} --release {params.release} {params.sheet} "
        "--out {output.crossmatch:q} 2> {log:q}"


rule fetch_viewer:
    input:
        targets=rules.prepare_targets.output.table,
        # Those with a spectrum come first.
        ledgers=[f"{RESULTS}/{survey}/ledger.csv" for survey in releases(config) if SURVEYS[survey].product == "spectra"],
    output:
        # The pictures, and notes on what was asked, are no outputs: Snakemake would remove them before it goes on.
        f"{RESULTS}/legacysurvey/viewer/viewer.csv",
    log:
        f"{LOGS}/fetch_viewer.log",
    conda:
        "../../envs/plan.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1000,
        runtime=lambda wildcards, attempt: attempt * 2880,
    params:
        options=VIEWER_OPTIONS,
        ledgers=lambda wildcards, input: " ".join(f"--ledgers {shlex.quote(ledger)}" for ledger in input.ledgers),
    shell:
        f"{RUN}/legacysurvey/fetch_viewer.py "
        "--targets {input.targets:q} {params.options} {params.ledgers} --out-dir $(dirname {output:q}) 2> {log:q}"
