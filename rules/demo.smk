# The demo's archive: a small simulated release, written once.


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
