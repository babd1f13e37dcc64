# The list of what is run: an exposure table for each night, out of the headers of the raw data. A person may edit them.


if DESI_REDUCTION.is_demo:

    rule simulate_desi_night:
        output:
            exposures=f"{DESI_REDUCTION.demo}/exposures.csv",
        log:
            f"{LOGS}/simulate_desi_night.log",
        benchmark:
            f"{BENCHMARKS}/simulate_desi_night.tsv"
        conda:
            "../../../envs/desi_reduction.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: 10 * attempt,
        shell:
            f"{RUN}/demo/simulate_desi_night.py "
            f"--root {DESI_REDUCTION.demo} --exposures {{output.exposures:q}} 2> {{log:q}}"


if DESI_REDUCTION.settings["raw_archive"]:

    rule fetch_desi_raw:
        output:
            fetched=DESI_REDUCTION.path("raw_fetched.csv"),
        log:
            f"{LOGS}/fetch_desi_raw.log",
        benchmark:
            f"{BENCHMARKS}/fetch_desi_raw.tsv"
        conda:
            "../../../envs/desi_reduction.yaml"
        resources:
            archive=config["connections"],
            mem_mb=lambda wildcards, attempt: 1000 * attempt,
            runtime=lambda wildcards, attempt: 24 * 60 * attempt,
        params:
            asked_for=DESI_REDUCTION.asked_for,
        shell:
            f"{RUN}/reduction/desi/fetch_raw.py {DESI_REDUCTION.fetch_options} "
            "--connections {resources.archive} --out {output.fetched:q} 2> {log:q}"


checkpoint desi_exposure_tables:
    input:
        raw=(
            rules.simulate_desi_night.output.exposures
            if DESI_REDUCTION.is_demo
            else (
                rules.fetch_desi_raw.output.fetched
                if DESI_REDUCTION.settings["raw_archive"]
                else DESI_REDUCTION.night_directories
            )
        ),
    output:
        tables=DESI_REDUCTION.path("exposure_tables/tables.csv"),
    log:
        f"{LOGS}/desi_exposure_tables.log",
    benchmark:
        f"{BENCHMARKS}/desi_exposure_tables.tsv"
    conda:
        "../../../envs/desi_reduction.yaml"
    resources:
        archive=min(DESI_REDUCTION.connections("cframe"), 1),
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, input, attempt: attempt * (10 + 5 * len(input)),
    params:
        # Asked for only where this job is planned: a month has thousands of files.
        raw_files=lambda wildcards: DESI_REDUCTION.raw_files,
    shell:
        f"{RUN}/reduction/desi/make_exposure_tables.py {DESI_REDUCTION.begin_options} --out {{output.tables:q}} 2> {{log:q}}"
