# HETDEX: which cubes to read (plan), the spectra of their targets (extract), one file per NSIDE=16 pixel (assemble).


include: "hetdex_products.smk"


wildcard_constraints:
    ifuslot=r"\d+",
    shotid=r"\d+",


rule fetch_hetdex_index:
    input:
        rules.simulate_hetdex.output.index if CUBE_ARCHIVE == f"{DEMO}/hetdex" else [],
    output:
        f"{HETDEX_RESOURCES}/ifu-index.fits",
    log:
        f"{LOGS}/fetch_hetdex_index.log",
    conda:
        "../../envs/plan.yaml"
    resources:
        cubes=int(is_url(CUBE_ARCHIVE)),
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        release=CUBES.name,
        archive=lambda wildcards: CUBE_ARCHIVE,
    shell:
        f"{RUN}/hetdex/fetch_hetdex_index.py "
        "--release {params.release} --archive {params.archive:q} --out {output:q} 2> {log:q}"


checkpoint plan_hetdex:
    input:
        targets=rules.prepare_targets.output.table,
        index=rules.fetch_hetdex_index.output,
    output:
        plan=f"{RESULTS}/hetdex/plan.csv",
        pixels=f"{RESULTS}/hetdex/plan_pixels.csv",
        targets=f"{RESULTS}/hetdex/plan_targets.npy",
        cubes=f"{RESULTS}/hetdex/plan_cubes.npy",
        urls=f"{RESULTS}/hetdex/urls.txt",
    log:
        f"{LOGS}/plan_hetdex.log",
    conda:
        "../../envs/plan.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (700 + 20 * int(input.size_mb)),
        runtime=lambda wildcards, input, attempt: attempt * (10 + int(input.size_mb) // 50),
    params:
        release=CUBES.name,
        options=" ".join(
            f"--{key.replace('_', '-')} {' '.join(map(shlex.quote, map(str, value if isinstance(value, list) else [value])))}"
            for key in ("min_flag", "fields")
            for value in [config["hetdex"][key]]
            if value is not None
        ),
        line=(
            " ".join(f"--{key} {shlex.quote(MAPS[key])}" for key in ("wavelength", "redshift", "line") if MAPS[key])
            if MAPS["enabled"]
            else ""
        ),
    shell:
        f"{RUN}/hetdex/plan_hetdex.py --archive {shlex.quote(CUBE_ARCHIVE)} "
        "--targets {input.targets:q} --index {input.index:q} --release {params.release} {params.options} {params.line} "
        "--out-dir $(dirname {output.plan:q}) 2> {log:q}"


rule extract_hetdex:
    input:
        # A new plan does not make a cube's spectra old: its own targets do, by params.
        plan=ancient(f"{RESULTS}/hetdex/plan.csv"),
        targets=ancient(f"{RESULTS}/hetdex/plan_targets.npy"),
        cubes=ancient(f"{RESULTS}/hetdex/plan_cubes.npy"),
    output:
        spectra=f"{HETDEX_EXTRACTED}/{{shotid}}/{{shotid}}_{{ifuslot}}.hdf5",
        list=f"{HETDEX_EXTRACTED}/{{shotid}}/{{shotid}}_{{ifuslot}}.csv",
    log:
        f"{LOGS}/extract_hetdex/{{shotid}}_{{ifuslot}}.log",
    conda:
        "../../envs/cubes.yaml"
    resources:
        cubes=int(is_url(CUBE_ARCHIVE)),
        disk_mb=40 * int(is_url(CUBE_ARCHIVE)),
        mem_mb=lambda wildcards, attempt: attempt * (900 + planned_cubes().n_targets[cube_of(wildcards)]),
        runtime=lambda wildcards, attempt: attempt * (20 + planned_cubes().n_targets[cube_of(wildcards)] // 10),
    params:
        release=CUBES.name,
        digest=lambda wildcards: planned_cubes().digest[cube_of(wildcards)],
        options=HETDEX_OPTIONS,
    shell:
        f"{RUN}/hetdex/extract_hetdex.py --archive {shlex.quote(CUBE_ARCHIVE)} --server-notes {SERVER_NOTES} "
        "--release {params.release} --cube {wildcards.shotid}_{wildcards.ifuslot} --targets {input.targets:q} --cubes {input.cubes:q} "
        f"{{params.options}} --download {shlex.quote(f'{RESULTS}/hetdex/downloads')} --known {shlex.quote(CUBES.index())} {journal_options('hetdex')} "
        "--out {output.spectra:q} --list {output.list:q} 2> {log:q}"


rule assemble_hetdex:
    input:
        targets=rules.prepare_targets.output.table,
        plan_targets=ancient(f"{RESULTS}/hetdex/plan_targets.npy"),
        plan_cubes=ancient(f"{RESULTS}/hetdex/plan_cubes.npy"),
        extracted=cubes_of,
        lists=lambda wildcards: lists_of_cubes(planned_cubes().searched[int(wildcards.pix16)]),
    output:
        **MAPS_AS_FITS,
        crossmatch=f"{HETDEX_CROSSMATCHES}/healpix={{pix16}}/crossmatch_hetdex.hdf5",
    log:
        f"{LOGS}/assemble_hetdex/{{pix16}}.log",
    conda:
        "../../envs/cubes.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (800 + 4 * int(input.size_mb)),
        runtime=lambda wildcards, input, attempt: attempt * (10 + len(input.extracted) // 50),
    params:
        name=config["targets"]["name"],
        release=CUBES.name,
        radius=config["hetdex"]["aperture_radius_arcsec"],
        fits=lambda wildcards, output: f"--fits {shlex.quote(output.maps)}" if MAPS_AS_FITS else "",
    shell:
        f"{RUN}/hetdex/assemble_hetdex.py --config-hash {CONFIG_HASH} "
        "--pix16 {wildcards.pix16} --targets {input.targets:q} --plan-targets {input.plan_targets:q} "
        "--plan-cubes {input.plan_cubes:q} --extracted {input.extracted:q} "
        "--name {params.name} --release {params.release} --radius {params.radius} {params.fits} --out {output.crossmatch:q} 2> {log:q}"
