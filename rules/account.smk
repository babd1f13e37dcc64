# What became of every CSV row, for each survey.
for harvest in HARVESTS.values():

    rule:
        name:
            f"account_{harvest.name}"
        input:
            targets=rules.prepare_targets.output.table,
            rejected=rules.prepare_targets.output.rejected,
            plan_targets=f"{harvest.root}/plan_targets.npy",
            not_selected=harvest.not_selected,
            batches=lambda wildcards, harvest=harvest: harvest.harvested(),
        output:
            ledger=harvest.account[0],
            summary=harvest.account[1],
            manifest=harvest.account[2],
        log:
            f"{LOGS}/account_{harvest.name}.log",
        benchmark:
            f"{BENCHMARKS}/account_{harvest.name}.tsv"
        conda:
            "../envs/account.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: attempt * 1000,
            runtime=lambda wildcards, input, attempt: attempt * (10 + len(input.batches)),
        params:
            survey=harvest.name,
            name=config["targets"]["name"],
            config_hash=CONFIG_HASH[harvest.name],
            release=harvest.release.name,
            extracted=harvest.extracted,
            assembled=harvest.assembled,
            keep=options(remove_extracted=not config["keep_extracted"]),
            not_selected=as_it_is(options(not_selected=harvest.not_selected or None)),
        shell:
            f"{RUN}/run/account.py "
            "--survey {params.survey} --extracted {params.extracted:q} --crossmatches {params.assembled:q} "
            "--targets {input.targets:q} --rejected {input.rejected:q} "
            "--plan-targets {input.plan_targets:q} {params.not_selected} --name {params.name:q} --release {params.release:q} "
            "--config-hash {params.config_hash} --ledger {output.ledger:q} --summary {output.summary:q} "
            "--manifest {output.manifest:q} {params.keep} 2> {log:q}"

    rule:
        name:
            harvest.name
        input:
            harvest.account,
            harvest.products,
        localrule: True
