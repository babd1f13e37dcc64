"""The values that there are: what each is, of what, in which unit. Their limits: ``config/hetdex_qa_limits.yaml``.

A value is named ``step.name``, as the step's product names it. What a product says beside is collected, too; it has no
unit, and no limits.
"""

from dataclasses import dataclass

from skyharvest.reduction.hetdex.calibration.drift_table import NUMBERS
from skyharvest.reduction.hetdex.places import STEPS

AMP, FRAME, EXPOSURE, SHOT = "amplifier", "amplifier of an exposure", "exposure", "shot"
IFU = "IFU of a shot"


@dataclass(frozen=True)
class Definition:
    """What a value is.

    Attributes
    ----------
    of
        `AMP` in a month, `FRAME`, `EXPOSURE`, `IFU`, `SHOT`, or two of them.
    """

    name: str
    of: str
    unit: str
    meaning: str


_D = Definition
_ELECTRONS = "electron"
_LINE = "10⁻¹⁷ erg s⁻¹ cm⁻²"
_NORMALISED = "electron/2 Å"
_DEFINITIONS = (
    _D("bias.n_frames", AMP, "", "bias frames that were combined"),
    _D("bias.level", AMP, "ADU", "level of the overscan, mean of the frames"),
    _D("bias.rms", AMP, _ELECTRONS, "noise of a bias frame"),
    _D("bias.overscan_rms", AMP, _ELECTRONS, "noise of the overscan"),
    _D("bias.n_traps", AMP, "", "charge traps"),
    _D("bias.scatter", AMP, _ELECTRONS, "scatter of the combined bias over its pixels"),
    _D("trace.n_frames", AMP, "", "twilights that were combined"),
    _D("trace.level", AMP, _ELECTRONS, "light of the twilights in the middle of the detector, mean"),
    _D("trace.n_alive", AMP, "", "fibers with light, of 112"),
    _D("trace.trace_rms", AMP, "pixel", "scatter of centroids about the traces"),
    _D("trace.chi2", AMP, "", "χ² of the twilight's model per pixel"),
    _D("trace.scattered", AMP, _ELECTRONS, "scattered light of the twilight, median"),
    _D("trace.readnoise", AMP, _ELECTRONS, "read noise of the header"),
    _D("flat.n_masked", AMP, "", "pixels that are masked"),
    _D("flat.n_defects", AMP, "", "pixels whose response is not like their neighbours'"),
    _D("flat.n_trapped", AMP, "", "pixels behind charge traps"),
    _D("flat.n_named", AMP, "", "pixels that tables of bad pixels name"),
    _D("flat.scatter", AMP, "", "scatter of the pixels' response"),
    _D("wavelength.wave_rms", AMP, "Å", "scatter of segments about the wavelengths that were fitted"),
    _D("wavelength.wave_worst", AMP, "Å", "largest difference of a segment from them"),
    _D("wavelength.n_segments", AMP, "", "segments of spectra that were compared with the Sun's"),
    _D("wavelength.n_matched", AMP, "", "segments that agreed with it"),
    _D("wavelength.wave_offset_rms", AMP, "Å", "scatter of fibers' wavelengths about a smooth surface"),
    _D("wavelength.wave_first", AMP, "Å", "wavelength of the first pixel, mean of fibers"),
    _D("wavelength.wave_middle", AMP, "Å", "wavelength of the middle pixel, mean of fibers"),
    _D("wavelength.lsf_fwhm", AMP, "Å", "width of lines (FWHM), mean"),
    _D("wavelength.f2f_rms", AMP, "", "scatter of fiber to fiber over the fibers"),
    _D("wavelength.f2f_error", AMP, "", "error of fiber to fiber, median"),
    _D("wavelength.n_alive", AMP, "", "fibers with light, of 112"),
    _D("wavelength.twilight_level", AMP, _NORMALISED, "mean twilight, median of wavelengths"),
    _D("wavelength.scattered", AMP, _ELECTRONS, "scattered light that was taken off the twilight, median"),
    _D("amp_to_amp.level", AMP, "", "throughput over the mean of all amplifiers"),
    _D("amp_to_amp.error", AMP, "", "its error"),
    _D("amp_to_amp.n_exposures", AMP, "", "twilights that it is from"),
    _D("amp_to_amp.correction", AMP, "", "by what it was multiplied, as some exposures lack it"),
    _D("science.level", FRAME, "", "level of the frame over background.level_unit: its class of scattered light"),
    _D("science.background", FRAME, _ELECTRONS, "scattered light, median"),
    _D("science.trace_shift", FRAME, "pixel", "traces less the month's"),
    _D("science.trace_shift_x", FRAME, "pixel", "how that changes along x, from the middle to the edge"),
    _D("science.trace_shift_y", FRAME, "pixel", "how that changes along y, from the middle to the edge"),
    _D("science.n_cosmics", FRAME, "", "pixels of cosmic rays"),
    _D("science.n_alive", FRAME, "", "fibers with spectra, of 112"),
    _D("science.n_sources", FRAME, "", "fibers with an object, which the sky is not made of"),
    _D("science.n_low", FRAME, "", "fibers that are lower than the sky"),
    _D("science.chi2", FRAME, "", "χ² of the extraction per pixel, median"),
    _D("science.sky", FRAME, _NORMALISED, "sky, median"),
    _D("science.sky_residual", FRAME, _NORMALISED, "what is left of the sky in fibers without an object, median"),
    _D("science.local_background", FRAME, _NORMALISED, "what was taken off beside the sky, median of its size"),
    _D("science.wavelength_shift", FRAME, "Å", "adjustment of wavelengths to the sky's lines, median"),
    _D("science.pull", FRAME, "", "scatter of sky-subtracted spectra over their errors"),
    _D("science.lost", FRAME, "", "share of living fibers' pixels without a value"),
    _D("science.readnoise", FRAME, _ELECTRONS, "noise of the overscan"),
    _D("science.overscan", FRAME, "ADU", "level of the overscan"),
    _D("science.exptime", FRAME, "s", "exposure time"),
    _D("full_sky.factor", FRAME, "", "the amplifier's sky over that of the whole field"),
    _D("full_sky.n_continuum", FRAME, "", "fibers with a source, which were left out"),
    _D("full_sky.background", FRAME, _NORMALISED, "what the full sky leaves in other fibers, mean"),
    _D("full_sky.rms", FRAME, _NORMALISED, "scatter of what it leaves"),
    _D("full_sky.shift", FRAME, "Å", "offset of the amplifier's wavelengths from those of the field's sky, W0"),
    _D("full_sky.stretch", FRAME, "", "how that changes per Å from 4500 Å, W1"),
    _D("full_sky.n_low", FRAME, "", "fibers with less light than the sky"),
    _D("astrometry.n_found", EXPOSURE, "", "stars that were found"),
    _D("astrometry.n_matched", EXPOSURE, "", "stars that were matched with the catalogue"),
    _D("astrometry.rms_x", EXPOSURE, "″", "scatter of matched stars along x of the focal plane"),
    _D("astrometry.rms_y", EXPOSURE, "″", "scatter of matched stars along y of the focal plane"),
    _D("astrometry.chance", EXPOSURE, "", "matches that chance would make"),
    _D("astrometry.fwhm", EXPOSURE, "″", "width (FWHM) of stars as they were found"),
    _D("astrometry.norm", EXPOSURE, "", "light of stars over the mean of the shot's exposures, first estimate"),
    _D("astrometry.ra", EXPOSURE, "°", "right ascension of the field's centre"),
    _D("astrometry.dec", EXPOSURE, "°", "declination of the field's centre"),
    _D("astrometry.pa", EXPOSURE, "°", "position angle"),
    _D("astrometry.pa_error", EXPOSURE, "°", "its error"),
    _D("astrometry.pa_alone", EXPOSURE, "°", "position angle of this exposure alone"),
    _D("astrometry.dither_x", EXPOSURE, "″", "dither along x of the focal plane, as measured"),
    _D("astrometry.dither_y", EXPOSURE, "″", "dither along y of the focal plane, as measured"),
    _D("stars.fwhm", f"{SHOT}, {EXPOSURE}", "″", "width (FWHM) of stars at 4500 Å"),
    _D("stars.fwhm_error", f"{SHOT}, {EXPOSURE}", "″", "its error"),
    _D("stars.n_fwhm", f"{SHOT}, {EXPOSURE}", "", "stars that it is from"),
    _D("stars.norm", EXPOSURE, "", "light of stars over the mean of the shot's exposures"),
    _D("stars.norm_error", EXPOSURE, "", "its error"),
    _D("stars.n_norm", EXPOSURE, "", "stars that it is from"),
    _D("seds.ebv", SHOT, "mag", "reddening E(B - V) that was given to stars"),
    _D("throughput.response_4540", SHOT, "", "throughput at 4540 Å"),
    _D("throughput.n_stars", SHOT, "", "stars with spectra"),
    _D("throughput.n_taken", SHOT, "", "stars that the throughput is from"),
    _D("throughput.level_g", SHOT, "", "throughput over the reference by the g magnitudes alone"),
    _D("throughput.c1", SHOT, "", "level of the throughput over the reference at 4500 Å"),
    _D("throughput.c2", SHOT, "", "its slope, per 2000 Å"),
    _D("residuals.n_frames", AMP, "", "frames that pixels' residuals are from"),
    _D("residuals.n_bad", AMP, "", "pixels that are flagged in too many frames"),
    _D("residuals.chi2", AMP, "", "χ² of pixels over what is expected, median"),
    _D("residuals.sky", AMP, "", "what is left of the sky over the sky, median of its size"),
    _D("detections.n_lines", IFU, "", "emission lines that are kept"),
    _D("detections.n_candidates", IFU, "", "candidates of the search"),
    _D("detections.n_negative", IFU, "", "candidates of the search for what is missing instead of added: noise"),
    _D("detections.n_left_out", IFU, "", "lines that have no number, as an IFU has too many"),
    _D("detections.n_positions", IFU, "", "positions that were searched"),
    _D("detections.scatter", IFU, "", "scatter of the search's signal to noise"),
    _D("detections.noise_ratio", IFU, "", "noise by that of fibers' errors, median of wavelengths"),
    _D("detections.flux_limit_4600", IFU, _LINE, "flux limit at 4600 Å, median of its places"),
    _D("continuum.n_sources", SHOT, "", "continuum sources"),
    _D("continuum.n_fibers", SHOT, "", "fibers with light enough for one"),
    _D("continuum.n_groups", SHOT, "", "groups of such fibers: one is of several sources where they are near"),
    _D("continuum.n_extended", SHOT, "", "sources that are no points"),
    _D("continuum.chi2", SHOT, "", "χ² of a point source by degrees of freedom, median of sources"),
    _D("continuum.n_left_out", SHOT, "", "sources that have no number, as an IFU has too many"),
    _D("cubes.flag", IFU, "", "share of fibers that no flag is raised for"),
    _D("cubes.flag_badamp", IFU, "", "share of fibers that are not of an amplifier that is bad"),
    _D("cubes.flag_badfib", IFU, "", "share of fibers that are not bad themselves"),
    _D("cubes.flag_meteor", IFU, "", "share of fibers that are not on a meteor's track"),
    _D("cubes.flag_satellite", IFU, "", "share of fibers that are not on a satellite's track"),
    _D("cubes.flag_shot", IFU, "", "share of fibers that are not of a shot that is bad"),
    _D("cubes.flag_throughput", IFU, "", "share of fibers that are not of a shot with too little throughput"),
    _D("reports.n_reports", SHOT, "", "reports that are there"),
    _D("reports.n_failed", SHOT, "", "reports that failed"),
)
_DRIFT = tuple(
    _D(f"drift.{name}", AMP, unit, f"{meaning}: change since the amplifier's first month")
    for name, (unit, meaning) in NUMBERS.items()
)
DEFINITIONS = {one.name: one for one in (*_DEFINITIONS, *_DRIFT)}
"""By name, in the order of steps."""

_PLACES = {name: k for k, name in enumerate(DEFINITIONS)}
_STEPS = {step: k for k, step in enumerate(STEPS)}


def describe(name: str) -> Definition:
    """Return what a value is; of one that is not defined, its name."""
    return DEFINITIONS.get(name) or Definition(name, "", "", "")


def place_of(name: str) -> tuple[int, int, str]:
    """Return what values are sorted by: the steps, then the definitions, then the alphabet."""
    return _STEPS.get(name.partition(".")[0], len(_STEPS)), _PLACES.get(name, len(_PLACES)), name
