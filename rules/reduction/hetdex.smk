# HETDEX: raw VIRUS frames to calibrated fibers, an HDF5 file for each shot.
from skyharvest.reduction.hetdex import layout


wildcard_constraints:
    month=layout.MONTH,
    ifu=layout.IFU,
    shot=layout.SHOT,
    exposure=layout.EXPOSURE,


include: "hetdex/lists.smk"
include: "hetdex/calibration.smk"
include: "hetdex/science.smk"
include: "hetdex/shots.smk"
include: "hetdex/quality.smk"
include: "hetdex/quality_pages.smk"
include: "hetdex/account.smk"
