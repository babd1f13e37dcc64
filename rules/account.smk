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


use rule account_desi as account_hetdex with:
    input:
        targets=rules.prepare_targets.output.table,
        rejected=rules.prepare_targets.output.rejected,
        plan_targets=f"{RESULTS}/hetdex/plan_targets.npy",
        extraction=lambda wildcards: lists_of_cubes(planned_cubes().files),
        crossmatches=lambda wildcards: [hetdex_crossmatch(pix16) for pix16 in planned_cubes().searched],
    output:
        ledger=f"{RESULTS}/hetdex/ledger.csv",
        summary=f"{RESULTS}/hetdex/summary.json",
    log:
        f"{LOGS}/account_hetdex.log",
    params:
        survey="hetdex",
        release=CUBES.name,
        extracted=HETDEX_EXTRACTED,
        assembled=HETDEX_CROSSMATCHES,


use rule account_desi as account_legacysurvey with:
    input:
        targets=rules.prepare_targets.output.table,
        rejected=rules.prepare_targets.output.rejected,
        plan_targets=f"{RESULTS}/legacysurvey/plan_targets.npy",
        extraction=lambda wildcards: extraction_of(
            planned_bricks().files, f"{RESULTS}/legacysurvey/ledger.csv", LEGACYSURVEY
        ),
        crossmatches=lambda wildcards: [legacysurvey_crossmatch(pix16) for pix16 in planned_bricks().searched],
    output:
        ledger=f"{RESULTS}/legacysurvey/ledger.csv",
        summary=f"{RESULTS}/legacysurvey/summary.json",
    log:
        f"{LOGS}/account_legacysurvey.log",
    params:
        survey="legacysurvey",
        release=BRICKS.name,
        extracted=BRICK_EXTRACTED,
        assembled=BRICK_CROSSMATCHES,


rule desi:
    input:
        rules.account_desi.output,
    localrule: True


rule hetdex:
    input:
        rules.account_hetdex.output,
        hetdex_products,
    localrule: True


rule legacysurvey:
    input:
        rules.account_legacysurvey.output,
        viewer_pictures,
    localrule: True
