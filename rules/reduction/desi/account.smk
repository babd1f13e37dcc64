# What became of every exposure × camera × step, and the production as a release that can be harvested.


rule account_desi_reduction:
    input:
        # A person edits them: what is left out from now on needs no job.
        tables=lambda wildcards: DESI_REDUCTION.tables,
        done=lambda wildcards: DESI_REDUCTION.all_done(),
        by_hand=lambda wildcards: DESI_REDUCTION.by_hand,
    output:
        ledger=DESI_REDUCTION.path("ledger.csv"),
        summary=DESI_REDUCTION.path("summary.json"),
    log:
        f"{LOGS}/account_desi_reduction.log",
    benchmark:
        f"{BENCHMARKS}/account_desi_reduction.tsv"
    conda:
        "../../../envs/desi_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        asked_for=DESI_REDUCTION.asked_for,
    shell:
        f"{RUN}/reduction/desi/account_reduction.py {DESI_REDUCTION.program_options} "
        "--ledger {output.ledger:q} --summary {output.summary:q} 2> {log:q}"


rule release_desi_reduction:
    input:
        summary=rules.account_desi_reduction.output.summary,
    output:
        # tilepix.fits and the checksums are no outputs: they stay as they are where nothing has changed.
        said=DESI_REDUCTION.path("release.txt"),
    log:
        f"{LOGS}/release_desi_reduction.log",
    benchmark:
        f"{BENCHMARKS}/release_desi_reduction.tsv"
    conda:
        "../../../envs/desi_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        production=as_it_is(str(DESI_REDUCTION.directory)),
    shell:
        f"{RUN}/reduction/desi/write_release.py " "--production {params.production:q} > {output.said:q} 2> {log:q}"


rule catalogue_desi_reduction:
    input:
        summary=rules.account_desi_reduction.output.summary,
    output:
        catalogues=DESI_REDUCTION.catalogues,
    log:
        f"{LOGS}/catalogue_desi_reduction.log",
    benchmark:
        f"{BENCHMARKS}/catalogue_desi_reduction.tsv"
    conda:
        "../../../envs/desi_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    shell:
        f"{RUN}/reduction/desi/write_catalogues.py {DESI_REDUCTION.program_options} " "2> {log:q}"


rule finish_desi_reduction:
    input:
        catalogues=rules.catalogue_desi_reduction.output,
        release=lambda wildcards: rules.release_desi_reduction.output if DESI_REDUCTION.has_pixels else [],
        # It fails where something has failed: how good the rest is stands before that.
        quality=rules.desi_qa_pages.output if DESI_REDUCTION.quality else [],
        ledger=rules.account_desi_reduction.output.ledger,
        summary=rules.account_desi_reduction.output.summary,
    output:
        complete=DESI_REDUCTION.path("complete.json"),
    log:
        f"{LOGS}/finish_desi_reduction.log",
    benchmark:
        f"{BENCHMARKS}/finish_desi_reduction.tsv"
    conda:
        "../../../envs/desi_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    shell:
        f"{RUN}/reduction/desi/finish_reduction.py "
        "--ledger {input.ledger:q} --summary {input.summary:q} --out {output.complete:q} 2> {log:q}"


rule reduce_desi:
    input:
        rules.finish_desi_reduction.output.complete,
    localrule: True
