"""The settings of the reduction of DESI's raw data, and what may be wrong between them.

Light: it is imported whenever the workflow is parsed.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from skyharvest.core.settings import Distinct, Limited, Number, Switch, Whole, section, setting, subsection
from skyharvest.harvest.settings import archive_problem

Camera = Annotated[str, Limited("A camera: b, r or z, and the spectrograph's number.", pattern="^[brz][0-9]$")]
Night = Annotated[int, Limited("A night, as YYYYMMDD.", strict=True, ge=20000101, le=21000101)]
Product = Literal["psfnight", "fiberflatnight", "cframe"]
Form = Literal["cameras", "lin", "log", "fast"]

LIMITS = "desi_qa_limits.yaml"
"""The limits of metrics, in config/."""
NEEDED = ("specprod", "raw", "calibration")
"""Without the last two only if another production gives calibrated frames."""
CHOICES = ("nights", "expids", "tiles", "cameras")
"""Settings that choose what of a production is asked for."""


@section
class Preproc:
    """From raw counts to images in electrons (`desi_preproc`)."""

    dark: Switch = setting(False, "Whether a dark image of the calibration is subtracted.")
    cte: Switch = setting(False, "Whether the transfer of charge is corrected: needs the package specter.")
    more: str = setting("", "More options of desi_preproc, as they are typed.")


@section
class Psf:
    """The point-spread function of arcs."""

    degree_hermite: Whole = setting(4, "Largest order of the Gauss-Hermite terms, of engine builtin.", ge=0, le=6)
    more: str = setting("", "More options of desi_compute_psf, of engine desispec, as they are typed.")


@section
class Traceshift:
    """Moves of the traces of an exposure, as polynomials of x and y on the CCD."""

    degrees_x: Annotated[list[Whole], Limited(min_length=2, max_length=2)] = setting(
        [2, 0], "Degrees in x and in y of moves across the traces."
    )
    degrees_y: Annotated[list[Whole], Limited(min_length=2, max_length=2)] = setting(
        [2, 0], "Degrees in x and in y of moves along the traces, by the sky's lines."
    )


@section
class Extract:
    """Extraction of spectra."""

    b: Annotated[list[Number], Limited(min_length=3, max_length=3)] = setting(
        [3600.0, 5800.0, 0.8], "First and last wavelength and step of arm b, Å in vacuum."
    )
    r: Annotated[list[Number], Limited(min_length=3, max_length=3)] = setting(
        [5760.0, 7620.0, 0.8], "First and last wavelength and step of arm r, Å in vacuum."
    )
    z: Annotated[list[Number], Limited(min_length=3, max_length=3)] = setting(
        [7520.0, 9824.0, 0.8], "First and last wavelength and step of arm z, Å in vacuum."
    )
    more: str = setting("", "More options of desi_extract_spectra, of engine desispec, as they are typed.")
    psf_error_flat: Number = setting(0.04, "Relative error of the PSF for the χ² of flats.", gt=0)
    psf_error_science: Number = setting(0.01, "Relative error of the PSF for the χ² of science exposures.", gt=0)
    model_variance: Switch = setting(
        True,
        "Whether variances of pixels are of a model of their light (engine builtin): by a pixel's own electrons faint "
        "light comes out too faint. For engine desispec it is an option of desi_preproc, in preproc.more.",
    )
    barycentric: Switch = setting(
        True, "Whether wavelengths of science exposures are those of the solar system's barycentre."
    )


@section
class Fiberflat:
    """How fibers differ in throughput (`desi_compute_fiberflat`)."""

    more: str = setting("", "More options of desi_compute_fiberflat, as they are typed.")


@section
class Sky:
    """The sky's spectrum in each fiber (`desi_compute_sky`)."""

    adjust_wavelength: Switch = setting(True, "Whether wavelengths are adjusted fiber by fiber to the sky's lines.")
    adjust_lsf: Switch = setting(True, "Whether widths of lines are adjusted fiber by fiber.")
    more: str = setting("", "More options of desi_compute_sky, as they are typed.")


@section
class Starfit:
    """Models of standard stars (`desi_fit_stdstars`)."""

    delta_color: Number = setting(0.2, "Largest difference of colour between a star and its model.", gt=0)
    more: str = setting("", "More options of desi_fit_stdstars, as they are typed.")


@section
class Fluxcalib:
    """From electrons to flux (`desi_select_calib_stars`, `desi_compute_fluxcalibration`)."""

    delta_color_cut: Number = setting(0.2, "Largest difference of colour between a star that is used and its model.")
    more: str = setting("", "More options of desi_compute_fluxcalibration, as they are typed.")


@section
class Cframe:
    """Calibrated frames (`desi_process_exposure`)."""

    cosmics_nsig: Number = setting(6.0, "How many σ above its neighbours a pixel is a cosmic ray.", ge=0)
    tsnr: Switch = setting(False, "Whether the template signal-to-noise is computed: needs the package specter.")
    more: str = setting("", "More options of desi_process_exposure, as they are typed.")


@section
class Spectra:
    """Spectra and coadds by healpix (`desi_group_spectra`, `desi_coadd_spectra`)."""

    forms: Annotated[list[Form], Distinct()] = setting(
        [],
        "Coadds beside the one of each camera: cameras (all arms as one), lin and log (all arms at once, on a linear "
        "or logarithmic grid), fast (resampled on the logarithmic grid).",
    )
    lin_step: Number = setting(0.8, "Step of the linear grid, Å.", gt=0)
    log10_step: Number = setting(1e-4, "Step of the logarithmic grid, in log10 of Å.", gt=0)


@section
class Redshift:
    """Redshifts (`rrdesi`, of redrock)."""

    enabled: Switch = setting(True, "Whether redshifts are measured.")
    any_version: Switch = setting(
        False,
        "Whether templates may be of any version. With outdated ones a galaxy can become a quasar with ZWARN 0.",
    )
    more: str = setting("", "More options of rrdesi, as they are typed.")


@section
class Options:
    """Options of each step. They are frozen into a production: other options are another `specprod`."""

    preproc: Preproc = subsection(Preproc)
    psf: Psf = subsection(Psf)
    traceshift: Traceshift = subsection(Traceshift)
    extract: Extract = subsection(Extract)
    fiberflat: Fiberflat = subsection(Fiberflat)
    sky: Sky = subsection(Sky)
    starfit: Starfit = subsection(Starfit)
    fluxcalib: Fluxcalib = subsection(Fluxcalib)
    cframe: Cframe = subsection(Cframe)
    spectra: Spectra = subsection(Spectra)
    redshift: Redshift = subsection(Redshift)


@section
class Quality:
    """How good each camera's exposure is: it is measured after each step, and fails nothing."""

    enabled: Switch = setting(True, "Whether it is measured.")
    limits: str | None = setting(
        None,
        "YAML file with limits of metrics in the place of those of config/desi_qa_limits.yaml; null for these.",
        min_length=1,
        path=True,
        outcome=False,
    )


@section
class StartFrom:
    """Products of another production that stand in for steps: they are linked, and only the rest is run."""

    production: str | None = setting(
        None,
        "Directory of that production, spectro/redux/SPECPROD, or its address in an archive; null for none.",
        min_length=1,
    )
    products: Annotated[list[Product], Distinct()] = setting([], "What is taken from it.")


@section
class Settings:
    """The reduction of DESI's raw data: exposures to redshifts."""

    enabled: Switch = setting(False, "Whether raw data are reduced.")
    raw: str | None = setting(
        None,
        "Directory of the raw data, NIGHT/EXPID/desi-EXPID.fits.fz with fibermap-EXPID.fits beside it.",
        min_length=1,
        path=True,
        outcome=False,
    )
    raw_archive: str | None = setting(
        None,
        "Address of an archive that raw data are fetched from, into raw, as exposure_tables lists them; null: they are "
        "there.",
        min_length=1,
        outcome=False,
    )
    exposure_tables: str | None = setting(
        None,
        "Directory of exposure tables to begin with, YYYYMM/exposure_table_NIGHT.csv, such as a release's; null: they "
        "are made from the headers of the raw data.",
        min_length=1,
        path=True,
        outcome=False,
    )
    calibration: str | None = setting(
        None, "A DESI_SPECTRO_CALIB tree, which says what is known of each CCD.", min_length=1, path=True, outcome=False
    )
    specprod: str | None = setting(
        None,
        "Name of the production: its files stand below results/reduction/desi/spectro/redux/SPECPROD.",
        pattern="^[A-Za-z0-9_][A-Za-z0-9._-]*$",
    )
    desimodel: str | None = setting(
        None, "Data of desimodel ($DESIMODEL); null: as the environment says.", min_length=1, path=True, outcome=False
    )
    star_templates: str | None = setting(
        None, "FITS file with the templates of standard stars.", min_length=1, path=True, outcome=False
    )
    redshift_templates: str | None = setting(
        None,
        "Directory of redrock's templates (RR_TEMPLATE_DIR); install_redrock_templates fetches them.",
        min_length=1,
        path=True,
        outcome=False,
    )
    engine: Literal["builtin", "desispec"] = setting(
        "builtin",
        "Who fits the PSF, moves traces and extracts spectra: builtin needs nothing else; desispec needs specter, "
        "specex and gpu_specter, as at NERSC.",
    )
    nights: Annotated[list[Night], Distinct()] | None = setting(None, "Nights; null: all.", outcome=False)
    expids: Annotated[list[Whole], Distinct()] | None = setting(
        None, "Science exposures; null: all. Arcs and flats of their nights are always used.", outcome=False
    )
    tiles: Annotated[list[Whole], Distinct()] | None = setting(
        None, "Tiles of science exposures; null: all. As expids.", outcome=False
    )
    cameras: Annotated[list[Camera], Distinct()] | None = setting(None, "Cameras; null: all.", outcome=False)
    cores_per_job: Whole = setting(
        1, "Cores of a job, which share its tasks. On a cluster, as many as a node has.", ge=1, outcome=False
    )
    again: Switch = setting(
        False,
        "Whether tasks are tried again that failed and of which nothing has changed since. Tasks that were killed, or "
        "for which a disk was full, are always tried again.",
        outcome=False,
    )
    qa: Quality = subsection(Quality)
    start_from: StartFrom = subsection(StartFrom)
    options: Options = subsection(Options)


def problems(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a reduction lacks: key below ``desi_reduction``, and the problem."""
    if not given.get("enabled"):
        return
    options, start = given.get("options") or {}, given.get("start_from") or {}
    has_frames = "cframe" in (start.get("products") or ())
    for key in NEEDED[:1] if has_frames else NEEDED:
        if given.get(key) is None:
            yield key, "found nothing; expected a value, as desi_reduction.enabled is true"
    if has_frames and given.get("raw") is None and given.get("exposure_tables") is None:
        yield "exposure_tables", "found nothing; expected exposure tables, as there are no raw data to make them from"
    if not has_frames and given.get("star_templates") is None:
        yield "star_templates", "found nothing; expected the templates of standard stars, for the step starfit"
    if (options.get("redshift") or {}).get("enabled") and given.get("redshift_templates") is None:
        yield (
            "redshift_templates",
            "found nothing; expected redrock's templates (install_redrock_templates), or redshift.enabled: false",
        )
    archive = given.get("raw_archive")
    if archive and (problem := archive_problem(archive, ())):
        yield "raw_archive", problem
    if archive and not given.get("exposure_tables"):
        yield "exposure_tables", "found nothing; expected exposure tables, which list what is fetched from raw_archive"
    if bool(start.get("products")) != bool(start.get("production")):
        yield "start_from", "expected both, production and products, or neither"
    elif start.get("production") and (problem := archive_problem(start["production"], ())):
        yield "start_from.production", problem


def frozen(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is frozen into a production: the engine, what stands in for steps, and the options."""
    return {key: given[key] for key in ("engine", "start_from", "options")}
