"""The command of each task, and the files that it makes: desispec's own where it has one.

Light: it is imported whenever the workflow is parsed.
"""

import re
import shlex
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skyharvest.archive.archive import is_url
from skyharvest.core.paths import expand_user
from skyharvest.reduction.desi.graph import LINKED, Key, Task, exposure_of, pixel_of, raw_files
from skyharvest.reduction.desi.layout import Layout, Places
from skyharvest.reduction.desi.listing import Listing
from skyharvest.reduction.desi.steps import QA, STEP_OF

PROGRAMS = Path(__file__).resolve().parents[3] / "reduction" / "desi"
"""Directory of our own programs, in a checkout."""

_NAMES = Places(str)
_OF_EXPOSURE = {"psf": ("fit-psf",), "traceshift": ("psf",), "extract": ("frame",), "sky": ("sky", "skycorr")}


FOREIGN = ("DESI_SPECTRO_DARK",)
"""Variables by which desispec finds calibrations beside those of the configuration."""


@dataclass(frozen=True)
class Exposed:
    """What a command must know of an exposure: its type, and the bad amplifiers of each camera."""

    obstype: str
    badamps: Mapping[str, str]


_NAME = re.compile(r"(?:fit-)?[a-z]+")


class Commands:
    """Commands of a production's tasks.

    Parameters
    ----------
    production
        Its directory.
    settings
        The configuration's section ``desi_reduction``.
    exposures
        By expid; only commands need them, not outputs.
    """

    def __init__(self, production: Path, settings: Mapping[str, Any], exposures: Mapping[int, Exposed]) -> None:
        self.files = Layout(production)
        self.settings, self.options = settings, settings["options"]
        self.exposures = exposures
        self.builtin = settings["engine"] == "builtin"
        self.processes = 1  # of a task that can have some; what it makes is the same
        # Image → fibers without light, which specex must be told of. Who runs commands asks the calibration.
        self.broken_fibers: Callable[[str], Sequence[int]] = lambda _: ()

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the environment that commands need, beside one thread for linear algebra.

        Those of desispec are all said: it is not to find something in a production that the user works on otherwise.
        """
        given = {
            "DESI_SPECTRO_REDUX": str(self.files.production.parent),
            "DESI_SPECTRO_DATA": self.settings["raw"],
            "DESI_SPECTRO_CALIB": self.settings["calibration"],
            "DESIMODEL": self.settings["desimodel"],
            "RR_TEMPLATE_DIR": self.settings["redshift_templates"],
        }
        paths = {name: str(Path(path).resolve()) for name, path in given.items() if path}
        paths["SPECPROD"] = self.files.production.name
        return paths | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "DESI_NO_GPU": "1", "MPLBACKEND": "Agg"}

    def set_environment(self, environ: MutableMapping[str, str]) -> None:
        """Set `environment`, and remove what is not in it and commands would take for something of theirs."""
        for name in FOREIGN:
            environ.pop(name, None)
        environ.update(self.environment)

    def outputs(self, key: Key) -> list[Path]:
        """Return the files that a task makes; the first is the one that other tasks read."""
        return [self.files.production / name for name in self.names(key)]

    def names(self, key: Key) -> list[str]:
        """Return their paths below the production."""
        kind, owner, unit = key
        if owner.startswith("healpix/"):
            pixel = pixel_of(owner)
            of_pixel = {"spectra": ("spectra", "coadd"), "redshift": ("redrock", "rrdetails")}.get(kind, (kind,))
            return [_NAMES.healpix(name, *pixel) for name in of_pixel]
        if "/" not in owner:
            return [_NAMES.calibnight(kind, int(owner), unit)]
        night, expid = exposure_of(owner)
        if kind == "preproc":
            return [_NAMES.preproc(night, expid, unit)]
        if kind == QA:
            return [_NAMES.quality(night, expid, unit)]
        if kind in ("starfit", "calibstars"):
            name = f"stdstars-{unit}-{expid:08d}.fits.gz" if kind == "starfit" else f"calibstars-{expid:08d}.csv"
            return [_NAMES.of_exposure(name, night, expid)]
        return [_NAMES.exposure(name, night, expid, unit) for name in _OF_EXPOSURE.get(kind, (kind,))]

    def is_there(self, key: Key) -> bool:
        """Tell whether all files of a task are there, now."""
        return all(path.exists() for path in self.outputs(key))

    def listed(self) -> Callable[[Key], bool]:
        """Return a function that tells it of many tasks, as it is now: each directory is read once."""
        listing = Listing(self.files.production)

        def is_there(key: Key) -> bool:
            return all(map(listing.has, self.names(key)))

        return is_there

    def words(self, task: Task, outputs: Sequence[Path], used: Sequence[Key] = ()) -> list[list[str]]:
        """Return the commands of a task, as lists of words, to be run one after the other.

        Parameters
        ----------
        outputs
            Where its files are to be written: `outputs`, or places of the same names.
        used
            Those of `Task.some_of` that have been done.
        """
        key = task.key
        if task.about == LINKED:
            return [self._linked(key, str(outputs[0]))]
        if key.kind == QA:
            return [self._quality(task, str(outputs[0]), used)]
        made = getattr(self, f"_{key.kind.partition('-')[0]}")(key, [str(path) for path in outputs], list(used))
        return made if isinstance(made[0], list) else [made]

    def shown(self, task: Task, used: Sequence[Key] = ()) -> str:
        """Return the command of a task as a line for a shell."""
        return " && ".join(shlex.join(words) for words in self.words(task, self.outputs(task.key), used))

    def _linked(self, key: Key, out: str) -> list[str]:
        given, path = self.settings["start_from"]["production"], self.outputs(key)[0].relative_to(self.files.production)
        if is_url(given):
            return self._own("fetch_product", "--production", given, "--file", str(path), "--out", out)
        return ["ln", "-s", str(expand_user(given).resolve() / path), out]

    def _one(self, kind: str, key: Key, unit: str | None = None) -> str:
        return str(self.outputs(Key(kind, key.owner, key.unit if unit is None else unit))[0])

    def _night(self, kind: str, key: Key, camera: str | None = None) -> str:
        return str(self.outputs(Key(kind, key.owner.partition("/")[0], camera or key.unit))[0])

    def _files_of(self, kind: str, keys: Sequence[Key]) -> list[str]:
        return [str(self.outputs(one._replace(kind=kind))[0]) for one in keys]

    def _more(self, step: str) -> list[str]:
        return shlex.split(self.options[step]["more"])

    def _is_flat(self, key: Key) -> bool:
        return self.exposures[exposure_of(key.owner)[1]].obstype == "flat"

    def _preproc(self, key: Key, out: list[str], _used: list[Key]) -> list[str]:
        night, expid = exposure_of(key.owner)
        raw, fibermap = raw_files(Path(self.settings["raw"]), night, expid)
        said = self.options["preproc"]
        amps = self.exposures[expid].badamps.get(key.unit, "")
        words = [
            *("-i", str(raw), "-o", out[0], "--cameras", key.unit, "--fibermap", str(fibermap)),
            *(["--badamps", ",".join(key.unit + amp for amp in amps)] if amps else []),
            *([] if said["dark"] else ["--nodark"]),
            *([] if said["cte"] else ["--no-cte-correction"]),
            *("--ncpu", "1"),
            *self._more("preproc"),
        ]
        return self._own("preprocess", *words) if self.builtin else ["desi_preproc", *words]

    def _psf(self, key: Key, out: list[str], _used: list[Key]) -> list[list[str]]:
        image = self._one("preproc", key)
        if self.builtin:
            degree = str(self.options["psf"]["degree_hermite"])
            words = ["--image", image, "--camera", key.unit, "--out", out[0], "--degree-hermite", degree]
            return [self._own("fit_psf", *words)]
        begun = str(Path(out[0]).with_name(f"shifted-input-{Path(out[0]).name.removeprefix('fit-')}"))
        no_degrees = [word for axis in ("xx", "xy", "yx", "yy") for word in (f"--deg{axis}", "0")]
        shift = ["desi_compute_trace_shifts", "-i", image, *no_degrees, "--arc-lamps", "--outpsf", begun]
        fit = ["desi_compute_psf", "--input-image", image, "--input-psf", begun, "--output-psf", out[0]]
        broken = ",".join(map(str, self.broken_fibers(image)))
        return [shift, [*fit, *(["--broken-fibers", broken] if broken else []), *self._more("psf")]]

    def _psfnight(self, key: Key, out: list[str], used: list[Key]) -> list[str]:
        psfs = self._files_of("psf", used)
        if self.builtin:
            return self._own("average_psf", "--camera", key.unit, "--psfs", *psfs, "--out", out[0])
        # desi_average_psf refuses to average one.
        return ["desi_average_psf", "-i", *psfs, "-o", out[0]] if len(psfs) > 1 else ["cp", psfs[0], out[0]]

    def _traceshift(self, key: Key, out: list[str], _used: list[Key]) -> list[str]:
        image, psf, is_flat = self._one("preproc", key), self._night("psfnight", key), self._is_flat(key)
        said = self.options["traceshift"]
        (x_x, x_y), (y_x, y_y) = (map(str, said[name]) for name in ("degrees_x", "degrees_y"))
        if self.builtin:
            sky = [] if is_flat else ["--sky"]
            degrees = ["--degrees-x", x_x, x_y, "--degrees-y", y_x, y_y]
            return self._own("shift_traces", "--image", image, "--psf", psf, "--out", out[0], *sky, *degrees)
        how = ["--continuum", "--no-large-shift-scan"] if is_flat else ["--sky", "--degyx", y_x, "--degyy", y_y]
        words = ["-i", image, "--psf", psf, "--degxx", x_x, "--degxy", x_y, *how, "--outpsf", out[0]]
        return ["desi_compute_trace_shifts", *words]

    def _extract(self, key: Key, out: list[str], _used: list[Key]) -> list[str]:
        image, psf, is_flat = self._one("preproc", key), self._one("traceshift", key), self._is_flat(key)
        said = self.options["extract"]
        wave = [str(number) for number in said[key.unit[0]]]
        error = str(said["psf_error_flat" if is_flat else "psf_error_science"])
        barycentric = said["barycentric"] and not is_flat
        if self.builtin:
            words = ["--image", image, "--psf", psf, "--out", out[0], "--wavelength", *wave, "--psf-error", error]
            flags = {"--barycentric": barycentric, "--model-variance": said["model_variance"]}
            return self._own("extract_frame", *words, *(flag for flag, is_set in flags.items() if is_set))
        words = ["-i", image, "-p", psf, "-o", out[0], "-w", ",".join(wave), "--psferr", error]
        more = ["--barycentric-correction"] if barycentric else []
        return ["desi_extract_spectra", *words, *more, "--no-gpu", *self._more("extract")]

    def _fiberflat(self, key: Key, out: list[str], _used: list[Key]) -> list[str]:
        return ["desi_compute_fiberflat", "-i", self._one("extract", key), "-o", out[0], *self._more("fiberflat")]

    def _fiberflatnight(self, _key: Key, out: list[str], used: list[Key]) -> list[str]:
        return ["desi_average_fiberflat", "-i", *self._files_of("fiberflat", used), "-o", out[0]]

    def _sky(self, key: Key, out: list[str], _used: list[Key]) -> list[str]:
        said = self.options["sky"]
        return [
            *("desi_compute_sky", "-i", self._one("extract", key)),
            *("--fiberflat", self._night("fiberflatnight", key), "-o", out[0], "--save-adjustments", out[1]),
            *(["--adjust-wavelength"] if said["adjust_wavelength"] else []),
            *(["--adjust-lsf"] if said["adjust_lsf"] else []),
            *self._more("sky"),
        ]

    def _starfit(self, _key: Key, out: list[str], used: list[Key]) -> list[str]:
        return [
            *("desi_fit_stdstars", "--frames", *self._files_of("extract", used)),
            *("--skymodels", *self._files_of("sky", used)),
            *("--fiberflats", *(self._night("fiberflatnight", one) for one in used)),
            *("--starmodels", str(self.settings["star_templates"]), "--outfile", out[0]),
            *("--delta-color", str(self.options["starfit"]["delta_color"]), "--ncpu", "1"),
            *self._more("starfit"),
        ]

    def _calibstars(self, key: Key, out: list[str], used: list[Key]) -> list[str]:
        red = [Key("sky", key.owner, f"r{one.unit}") for one in used]
        return [
            *("desi_select_calib_stars", "--models", *self._files_of("starfit", used)),
            *("--frames", *self._files_of("extract", red), "--skys", *self._files_of("sky", red)),
            *("--fiberflats", *(self._night("fiberflatnight", one) for one in red), "-o", out[0]),
            *("--delta-color-cut", str(self.options["fluxcalib"]["delta_color_cut"])),
        ]

    def _fluxcalib(self, key: Key, out: list[str], _used: list[Key]) -> list[str]:
        return [
            *("desi_compute_fluxcalibration", "--infile", self._one("extract", key), "--sky", self._one("sky", key)),
            *("--fiberflat", self._night("fiberflatnight", key)),
            *("--models", self._one("starfit", key, key.unit[1]), "--outfile", out[0]),
            *("--selected-calibration-stars", self._one("calibstars", key, "")),
            *self._more("fluxcalib"),
        ]

    def _cframe(self, key: Key, out: list[str], _used: list[Key]) -> list[str]:
        said = self.options["cframe"]
        return [
            *("desi_process_exposure", "--infile", self._one("extract", key), "--sky", self._one("sky", key)),
            *("--fiberflat", self._night("fiberflatnight", key), "--calib", self._one("fluxcalib", key)),
            *("--outfile", out[0], "--cosmics-nsig", str(said["cosmics_nsig"])),
            *([] if said["tsnr"] else ["--no-tsnr", "--no-xtalk"]),
            *self._more("cframe"),
        ]

    def _spectra(self, key: Key, out: list[str], used: list[Key]) -> list[str]:
        survey, program, pix64 = pixel_of(key.owner)
        return [
            *("desi_group_spectra", "--inframes", *self._files_of("cframe", used)),
            *("--healpix", str(pix64), "--nside", "64", "--header", f"SURVEY={survey}", f"PROGRAM={program}"),
            *("-o", out[0], "-c", out[1]),
        ]

    def _coadd(self, key: Key, out: list[str], _used: list[Key]) -> list[str]:
        coadd = str(self.outputs(Key("spectra", key.owner, ""))[1])
        said, form = self.options["spectra"], key.kind.partition("-")[2]
        log = ["--log10-step", str(said["log10_step"])]
        how = {"cameras": [], "lin": ["--lin-step", str(said["lin_step"])], "log": log, "fast": [*log, "--fast"]}
        return self._own("coadd_cameras", "--coadd", coadd, "--out", out[0], *how[form])

    def _redshift(self, key: Key, out: list[str], _used: list[Key]) -> list[str]:
        coadd = str(self.outputs(Key("spectra", key.owner, ""))[1])
        return ["rrdesi", "-i", coadd, "-o", out[0], "-d", out[1], "--mp", str(self.processes), *self._more("redshift")]

    def _quality(self, task: Task, out: str, used: Sequence[Key]) -> list[str]:
        key = task.key
        night, expid = exposure_of(key.owner)
        limits = self.settings["qa"]["limits"]
        missing = dict.fromkeys(STEP_OF[one.kind].name for one in task.some_of if one not in used)
        # A step that is made from a calibration of the night is measured against it.
        nightly = {"traceshift": "psfnight", "sky": "fiberflatnight"}
        files = [path for one in used for path in self.outputs(one) if one.kind != "calibstars"]
        files += [self.outputs(Key(nightly[one.kind], str(night), key.unit))[0] for one in used if one.kind in nightly]
        return [
            *self._own("measure_frame", "--table", str(self.files.of_night("exposure_table", night))),
            *("--expid", str(expid), "--camera", key.unit),
            *(word for path in files for word in (f"--{_NAME.match(path.name)[0]}", str(path))),  # type: ignore[index]
            *(["--missing", *missing] if missing else []),
            *(["--limits", str(limits)] if limits else []),
            *("--out", out),
        ]

    @staticmethod
    def _own(name: str, *words: str) -> list[str]:
        return ["python", str(PROGRAMS / f"{name}.py"), *words]
