# What the tools of others read: DESI's coadd format, the Multimodal Universe's, and HATS. Made when they are asked for.
EXPORTED = {kind: f"{RESULTS}/export_{kind}" for kind in ("fits", "mmu", "hats")}
COADD_FITS = f"{EXPORTED['fits']}/healpix={{pix16}}/coadd-{{pix16}}.fits"
REDROCK_FITS = COADD_FITS.replace("coadd-", "redrock-")
MMU_FILE = f"{EXPORTED['mmu']}/healpix={{pix16}}/001-of-001.hdf5"
WITH_REDROCK = config["desi"]["spectra"]["redshifts"]

# hats-import and Snakemake want different versions of a library: outside of conda it has an environment of its own.
HATS_PYTHON = Path(sys.prefix, "hats", "bin", "python")
RUN_HATS = RUN.replace(shown(sys.executable), shown(HATS_PYTHON), 1) if HATS_PYTHON.exists() and not IN_CONDA else RUN


rule export_fits_pixel:
    input:
        targets=rules.prepare_targets.output.table,
        extraction=lambda wildcards: extraction_of(
            planned().searched[int(wildcards.pix16)], COADD_FITS.format(pix16=wildcards.pix16)
        ),
    output:
        **({"redrock": REDROCK_FITS} if WITH_REDROCK else {}),
        coadd=COADD_FITS,
    log:
        f"{LOGS}/export_fits/{{pix16}}.log",
    conda:
        "../envs/exports.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * (800 + sum(n_targets(wildcards)) // 10),
        runtime=lambda wildcards, attempt: attempt * (10 + sum(n_targets(wildcards)) // 50),
    params:
        extracted=extracted_of,
        release=RELEASE.name,
        redrock=lambda wildcards, output: f"--redrock {shlex.quote(output.redrock)}" if WITH_REDROCK else "",
    shell:
        f"{RUN}/export/export_fits.py --config-hash {CONFIG_HASH} "
        "--pix16 {wildcards.pix16} --targets {input.targets:q} --extracted {params.extracted:q} "
        "--release {params.release} {params.redrock} --out {output.coadd:q} 2> {log:q}"


rule export_fits:
    input:
        lambda wildcards: expand(COADD_FITS, pix16=planned().searched),
    localrule: True


rule export_mmu_pixel:
    input:
        # A pixel of fibers: those of targets in its neighbours may lie in it, too.
        crossmatches=lambda wildcards: [
            crossmatch_file(pix16) for pix16 in by_fibers(planned()).get(int(wildcards.pix16), [])
        ],
    output:
        MMU_FILE,
    log:
        f"{LOGS}/export_mmu/{{pix16}}.log",
    conda:
        "../envs/exports.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (700 + int(input.size_mb) // 2),
        runtime=lambda wildcards, input, attempt: attempt * (10 + int(input.size_mb) // 50),
    params:
        name=config["targets"]["name"],
        release=RELEASE.name,
    shell:
        f"{RUN}/export/export_mmu.py --config-hash {CONFIG_HASH} "
        "--pix16 {wildcards.pix16} --crossmatches {input.crossmatches:q} "
        "--name {params.name} --release {params.release} --out {output:q} 2> {log:q}"


rule export_mmu:
    input:
        lambda wildcards: expand(MMU_FILE, pix16=sorted(by_fibers(planned()))),
    localrule: True


rule export_hats:
    input:
        plan=f"{RESULTS}/desi/plan.csv",
        crossmatches=all_crossmatches,
    output:
        directory(EXPORTED["hats"]),
    log:
        f"{LOGS}/export_hats.log",
    conda:
        "../envs/hats.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, input, attempt: attempt * (30 + int(input.size_mb) // 50),
    params:
        crossmatches=CROSSMATCHES,
        name=config["targets"]["name"],
        release=RELEASE.name,
    shell:
        f"{RUN_HATS}/export/export_hats.py "
        "--plan {input.plan:q} --crossmatches {params.crossmatches:q} "
        "--name {params.name} --release {params.release} --out {output:q} 2> {log:q}"
