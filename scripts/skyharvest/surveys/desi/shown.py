"""What is shown of DESI; see `skyharvest.harvest.shown`."""

from skyharvest.harvest.shown import BrowserDescription, ReaderDescription, ReportDescription

ARMS = ("b", "r", "z")
SPECTRA = {f"spectrum_{kind}" for kind in ("lambda", "flux", "ivar", "mask", "lsf_sigma")} | {
    f"{arm}_{kind}" for arm in ARMS for kind in ("lambda", "flux", "ivar", "mask", "resolution")
}
"""Datasets of an assembled file that are not columns."""

REPORT = ReportDescription(
    words={
        "no_fiber": "no fiber within the match radius",
        "no_spectrum": "only fibers without data, or of sky, within the match radius",
    },
    nearest="fiber",
    facts=("programs", "files", "warned"),
    figures=("steps", "sky", "separations", "redshifts", "signal", "pixels"),
    tables=("pixels", "classes", "missing"),
    file_states=("read", "absent"),
    columns={"z": "f8", "zwarn": "i8", "spectype": "U", "survey": "U", "program": "U", "median_coadd_snr_r": "f8"},
    # A coadd has 18 headers and the wavelengths; for each fiber 7,958 pixels of three arms, with FLUX, IVAR, MASK and
    # 11 diagonals of RESOLUTION in 32 bits, are 445,648 bytes; FIBERMAP, SCORES and EXP_FIBERMAP make up the rest. The
    # DR1 coadd of 1,500 fibers that this was compared with has 446,700 bytes a fiber.
    header_bytes=130_000,
    row_bytes=447_000,
)
BROWSER = BrowserDescription(
    role="sources",
    datasets=("targetid", "ra", "dec"),
    columns=(
        *("ra", "dec", "z", "zerr", "zwarn", "deltachi2", "spectype", "subtype"),
        *("survey", "program", "separation_arcsec", "primary"),
    ),
)
READER = ReaderDescription(
    axes={"spectrum_lambda": "wavelength", **{f"{arm}_lambda": f"{arm}_wavelength" for arm in ARMS}},
    dimensions=(
        (r"spectrum_(flux|ivar|mask|lsf_sigma)", ("wavelength",)),
        (r"([brz])_(flux|ivar|mask)", (r"\1_wavelength",)),
        (r"([brz])_resolution", (r"\1_diagonal", r"\1_wavelength")),
    ),
    kinds={"spectrum": "combine: true", **dict.fromkeys(ARMS, "arms: true")},
)
