# Pages to look at the spectra of each NSIDE=16 pixel with. They open from disk.


rule browse_pixel:
    input:
        unpack(of_same_pixel),
    output:
        spectra=directory(f"{REPORT}/healpix={{pix16}}"),
        page=f"{REPORT}/healpix={{pix16}}.html",
    log:
        f"{LOGS}/browse/{{pix16}}.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 700,
        runtime=lambda wildcards, input, attempt: attempt * (10 + int(input.size_mb) // 50),
    params:
        files=lambda wildcards, input: " ".join(f"--{name} {shlex.quote(str(file))}" for name, file in input.items()),
    shell:
        f"{RUN}/run/browse.py " "{params.files} --out {output.page:q} 2> {log:q}"


rule browse:
    input:
        all_pages,
    localrule: True
