"""What is shown of HETDEX; see `skyharvest.harvest.shown`."""

from skyharvest.harvest.shown import PIXELS, BrowserDescription, ReaderDescription, ReportDescription

REPORT = ReportDescription(
    words={"no_spectrum": "no usable voxels around the position"},
    facts=("files", "epochs"),
    figures=("steps", "sky", "epochs"),
    tables=("fields", "missing"),
    columns={"shotid": "i8", "field": "U", "mjd": "f8", "epoch_group": "i8", "n_epochs": "i8", "fwhm_virus": "f8"},
    fetched_whole=True,  # cubes are compressed
)
BROWSER = BrowserDescription(role="spectra", labels=("shotid", "ifuslot"))
READER = ReaderDescription(
    axes={"spectrum_lambda_vacuum": "wavelength", "spectrum_lambda": "wavelength_air"},
    dimensions=((r"(spectrum|optimal)_(flux|error|coverage)", ("wavelength",)), (r"maps/\w+", PIXELS)),
    kinds={"spectrum": "enabled: true", "optimal": "optimal: gaussian"},
    wavelength="spectrum_lambda_vacuum",
    wavelength_air="spectrum_lambda",
    uncertainty="error",
    image_group="maps",
    image_option="hetdex: {maps: {enabled: true}}",
)
