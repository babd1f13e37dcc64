# HETDEX: raw VIRUS frames to calibrated fibers, emission lines and continuum sources, and a release of one's own.
from skyharvest.reduction.hetdex import layout


wildcard_constraints:
    month=layout.MONTH,
    ifu=layout.IFU,
    shot=layout.SHOT,
    shotid=layout.SHOTID,
    exposure=layout.EXPOSURE,


HETDEX_RELEASE = HETDEX_REDUCTION.settings["release"]


include: "hetdex/lists.smk"
include: "hetdex/calibration.smk"
include: "hetdex/science.smk"
include: "hetdex/shots.smk"
include: "hetdex/quality.smk"
include: "hetdex/quality_pages.smk"
include: "hetdex/sources.smk"
include: "hetdex/release.smk"
include: "hetdex/reports.smk"
include: "hetdex/account.smk"
