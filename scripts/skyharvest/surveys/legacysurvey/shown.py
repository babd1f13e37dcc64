"""What is shown of the Legacy Surveys; see `skyharvest.harvest.shown`."""

from skyharvest.harvest.shown import PIXELS, BrowserDescription, ReaderDescription, ReportDescription

REPORT = ReportDescription(
    result="an image",
    facts=("bricks",),
    figures=("steps", "sky", "bands", "magnitudes"),
    pictures=("contact_sheet",),
    tables=("missing",),
    columns={"coverage": "f8", "aperture_magnitude": "f8", "brickname": "U"},
    constants=("band", "aperture_radius"),
)
BROWSER = BrowserDescription(role="images", datasets=("image", "band"))
READER = ReaderDescription(
    axes={"band": "band", "aperture_radius": "radius"},
    dimensions=(
        (r"aperture_\w+", ("band", "radius")),
        (r"\w+", ("band",)),
        (r"\w+", PIXELS),
        (r"\w+", ("band", *PIXELS)),
    ),
)
