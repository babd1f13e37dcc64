# Pages to look at the spectra of each NSIDE=16 pixel with. They open from disk.


rule browse_pixel:
    input:
        # The pixel's file of each survey that has one, by the name of the survey.
        unpack(
            lambda wildcards: {
                harvest.name: harvest.assembled_file(wildcards.pix16)
                for harvest in ENABLED
                if harvest.survey.browser and int(wildcards.pix16) in harvest.plan.searched
            }
        ),
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
        runtime=lambda wildcards, input, attempt: attempt * (10 + int(input.size_mb) // 50),
    params:
        files=lambda wildcards, input: options(**dict(input.items())),
    shell:
        f"{RUN}/run/browse.py " "{params.files} --out {output.page:q} 2> {log:q}"


rule browse:
    input:
        [harvest.account for harvest in ENABLED],
        lambda wildcards: [f"{REPORT}/healpix={pix16}.html" for pix16 in pixels_of_spectra(HARVESTS.values())],
    localrule: True
