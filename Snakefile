# Skyharvest: the table of contents. What a run does is in rules/, how it does it in scripts/, what it may be told in
# config/. Bare `snakemake` makes what the config asks for; without --configfile that is the demo.
from snakemake.utils import min_version

min_version("9.27")


include: "rules/home.smk"
include: "rules/common.smk"
include: "rules/status.smk"
include: "rules/check.smk"
include: "rules/demo.smk"
include: "rules/targets.smk"


for name in HARVESTS:

    include: f"rules/harvest/{name}.smk"


for name in REDUCED:

    include: f"rules/reduction/{name}.smk"


include: "rules/account.smk"
include: "rules/export.smk"
include: "rules/browse.smk"
include: "rules/report.smk"
include: "rules/database.smk"


rule all:
    default_target: True
    input:
        asked_for,
    localrule: True
