# A database of what there is: the harvest, the production, and catalogues of releases. Made when it is asked for.
from skyharvest.database.rules import Loads

LOADS = Loads(config, [harvest.name for harvest in ENABLED], force=FORCE)


rule load_harvest:
    input:
        targets=rules.prepare_targets.output.table,
        rejected=rules.prepare_targets.output.rejected,
        accounts=[harvest.account for harvest in ENABLED],
    output:
        said=LOADS.said(LOADS.schema),
    log:
        f"{LOGS}/load_harvest.log",
    benchmark:
        f"{BENCHMARKS}/load_harvest.tsv"
    conda:
        "../envs/database.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1500,
        runtime=lambda wildcards, input, attempt: attempt * (20 + int(input.size_mb)),
    params:
        schema=LOADS.schema,
        results=as_it_is(RESULTS),
        surveys=LOADS.surveys,
    shell:
        f"{RUN}/database/load_harvest.py {LOADS.program_options} --schema {{params.schema}} "
        "--results {params.results:q} --surveys {params.surveys} > {output.said:q} 2> {log:q}"


rule load_catalogues:
    input:
        files=lambda wildcards: (
            rules.catalogue_desi_reduction.output.catalogues
            if wildcards.schema == LOADS.production
            else LOADS.files(wildcards.schema)
        ),
    output:
        said=LOADS.said_of_catalogues,
    log:
        f"{LOGS}/load_catalogues/{{schema}}.log",
    benchmark:
        f"{BENCHMARKS}/load_catalogues/{{schema}}.tsv"
    conda:
        "../envs/database.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 2000,
        runtime=lambda wildcards, input, attempt: attempt * (20 + int(input.size_mb) // 100),
    shell:
        f"{RUN}/database/load_catalogues.py {LOADS.program_options} "
        "--schema {wildcards.schema} --files {input.files:q} > {output.said:q} 2> {log:q}"


rule load_database:
    input:
        LOADS.loaded,
    localrule: True
