# Globus: with archive: globus, the planned coadds are copied to a directory of this machine before they are read.


# Runs where Snakemake does: it waits, and needs the login of the person and a way out, not a compute node.
rule globus_transfer:
    input:
        plan=f"{DESI.root}/plan.csv",
    output:
        record=f"{DESI.root}/globus_transfer.csv",
    log:
        f"{LOGS}/globus_transfer.log",
    benchmark:
        f"{BENCHMARKS}/globus_transfer.tsv"
    localrule: True
    conda:
        "../../envs/globus.yaml"
    params:
        release=DESI.release.name,
        destination=as_it_is([DESI.section["globus"][key] for key in ("endpoint", "path")]),
        source=as_it_is(
            options(**{key: DESI.section["globus"][key] or None for key in ("source_endpoint", "source_path")})
        ),
        local=as_it_is(DESI.section["globus"]["local"]),
    shell:
        f"{RUN}/globus_transfer.py "
        "{params.destination:q} --release {params.release:q} {params.source} "
        "--plan {input.plan:q} --local {params.local:q} --record {output.record:q} 2> {log:q}"
