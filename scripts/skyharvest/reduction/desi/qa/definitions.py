"""The metrics that there are: what each is, of what, in which unit. Their limits: ``config/desi_qa_limits.yaml``.

Light. Names are those of DESI's former QA where it had such (desispec before 0.50, ``desispec.qa``), and of desispec's
exposure QA (``desispec.exposure_qa``).
"""

from collections.abc import Iterator
from dataclasses import dataclass

AMPS = ("A", "B", "C", "D")

FIDUCIALS = {"ELG": 23.0, "LRG": 22.0, "QSO": 22.0, "BGS": 19.5, "MWS": 18.0, "STAR": 18.0}
"""Class of targets → the magnitude, in the camera's own band (g, r, z), at which its S/N is told. Those of ELG, LRG and
QSO are the fiducials of DESI's former QA (``prod_avg_s2n``)."""
SHOWN_FIDUCIALS = {"ELG": "r", "LRG": "z", "QSO": "b"}
"""Class → the arm in which DESI's former QA showed its S/N over a production."""

FILES = (
    "preproc",
    "fit-psf",
    "psf",
    "psfnight",
    "frame",
    "fiberflat",
    "fiberflatnight",
    "sky",
    "skycorr",
    "stdstars",
    "fluxcalib",
    "cframe",
)
"""What can be measured, by the names of their files."""

STEP_OF = {
    "PREPROC": "preproc",
    "PSF": "psf",
    "TRACESHIFT": "traceshift",
    "EXTRACT": "extract",
    "FIBERFLAT": "fiberflat",
    "SKYSUB": "sky",
    "FLUXCALIB": "fluxcalib",
    "S2N": "cframe",
}
"""QATYPE → the step that makes what it measures, in the order of steps."""


@dataclass(frozen=True)
class Definition:
    """What a metric is.

    Attributes
    ----------
    meaning
        A few words.
    of
        ``frame``: measured in a camera's exposure. ``night``: of such, and told once the whole night is known.
        ``exposure`` and ``nights``: of an exposure, of a night as a whole.
    amps
        Whether there is one for each amplifier, with its letter behind the name: ``PREPROC-READNOISE_A``.
    """

    name: str
    unit: str
    meaning: str
    of: str = "frame"
    amps: bool = False


_D = Definition
_DEFINITIONS = (
    _D("PREPROC-MISSING", "", "no preprocessed image, or none that can be read"),
    _D("PREPROC-READNOISE", "electron", "read noise of the overscan (OBSRDN)", amps=True),
    _D("PREPROC-OVERSCAN", "ADU", "level of the overscan (OVERSCN)", amps=True),
    _D("PREPROC-OVERSCAN_STEP", "ADU", "largest less smallest overscan of rows (OSTEP), of the worst amplifier"),
    _D(
        "PREPROC-NOISE",
        "",
        "width of the pixels between and beside the traces, over that of their variances",
        amps=True,
    ),
    _D("PREPROC-MASKED", "", "share of pixels that are masked, but for cosmics", amps=True),
    _D("PREPROC-COSMICS", "", "share of pixels that are masked as cosmics", amps=True),
    _D("PSF-MISSING", "", "no PSF of the arc, or none that can be read"),
    _D("PSF-XSIGMA", "pixel", "width of spots across the traces, median"),
    _D("PSF-YSIGMA", "pixel", "width of spots along the traces, median"),
    _D("PSF-XSIGMA_CHANGE", "", "that, over the calibration's, less 1"),
    _D("PSF-YSIGMA_CHANGE", "", "that, over the calibration's, less 1"),
    _D("PSF-DX", "pixel", "traces less the calibration's, across, median"),
    _D("PSF-DY", "pixel", "traces less the calibration's, along, median"),
    _D("PSF-CHI2", "", "χ² per degree of freedom of the fit, of the worst bundle"),
    _D("PSF-NBAD", "", "fibers whose PSF was not measured (STATUS), and that are not known as bad"),
    _D("TRACESHIFT-MISSING", "", "no traces of the exposure, or none that can be read"),
    _D("TRACESHIFT-DX", "pixel", "traces less the night's (psfnight), across, median"),
    _D("TRACESHIFT-DY", "pixel", "traces less the night's (psfnight), along, median"),
    _D("TRACESHIFT-BEND", "pixel", "largest difference of a trace's move from that median, in x or y"),
    _D("EXTRACT-MISSING", "", "no frame, or none that can be read"),
    _D("EXTRACT-NDEAD", "", "fibers with less than a fifth of the light of others, and not known as bad"),
    _D("EXTRACT-NLOW", "", "fibers with less than 60 % of the light of others, of a flat"),
    _D("EXTRACT-CHI2", "", "χ² of the pixels that a flux is made from (CHI2PIX), median"),
    _D("EXTRACT-NBADFIT", "", "share of fluxes with a χ² above 100 (BAD2DFIT)"),
    _D("EXTRACT-MASKED", "", "share of fluxes that are masked, of fibers with light"),
    _D("FIBERFLAT-MISSING", "", "no fiberflat, or none that can be read"),
    _D("FIBERFLAT-MAX_RMS", "", "scatter of a fiber's flat about its mean, over that, of the worst fiber"),
    _D("FIBERFLAT-MAX_MEAN_OFF", "", "largest difference of a fiber's mean flat from 1"),
    _D("FIBERFLAT-MEANSPEC", "electron/Å", "mean spectrum of the lamp, median"),
    _D("FIBERFLAT-MASKED", "", "share of the flat that is masked (N_MASK)"),
    _D("SKYSUB-MISSING", "", "no sky model, or none that can be read"),
    _D("SKYSUB-NSKY", "", "fibers on the sky that the model is made from (NSKY_FIB)"),
    _D("SKYSUB-SKY", "electron/Å", "sky, median"),
    _D("SKYSUB-MED_RESID", "electron/Å", "median of what is left in fibers on the sky"),
    _D("SKYSUB-REL_RESID", "", "that, over the sky"),
    _D("SKYSUB-CHI2", "", "χ² of fibers on the sky per degree of freedom (SKYCHI2PDF)"),
    _D("SKYSUB-MAX_CHI2", "", "χ² per degree of freedom of the worst fiber on the sky"),
    _D("SKYSUB-PULL_WIDTH", "", "width of what is left over its error, over what is expected of so many fibers"),
    _D("SKYSUB-GAUSS", "", "farthest distance of the distribution of pulls from a Gaussian (Kolmogorov-Smirnov)"),
    _D("SKYSUB-TAILS", "", "share of pulls beyond three widths; of a Gaussian 0.0027"),
    _D("SKYSUB-THRPUT_RMS", "", "scatter of the throughput of fibers, by the sky's lines (SKYTHRURMS)"),
    _D("SKYSUB-DWAVE", "Å", "adjustment of wavelengths to the sky's lines, worst fiber"),
    _D("SKYSUB-DLSF", "Å", "adjustment of the width of lines, worst fiber"),
    _D("FLUXCALIB-MISSING", "", "no standard stars or no flux calibration, or none that can be read"),
    _D(
        "FLUXCALIB-ZP", "mag", "zero point: AB magnitude that gives an electron per second and Å, at 4800, 6500, 8250 Å"
    ),
    _D(
        "FLUXCALIB-CALIB",
        "electron/10⁻¹⁷ erg s⁻¹ cm⁻²",
        "calibration of the middle half of wavelengths, median of fibers",
    ),
    _D("FLUXCALIB-RMS_ZP", "mag", "scatter of the zero points of standard stars"),
    _D("FLUXCALIB-MAX_ZP_OFF", "mag", "largest difference of a star's zero point from their mean"),
    _D("FLUXCALIB-NSTDSTAR", "", "standard stars that are used (NSTDSTAR)"),
    _D("FLUXCALIB-STARRMS", "", "scatter of calibrated stars over their models, 6000 to 7500 Å, of r (STARRMS)"),
    _D("FLUXCALIB-ZP_NIGHT", "mag", "zero point less that of the night's clear exposures, same camera", "night"),
    _D("FLUXCALIB-THRUFRAC", "", "throughput over the mean of the exposure's cameras of this arm (THRUFRAC)", "night"),
    _D("S2N-MISSING", "", "no calibrated frame, or none that can be read"),
    _D("S2N-MEDIAN", "", "signal to noise of a pixel, median of targets"),
    _D("S2N-RESID", "", "how far that of targets is from their class's curve, over it, median"),
    *(
        _D(f"S2N-{kind}", "", f"signal to noise of a pixel of a target ({kind}) of magnitude {magnitude:g}")
        for kind, magnitude in FIDUCIALS.items()
    ),
    *(
        _D(f"S2N-TSNR2_{kind}", "", f"template signal to noise, squared ({kind}), median of targets, if cframe.tsnr")
        for kind in ("ELG", "LRG", "QSO", "LYA", "BGS")
    ),
    _D("EXPOSURE-READNOISE", "electron", "read noise, worst amplifier of all cameras (WORSTRDN)", "exposure"),
    _D("EXPOSURE-NSTDSTAR", "", "standard stars of the petal with fewest", "exposure"),
    *(
        _D(
            f"NIGHT-ZP_{arm}",
            "mag",
            f"zero point of the night's clear exposures, median of cameras {arm.lower()}",
            "nights",
        )
        for arm in "BRZ"
    ),
    *(
        _D(f"NIGHT-ZP_TREND_{arm}", "mag/h", f"how the zero point changes through the night, {arm.lower()}", "nights")
        for arm in "BRZ"
    ),
    *(
        _D(
            f"NIGHT-ZP_OFF_{arm}",
            "mag",
            f"that zero point less the median of three nights or more, {arm.lower()}",
            "nights",
        )
        for arm in "BRZ"
    ),
    _D("NIGHT-READNOISE", "electron", "read noise, worst amplifier of the night", "nights"),
)
DEFINITIONS = {one.name: one for one in _DEFINITIONS}
"""By name, in the order of steps: of metrics that are BAD in a frame, the first is nearest to the cause."""


def definition_of(metric: str) -> Definition:
    """Return the definition of a metric, whose name may end with an amplifier's letter.

    Raises
    ------
    KeyError
        If there is no such metric.
    """
    if metric in DEFINITIONS:
        return DEFINITIONS[metric]
    base, _, amp = metric.rpartition("_")
    if amp in AMPS and base in DEFINITIONS and DEFINITIONS[base].amps:
        return DEFINITIONS[base]
    raise KeyError(metric)


def is_of(metric: str, name: str) -> bool:
    """Tell whether a metric is the one of this name, or that of one of its amplifiers."""
    return metric == name or (metric[-2:-1] == "_" and metric[-1] in AMPS and metric[:-2] == name)


_PLACES = {name: k for k, name in enumerate(DEFINITIONS)}


def place_of(metric: str) -> tuple[int, str]:
    """Return what metrics are sorted by: their place among the definitions, amplifiers by their letters."""
    return _PLACES[definition_of(metric).name], metric


def names() -> Iterator[str]:
    """Yield the names of all metrics, those of amplifiers one by one."""
    for one in _DEFINITIONS:
        yield from (f"{one.name}_{amp}" for amp in AMPS) if one.amps else (one.name,)
