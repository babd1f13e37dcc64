# What the tools of others read: DESI's coadd format, the Multimodal Universe's, and HATS. Made when they are asked for.
EXPORTED = {kind: f"{RESULTS}/export_{kind}" for kind in ("fits", "mmu", "hats")}
COADD_FITS = f"{EXPORTED['fits']}/healpix={{pix16}}/coadd-{{pix16}}.fits"
REDROCK_FITS = (
    {"redrock": f"{EXPORTED['fits']}/healpix={{pix16}}/redrock-{{pix16}}.fits"}
    if DESI.section["spectra"]["redshifts"]
    else {}
)
MMU_FILE = f"{EXPORTED['mmu']}/healpix={{pix16}}/001-of-001.hdf5"

# hats-import and Snakemake want different versions of a library: outside of conda it has an environment of its own.
HATS_PYTHON = Path(sys.prefix, "hats", "bin", "python")
RUN_HATS = RUN.replace(shown(sys.executable), shown(HATS_PYTHON), 1) if HATS_PYTHON.exists() and not IN_CONDA else RUN


rule export_fits_pixel:
    input:
        plan=ancient(f"{DESI.root}/plan.csv"),
        targets=rules.prepare_targets.output.table,
        batches=lambda wildcards: DESI.harvested([int(wildcards.pix16)]),
    output:
        **REDROCK_FITS,
        coadd=COADD_FITS,
    log:
        f"{LOGS}/export_fits/{{pix16}}.log",
    benchmark:
        f"{BENCHMARKS}/export_fits/{{pix16}}.tsv"
    conda:
        "../envs/exports.yaml"
    resources:
        archive=DESI.connections_per_job(PARALLEL_JOBS),
        mem_mb=lambda wildcards, attempt: attempt * (800 + sum(DESI.n_targets(wildcards)) // 10),
        runtime=lambda wildcards, attempt: attempt * DESI.minutes(wildcards, targets=10, whole=2, rows=2),
    params:
        config_hash=CONFIG_HASH["desi"],
        extracted=DESI.extracted,
        release=DESI.release.name,
        reading=DESI.reading,
        redrock=lambda wildcards, output: options(redrock=output.get("redrock")),
    shell:
        f"{RUN}/export/export_fits.py {DESI.source_options} --connections {{resources.archive}} "
        "--config-hash {params.config_hash} --pix16 {wildcards.pix16} "
        "--targets {input.targets:q} --plan {input.plan:q} --extracted {params.extracted:q} {params.reading} "
        "--release {params.release:q} {params.redrock} --out {output.coadd:q} 2> {log:q}"


rule export_fits:
    input:
        DESI.account,
        lambda wildcards: expand(COADD_FITS, pix16=DESI.plan.searched),
    localrule: True


rule export_mmu_pixel:
    input:
        # A pixel of fibers: those of targets in its neighbours may lie in it, too.
        batches=lambda wildcards: DESI.harvested(DESI.near(wildcards.pix16)),
    output:
        spectra=MMU_FILE,
    log:
        f"{LOGS}/export_mmu/{{pix16}}.log",
    benchmark:
        f"{BENCHMARKS}/export_mmu/{{pix16}}.tsv"
    conda:
        "../envs/exports.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1500,
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        crossmatches=lambda wildcards: DESI.assembled_files(DESI.near(wildcards.pix16)),
        name=config["targets"]["name"],
        release=DESI.release.name,
    shell:
        f"{RUN}/export/export_mmu.py {literal(options(archive=DESI.archive))} "
        "--pix16 {wildcards.pix16} --crossmatches {params.crossmatches:q} "
        "--name {params.name:q} --release {params.release:q} --out {output.spectra:q} 2> {log:q}"


rule export_mmu:
    input:
        DESI.account,
        lambda wildcards: expand(MMU_FILE, pix16=DESI.pixels_of_fibers()),
    localrule: True


rule export_hats:
    input:
        plan=f"{DESI.root}/plan.csv",
        account=DESI.account,
        batches=lambda wildcards: DESI.harvested(),
    output:
        catalogue=directory(EXPORTED["hats"]),
    log:
        f"{LOGS}/export_hats.log",
    benchmark:
        f"{BENCHMARKS}/export_hats.tsv"
    conda:
        "../envs/hats.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, input, attempt: attempt * (30 + len(input.batches)),
    params:
        crossmatches=DESI.assembled,
        name=config["targets"]["name"],
        release=DESI.release.name,
    shell:
        f"{RUN_HATS}/export/export_hats.py "
        "--plan {input.plan:q} --crossmatches {params.crossmatches:q} "
        "--name {params.name:q} --release {params.release:q} --out {output.catalogue:q} 2> {log:q}"
