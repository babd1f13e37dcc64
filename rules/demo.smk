# The demo's archives: small simulated releases, written once.


rule simulate_release:
    output:
        csv=f"{DEMO}/targets.csv",
        truth=f"{DEMO}/truth.hdf5",
        tilepix=f"{DEMO}/spectro/redux/demo/healpix/tilepix.fits",
    log:
        f"{LOGS}/simulate_release.log",
    conda:
        "../envs/simulate.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    shell:
        f"{RUN}/simulate_release.py --out {DEMO} " "2> {log:q}"


rule simulate_hetdex:
    input:
        csv=rules.simulate_release.output.csv,
    output:
        truth=f"{DEMO}/hetdex/truth.hdf5",
        index=f"{DEMO}/hetdex/ifu-index.fits",
    log:
        f"{LOGS}/simulate_hetdex.log",
    conda:
        "../envs/simulate.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    shell:
        f"{RUN}/demo/simulate_hetdex.py " f"--csv {{input.csv:q}} --out {DEMO}/hetdex " "2> {log:q}"


rule simulate_legacysurvey:
    input:
        csv=rules.simulate_release.output.csv,
    output:
        truth=f"{DEMO}/legacysurvey/truth.hdf5",
        north=f"{DEMO}/legacysurvey/north/survey-bricks-demo-north.fits.gz",
        south=f"{DEMO}/legacysurvey/south/survey-bricks-demo-south.fits.gz",
    log:
        f"{LOGS}/simulate_legacysurvey.log",
    conda:
        "../envs/simulate.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    shell:
        f"{RUN}/demo/simulate_legacysurvey.py " f"--csv {{input.csv:q}} --out {DEMO}/legacysurvey " "2> {log:q}"
