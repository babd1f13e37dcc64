# The demo's CSV, and a small simulated release of DESI; those of other surveys are in their files of rules.


rule simulate_release:
    output:
        csv=f"{DEMO}/targets.csv",
        truth=f"{DEMO}/truth.hdf5",
        tilepix=f"{DEMO}/spectro/redux/demo/healpix/tilepix.fits",
    log:
        f"{LOGS}/simulate_release.log",
    benchmark:
        f"{BENCHMARKS}/simulate_release.tsv"
    conda:
        "../envs/simulate.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    shell:
        f"{RUN}/simulate_release.py --out {DEMO} 2> {{log:q}}"
