# Globus: with archive: globus, the planned coadds are copied to a directory of this machine before they are read.


# Runs where Snakemake does: it waits, and needs the login of the person and a way out, not a compute node.
rule globus_transfer:
    input:
        f"{RESULTS}/desi/plan.csv",
    output:
        f"{RESULTS}/desi/globus_transfer.csv",
    log:
        f"{LOGS}/globus_transfer.log",
    localrule: True
    conda:
        "../../envs/globus.yaml"
    params:
        release=RELEASE.name,
        destination=[GLOBUS["endpoint"], GLOBUS["path"]],
        local=GLOBUS["local"],
        source=[
            word
            for key in ("source_endpoint", "source_path")
            if GLOBUS[key]
            for word in (f"--{key.replace('_', '-')}", GLOBUS[key])
        ],
    shell:
        f"{RUN}/globus_transfer.py "
        "{params.destination:q} --release {params.release} {params.source:q} "
        "--plan {input:q} --local {params.local:q} --record {output:q} 2> {log:q}"
