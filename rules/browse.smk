# Pages to look at the spectra of each NSIDE=16 pixel with. They open from disk.

BROWSED = [harvest for harvest in ENABLED if harvest.survey.browser]


rule browse_pixel:
    input:
        batches=lambda wildcards: [file for harvest in BROWSED for file in harvest.harvested([int(wildcards.pix16)])],
    output:
        spectra=directory(f"{REPORT}/healpix={{pix16}}"),
        page=f"{REPORT}/healpix={{pix16}}.html",
    log:
        f"{LOGS}/browse/{{pix16}}.log",
    benchmark:
        f"{BENCHMARKS}/browse/{{pix16}}.tsv"
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 700,
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        # The pixel's file of each survey that has one, by the name of the survey.
        files=lambda wildcards: options(
            **{harvest.name: harvest.assembled_files([int(wildcards.pix16)]) or None for harvest in BROWSED}
        ),
    shell:
        f"{RUN}/run/browse.py " "{params.files} --out {output.page:q} 2> {log:q}"


rule browse:
    input:
        [harvest.account for harvest in ENABLED],
        lambda wildcards: [f"{REPORT}/healpix={pix16}.html" for pix16 in pixels_of_spectra(HARVESTS.values())],
    localrule: True
