# What twilights and biases of a month say of each detector and its fibers: a job for each pairing of an IFU and a
# spectrograph, and one for all of them.


rule hetdex_bias:
    input:
        # Which frames there are is a parameter: neither the plan nor a list that is as it was makes anything old.
        plan=ancient(lambda wildcards: rules.plan_hetdex_reduction.output.plan),
        frames=ancient(lambda wildcards: HETDEX_REDUCTION.frames(wildcards.month, wildcards.ifu)),
    output:
        bias=HETDEX_REDUCTION.path("bias/{month}/{ifu}.fits"),
    log:
        f"{LOGS}/hetdex_bias/{{month}}/{{ifu}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_bias/{{month}}/{{ifu}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        frames=lambda wildcards: HETDEX_REDUCTION.digest("bias", wildcards.month, wildcards.ifu),
        options=as_it_is(HETDEX_REDUCTION.options("bias")),
    shell:
        f"{RUN}/reduction/hetdex/make_bias.py "
        "--frames {input.frames:q} {params.options} --out {output.bias:q} 2> {log:q}"


rule hetdex_trace:
    input:
        plan=ancient(lambda wildcards: rules.plan_hetdex_reduction.output.plan),
        frames=ancient(lambda wildcards: HETDEX_REDUCTION.frames(wildcards.month, wildcards.ifu)),
        bias=rules.hetdex_bias.output.bias,
        bad_fibers=HETDEX_REDUCTION.bad("fibers"),
    output:
        trace=HETDEX_REDUCTION.path("trace/{month}/{ifu}.fits"),
    log:
        f"{LOGS}/hetdex_trace/{{month}}/{{ifu}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_trace/{{month}}/{{ifu}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        frames=lambda wildcards: HETDEX_REDUCTION.digest("twilight", wildcards.month, wildcards.ifu),
        options=as_it_is(
            HETDEX_REDUCTION.options("trace", "background", bad_fibers=HETDEX_REDUCTION.settings["bad"]["fibers"])
        ),
    shell:
        f"{RUN}/reduction/hetdex/trace_fibers.py "
        "--frames {input.frames:q} --bias {input.bias:q} {params.options} --out {output.trace:q} 2> {log:q}"


rule hetdex_flat:
    input:
        bias=rules.hetdex_bias.output.bias,
        trace=rules.hetdex_trace.output.trace,
        pixels=HETDEX_REDUCTION.bad("pixels"),
    output:
        flat=directory(HETDEX_REDUCTION.path("flat/{month}/{ifu}")),
    log:
        f"{LOGS}/hetdex_flat/{{month}}/{{ifu}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_flat/{{month}}/{{ifu}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        options=as_it_is(
            HETDEX_REDUCTION.options("flat", "background", bad_pixels=HETDEX_REDUCTION.settings["bad"]["pixels"])
        ),
    shell:
        f"{RUN}/reduction/hetdex/make_pixel_flat.py "
        "--bias {input.bias:q} --trace {input.trace:q} {params.options} --out {output.flat:q} 2> {log:q}"


rule hetdex_twilight:
    input:
        trace=rules.hetdex_trace.output.trace,
        flat=rules.hetdex_flat.output.flat,
    output:
        wavelength=HETDEX_REDUCTION.path("wavelength/{month}/{ifu}.fits"),
    log:
        f"{LOGS}/hetdex_twilight/{{month}}/{{ifu}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_twilight/{{month}}/{{ifu}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        options=as_it_is(HETDEX_REDUCTION.options("wavelength", "fiber_to_fiber", "background")),
    shell:
        f"{RUN}/reduction/hetdex/calibrate_twilight.py "
        "--trace {input.trace:q} --flat {input.flat:q} {params.options} --out {output.wavelength:q} 2> {log:q}"


rule hetdex_amp_to_amp:
    input:
        wavelengths=lambda wildcards: HETDEX_REDUCTION.of_month(
            rules.hetdex_twilight.output.wavelength, wildcards.month
        ),
    output:
        amp_to_amp=HETDEX_REDUCTION.path("amp_to_amp/{month}.fits"),
    log:
        f"{LOGS}/hetdex_amp_to_amp/{{month}}.log",
    benchmark:
        f"{BENCHMARKS}/hetdex_amp_to_amp/{{month}}.tsv"
    conda:
        "../../../envs/hetdex_reduction.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        options=as_it_is(HETDEX_REDUCTION.options("amp_to_amp")),
    shell:
        f"{RUN}/reduction/hetdex/compare_amps.py "
        "--wavelengths {input.wavelengths:q} {params.options} --out {output.amp_to_amp:q} 2> {log:q}"
