# What became of every CSV row.


rule account_desi:
    input:
        targets=rules.prepare_targets.output.table,
        rejected=rules.prepare_targets.output.rejected,
        plan_targets=f"{RESULTS}/desi/plan_targets.npy",
        extraction=lambda wildcards: extraction_of(planned().files, f"{RESULTS}/desi/ledger.csv"),
        crossmatches=all_crossmatches,
    output:
        ledger=f"{RESULTS}/desi/ledger.csv",
        summary=f"{RESULTS}/desi/summary.json",
    log:
        f"{LOGS}/account_desi.log",
    conda:
        "../envs/account.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * 1000,
        runtime=lambda wildcards, input, attempt: attempt * (10 + len(input.crossmatches) // 100),
    params:
        survey="desi",
        name=config["targets"]["name"],
        release=RELEASE.name,
        extracted=EXTRACTED,
        assembled=CROSSMATCHES,
    shell:
        f"{RUN}/run/account.py "
        "--survey {params.survey} --extracted {params.extracted:q} --crossmatches {params.assembled:q} "
        "--targets {input.targets:q} --rejected {input.rejected:q} "
        "--plan-targets {input.plan_targets:q} --name {params.name} --release {params.release} "
        "--ledger {output.ledger:q} --summary {output.summary:q} 2> {log:q}"


rule desi:
    input:
        rules.account_desi.output,
    localrule: True
