# DESI: which coadds to read (plan), their matched rows (extract), one file per NSIDE=16 pixel (assemble).


wildcard_constraints:
    pix16=r"\d+",
    pix64=r"\d+",
    pix64_group=r"\d+",
    survey="[a-z0-9]+",
    program="[a-z0-9]+",


rule fetch_tilepix:
    input:
        rules.simulate_release.output.tilepix if ARCHIVE == DEMO else [],
    output:
        f"{RESOURCES}/tilepix.fits",
    log:
        f"{LOGS}/fetch_tilepix.log",
    conda:
        "../envs/plan.yaml"
    resources:
        archive=int(OVER_NETWORK),
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        release=RELEASE.name,
        archive=lambda wildcards: ARCHIVE,
    shell:
        f"{RUN}/fetch_tilepix.py " "--release {params.release} --archive {params.archive:q} --out {output:q} 2> {log:q}"


checkpoint plan_desi:
    input:
        targets=rules.prepare_targets.output.table,
        tilepix=rules.fetch_tilepix.output,
    output:
        plan=f"{RESULTS}/desi/plan.csv",
        pixels=f"{RESULTS}/desi/plan_pixels.csv",
        targets=f"{RESULTS}/desi/plan_targets.npy",
    log:
        f"{LOGS}/plan_desi.log",
    conda:
        "../envs/plan.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (700 + 20 * int(input.size_mb)),
        runtime=lambda wildcards, input, attempt: attempt * (10 + int(input.size_mb) // 50),
    params:
        release=RELEASE.name,
        surveys=config["desi"]["surveys"],
        programs=config["desi"]["programs"],
        radius=config["match"]["radius_arcsec"],
        targetid=(
            f"--targetid {shlex.quote(config['targets']['targetid'])}"
            if config["targets"]["targetid"] is not None
            else ""
        ),
    shell:
        f"{RUN}/plan_desi.py "
        "--targets {input.targets:q} {params.targetid} --tilepix {input.tilepix:q} "
        f"--archive {shlex.quote(ARCHIVE)} "
        "--release {params.release} --surveys {params.surveys} --programs {params.programs} "
        "--radius {params.radius} --out-dir $(dirname {output.plan:q}) 2> {log:q}"


rule plan:
    input:
        f"{RESULTS}/desi/plan.csv",
    localrule: True


rule download_desi_coadd:
    input:
        ancient(f"{RESULTS}/desi/plan.csv"),
    output:
        coadd=temp(release_path("coadd")),
        redrock=temp(release_path("redrock")),
    log:
        f"{LOGS}/download_desi_coadd/{{pix64_group}}/{{survey}}-{{program}}-{{pix64}}.log",
    conda:
        "../envs/extract.yaml"
    resources:
        archive=int(OVER_NETWORK),
        mem_mb=lambda wildcards, attempt: 300 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
        disk_mb=1100,
    params:
        release=RELEASE.name,
    shell:
        f"{RUN}/download_desi_coadd.py --archive {shlex.quote(ARCHIVE)} "
        "--release {params.release} "
        "--survey {wildcards.survey} --program {wildcards.program} --pix64 {wildcards.pix64} "
        "--coadd {output.coadd:q} --redrock {output.redrock:q} 2> {log:q}"


rule extract_desi:
    input:
        # A new plan does not make a pixel old: its own targets and coadds do, by params.
        plan=ancient(f"{RESULTS}/desi/plan.csv"),
        targets=ancient(f"{RESULTS}/desi/plan_targets.npy"),
        downloads=downloads,
    output:
        f"{EXTRACTED}/{{pix64_group}}/{{pix64}}.hdf5",
    log:
        f"{LOGS}/extract_desi/{{pix64_group}}/{{pix64}}.log",
    conda:
        "../envs/extract.yaml"
    resources:
        archive=CONNECTIONS_PER_JOB if config["desi"]["transfer"] == "rows" else 0,
        mem_mb=lambda wildcards, attempt: attempt * (400 + planned().n_targets[int(wildcards.pix64)] // 10),
        runtime=lambda wildcards, attempt: attempt * (20 + planned().n_targets[int(wildcards.pix64)] // 10),
    params:
        coadds=coadd_options,
        digest=lambda wildcards: planned().digest[int(wildcards.pix64)],
        radius=config["match"]["radius_arcsec"],
        report_radius=config["match"]["report_radius_arcsec"],
        flags=flags(
            no_resolution=not config["desi"]["spectra"]["lsf"],
            no_redshifts=not config["desi"]["spectra"]["redshifts"],
        ),
    shell:
        f"{RUN}/extract_desi_coadd.py --archive {shlex.quote(EXTRACT_FROM)} --server-notes {SERVER_NOTES} "
        "--connections {resources.archive} "
        "{params.coadds} --targets {input.targets:q} --pix64 {wildcards.pix64} --radius {params.radius} "
        "--report-radius {params.report_radius} {params.flags} --record-missing --out {output:q} 2> {log:q}"


rule assemble_desi:
    input:
        targets=rules.prepare_targets.output.table,
        extracted=extracted_of,
    output:
        f"{CROSSMATCHES}/healpix={{pix16}}/crossmatch_desi.hdf5",
    log:
        f"{LOGS}/assemble_desi/{{pix16}}.log",
    conda:
        "../envs/assemble.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (600 + int(input.size_mb) // 10),
        runtime=lambda wildcards, input, attempt: attempt * (10 + int(input.size_mb) // 50),
    params:
        name=config["targets"]["name"],
        release=RELEASE.name,
        radius=config["match"]["radius_arcsec"],
        flags=flags(
            no_combine=not config["desi"]["spectra"]["combine"],
            no_lsf=not config["desi"]["spectra"]["lsf"],
            no_redshifts=not config["desi"]["spectra"]["redshifts"],
            arms=config["desi"]["spectra"]["arms"],
        ),
    shell:
        f"{RUN}/assemble_desi.py --config-hash {CONFIG_HASH} "
        "--pix16 {wildcards.pix16} --targets {input.targets:q} --extracted {input.extracted:q} "
        "--name {params.name} --release {params.release} --radius {params.radius} "
        "{params.flags} --out {output:q} 2> {log:q}"
