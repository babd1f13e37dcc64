# DESI: raw exposures to redshifts.


include: "desi/tables.smk"
include: "desi/steps.smk"
include: "desi/quality.smk"
include: "desi/quality_pages.smk"
include: "desi/account.smk"
