"""Step: the HDF5 file of a shot, ``{date}v{obs}.h5``, as HETDEX's own files are laid out; PyTables and h5py read it.

``/Shot`` is a row; ``/Data/Fibers`` has a row for each fiber of each exposure, with its calibrated spectra
(`calibrated_fibers`); ``/Data/FiberIndex`` their positions; ``/Data/Images`` (if wanted) the detectors' images;
``/Astrometry`` is that of the astrometry; ``/Calibration/Throughput/throughput`` and ``/FullSkyModel/exp0N`` follow.

Rows come by exposure, pairing, amplifier (LL LU RL RU) and fiber. An amplifier that could not be reduced has no rows;
the table ``/Data/FailedAmps`` says which, and why. What is not known is NaN, never 0. Arrays of ``/Shot`` are of
exposures 1 to 3: one that is not there has NaN, and -1 for whole numbers.

Attributes of the file: shot, failed (why there is nothing but this, or no text), missing (``NaN``), units.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fitsio
import h5py
import numpy as np

from skyharvest.core.arrays import Array, Floats
from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.formats.pytables import ARRAY, TableWriter, describe, new_group, open_new, write_array, write_table
from skyharvest.reduction.hetdex.frames.tar_index import exposure_time
from skyharvest.reduction.hetdex.layout import AMPS, Pairing, name_of_exposure
from skyharvest.reduction.hetdex.settings import ShotFile
from skyharvest.reduction.hetdex.shots.calibrated_fibers import FullSky, Spectra, calibrate
from skyharvest.reduction.hetdex.shots.shot_tables import (
    FIBER_INDEX,
    FIBERS,
    IMAGES,
    N_EXPOSURES,
    SHOT,
    empty_shot,
    field_of,
)
from skyharvest.reduction.hetdex.spectra import amp_dat, amps_csv, multifits
from skyharvest.reduction.hetdex.spectra.full_sky import AMP_FILE, SKY_FILE
from skyharvest.reduction.hetdex.spectra.residual_maps import read_sky_residual
from skyharvest.reduction.hetdex.stars.star_spectra import StarSpectra, read_stars
from skyharvest.reduction.hetdex.stars.throughput import ShotThroughput, read_throughput
from skyharvest.reduction.hetdex.virus import N_FIBERS

log = logging.getLogger(__name__)

CHUNK = 28
"""Rows of fibers in a chunk: four for an amplifier, 1.6 MB each."""
UNITS = (
    "calfib, calfibe, calfib_ffsky: 1e-17 erg/s/cm2 in 2 A; calfib_counts, sky_subtracted, sky_spectrum, error1D: "
    "electrons in 2 A of a mean fiber; spectrum: electrons in a pixel; wavelength: A, air"
)
FAILED_AMPS = np.dtype(
    [
        ("expnum", "<i4"),
        ("specid", "S3"),
        ("ifuslot", "S3"),
        ("ifuid", "S3"),
        ("contid", "S8"),
        ("amp", "S2"),
        ("reason", "S200"),
    ]
)
_COLUMNS = (
    "chi2",
    "fiber_to_fiber",
    "rms",
    "sky_spectrum",
    "sky_subtracted",
    "spectrum",
    "trace",
    "wavelength",
)
"""HDUs of a multifits that are columns of the same name."""
_ARRAYS = (*_COLUMNS, "error1d", "ifupos")
_EXPOSURE = re.compile(r"exp(\d{2})")
_CARDS = {
    "structaz": ("STRUCTAZ",),
    "ambtemp": ("AMBTEMP",),
    "humidity": ("HUMIDITY",),
    "dewpoint": ("DEWPOINT",),
    "pressure": ("BAROMPRE", "PRESSURE"),
    "trajcdec": ("TRAJCDEC",),
    "trajcpa": ("PARANGLE",),
}
"""Columns of ``/Shot`` and the cards that they are from: the first that is there."""


@dataclass(frozen=True)
class Amp:
    """An amplifier of an exposure that is in the file.

    Attributes
    ----------
    expnum
        Number of the exposure.
    specid, ifuslot, ifuid, contid, amp
        Where.
    path
        Its multifits.
    """

    expnum: int
    specid: str
    ifuslot: str
    ifuid: str
    contid: str
    amp: str
    path: Path

    @property
    def multiframe(self) -> str:
        """The field's name of it."""
        return multifits.multiframe(self.specid, self.ifuslot, self.ifuid, self.amp)


@dataclass(frozen=True)
class Inputs:
    """What a shot's file is made of.

    Attributes
    ----------
    shot
        Name of the shot.
    science
        Directories ``science/{shot}/exp0N/{ifu}``.
    full_sky
        Directories ``full_sky/{shot}/exp0N``.
    astrometry, stars, throughput
        ``astrometry/{shot}.h5``, ``stars/{shot}.h5`` and ``throughput/{shot}.h5``.
    residuals
        Directories ``residuals/{month}/{ifu}``; none: nothing is known of residuals.
    """

    shot: str
    science: Sequence[Path]
    full_sky: Sequence[Path]
    astrometry: Path
    stars: Path
    throughput: Path
    residuals: Sequence[Path] = ()


def write_shot(inputs: Inputs, out: Path, settings: ShotFile) -> None:
    """Write the file of a shot; memory is that of an amplifier.

    A shot whose astrometry, stars or throughput failed has a file with nothing but the attribute ``failed``.

    Raises
    ------
    InputError, MalformedFile
        If an input is not what it should be.
    """
    stars, throughput = read_stars(inputs.stars), read_throughput(inputs.throughput)
    amps, failures = _amps(inputs.science)
    failed = _astrometry_failed(inputs.astrometry) or stars.failed or throughput.failed
    if not failed and not amps:
        failed = f"none of its {len(failures)} amplifiers could be reduced; the first: {failures[0]['reason'].decode()}"
    with atomic_path(out) as temporary, open_new(temporary, f"HETDEX shot {inputs.shot}") as file:
        file.attrs.update(shot=inputs.shot, failed=failed, missing="NaN", units=UNITS)
        if failed:
            log.warning("%s: %s", inputs.shot, failed)
            return
        with h5py.File(inputs.astrometry, "r") as astrometry:
            skies = {expnum: read_full_sky(path) for expnum, path in _by_exposure(inputs.full_sky).items()}
            _write_data(file, inputs, amps, failures, astrometry, stars, throughput, skies, settings)
            _write_shot_row(file, inputs.shot, amps, astrometry, stars, throughput)
            _copy(astrometry["Astrometry"], file)
        group = new_group(new_group(file, "Calibration", "Calibration"), "Throughput", "Throughput curve")
        write_table(group, "throughput", throughput.table, "Throughput curve")
        group = new_group(file, "FullSkyModel", "Sky of the whole field")
        for expnum, sky in skies.items():
            write_array(group, name_of_exposure(expnum), np.stack([sky.wave, sky.counts], axis=1))
    log.info("%s: %d amplifiers, %d failed", out, len(amps), len(failures))


def _astrometry_failed(path: Path) -> str:
    try:
        with h5py.File(path, "r") as file:
            return str(file.attrs.get("failed", ""))
    except OSError as error:
        raise MalformedFile(f"{path}: found no astrometry ({error}); remove it and run again") from None


def _by_exposure(directories: Iterable[Path]) -> dict[int, Path]:
    return {_expnum(path.name, path): path for path in sorted(directories)}


def _expnum(name: str, path: Path) -> int:
    found = _EXPOSURE.fullmatch(name)
    if not found:
        raise InputError(f"{path}: found {name!r}; expected an exposure's directory, such as exp01")
    return int(found[1])


def _amps(directories: Sequence[Path]) -> tuple[list[Amp], Array]:
    """Return the amplifiers that are there, in the order of the file's rows, and those that failed."""
    there, failed = [], []
    for directory in sorted(directories, key=lambda path: (path.parent.name, path.name)):
        expnum = _expnum(directory.parent.name, directory)
        pairing = Pairing.named(directory.name, directory)
        states = amps_csv.read(directory)
        for amp in AMPS:
            one = Amp(expnum, *pairing, amp=amp, path=directory / multifits.name_of(directory.name, amp))
            if amp in states and states[amp].done:
                there.append(one)
                continue
            reason = states[amp].reason if amp in states else "there is no row of it in amps.csv"
            names = (word.encode() for word in (*pairing, amp))
            failed.append((expnum, *names, reason.encode("ascii", "replace")))
    return there, np.array(failed, FAILED_AMPS)


@dataclass(frozen=True)
class ExposureSky:
    """The whole field's sky of an exposure.

    Attributes
    ----------
    wave, counts
        (n,) f8.
    amps
        Factor, shift (Å) and stretch of each amplifier, by ``{specid}_{ifuslot}_{ifuid}_{amp}``.
    """

    wave: Floats
    counts: Floats
    amps: Mapping[str, tuple[float, float, float]]

    def of(self, amp: Amp) -> FullSky | None:
        """Return it as an amplifier sees it; None if it is not in the table."""
        found = self.amps.get(amp.multiframe.removeprefix("multi_"))
        return None if found is None else FullSky(self.wave, self.counts, *found)


def read_full_sky(directory: Path) -> ExposureSky:
    """Read ``full_sky/{shot}/exp0N``: ``full_sky.fits`` and ``amp.dat``."""
    path = directory / SKY_FILE
    try:
        table = fitsio.read(str(path), ext=1)
        wave, counts = (np.asarray(table[name], np.float64) for name in ("wavelength", "counts"))
    except (OSError, ValueError) as error:
        raise MalformedFile(f"{path}: found no sky of the whole field ({error}); remove it and run again") from None
    rows = amp_dat.read(directory / AMP_FILE)
    return ExposureSky(wave, counts, {name: (row.factor, row.shift, row.stretch) for name, row in rows.items()})


class Places:
    """Where each fiber of an exposure is, by multiframe."""

    def __init__(self, astrometry: h5py.File, expnum: int) -> None:
        name = f"Solution/fibers/{name_of_exposure(expnum)}"
        self._rows = astrometry[name][:] if name in astrometry else None
        self._first: dict[bytes, Array] = {}
        if self._rows is not None:
            order = np.lexsort((self._rows["fibidx"], self._rows["multiframe"]))
            names, starts = np.unique(self._rows["multiframe"][order], return_index=True)
            self._first = dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True))

    def of(self, amp: Amp) -> Mapping[str, Array]:
        """Return ra, dec, fpx and fpy of the 112 fibers of an amplifier; NaN where they are not known."""
        made = {name: np.full(N_FIBERS, np.nan) for name in ("ra", "dec", "fpx", "fpy")}
        chosen = self._first.get(amp.multiframe.encode())
        if chosen is not None and self._rows is not None:
            rows = self._rows[chosen]
            for name, values in made.items():
                values[rows["fibidx"]] = rows[name]
        return made


def _write_data(
    file: h5py.File,
    inputs: Inputs,
    amps: Sequence[Amp],
    failures: Array,
    astrometry: h5py.File,
    stars: StarSpectra,
    throughput: ShotThroughput,
    skies: Mapping[int, ExposureSky],
    settings: ShotFile,
) -> None:
    data = new_group(file, "Data", "VIRUS Fiber Data and Metadata")
    norms = dict(zip(stars.expnums.tolist(), stars.norm.tolist(), strict=True))
    residuals = {path.name: path for path in inputs.residuals}
    places: dict[int, Places] = {}
    index = np.zeros(N_FIBERS * len(amps), FIBER_INDEX)
    with TableWriter(
        data, "Fibers", FIBERS, len(index), "Fiber Info", chunk=CHUNK, compressed=not settings.uncompressed
    ) as fibers:
        for k, amp in enumerate(amps):
            place = places.setdefault(amp.expnum, Places(astrometry, amp.expnum))
            sky = skies[amp.expnum].of(amp) if amp.expnum in skies else None
            pairing = f"{amp.specid}_{amp.ifuslot}_{amp.ifuid}_{amp.contid}"
            residual = read_sky_residual(residuals[pairing], amp.specid, amp.amp) if pairing in residuals else None
            norm = norms.get(amp.expnum, np.nan)
            rows = fiber_rows(inputs.shot, amp, place.of(amp), throughput.curve, norm, sky, residual, settings)
            fibers.append(rows)
            for name in FIBER_INDEX.names or ():
                index[name][k * N_FIBERS : (k + 1) * N_FIBERS] = rows[name]
    write_table(data, "FiberIndex", index, "Fiber Coord Info")
    write_table(data, "FailedAmps", failures, "Amplifiers that are not there, and why")
    if settings.images:
        with TableWriter(
            data, "Images", IMAGES, len(amps), "Image Info", chunk=1, compressed=not settings.uncompressed
        ) as images:
            for amp in amps:
                images.append(image_row(amp))


def _describe_amp(rows: Array, amp: Amp) -> None:
    rows["obsind"], rows["expnum"], rows["multiframe"] = 1, amp.expnum, amp.multiframe.encode()
    for name in ("amp", "specid", "ifuslot", "ifuid", "contid"):
        rows[name] = getattr(amp, name).encode()


def fiber_rows(
    shot: str,
    amp: Amp,
    place: Mapping[str, Array],
    throughput: Floats,
    norm: float,
    full_sky: FullSky | None,
    residual: Array | None,
    settings: ShotFile,
) -> Array:
    """Return the 112 rows of an amplifier, of type `FIBERS`.

    Parameters
    ----------
    place
        ra, dec, fpx and fpy, (112,) each.
    throughput, norm, full_sky, residual
        See `calibrated_fibers.calibrate`.

    Raises
    ------
    MalformedFile
        If its multifits is not one.
    """
    rows = np.zeros(N_FIBERS, FIBERS)
    _describe_amp(rows, amp)
    rows["fibidx"] = np.arange(N_FIBERS)
    rows["fibnum"] = rows["fibidx"] + 1
    beginning = f"{shot.replace('v', '')}_{amp.expnum}_{amp.multiframe}"
    rows["fiber_id"] = [f"{beginning}_{number:03d}".encode() for number in rows["fibnum"].tolist()]
    for name, values in place.items():
        rows[name] = values
    arrays = dict(zip(_ARRAYS, multifits.read(amp.path, *_ARRAYS), strict=True))
    for name in _COLUMNS:
        rows[name] = arrays[name]
    rows["error1D"] = arrays["error1d"]
    rows["ifux"], rows["ifuy"] = arrays["ifupos"].T
    wavelength = arrays["wavelength"].astype(np.float64)
    made = calibrate(
        Spectra(wavelength, rows["sky_subtracted"], rows["sky_spectrum"], rows["error1D"]),
        throughput,
        norm=norm,
        full_sky=full_sky,
        residual=residual,
        sky_error=settings.sky_error,
        sky_error_most=settings.sky_error_most,
        coverage=settings.coverage,
    )
    for name in ("calfib", "calfibe", "calfib_counts", "calfibe_counts", "calfib_ffsky"):
        rows[name] = getattr(made, name)
    return rows


def image_row(amp: Amp) -> Array:
    """Return the row of ``/Data/Images`` of an amplifier, (1,) of type `IMAGES`."""
    row = np.zeros(1, IMAGES)
    _describe_amp(row, amp)
    row["image"], row["error"], row["clean_image"] = multifits.read(amp.path, "processed", "error", "clean_image")
    return row


def _write_shot_row(
    file: h5py.File, shot: str, amps: Sequence[Amp], astrometry: h5py.File, stars: StarSpectra, tp: ShotThroughput
) -> None:
    headers = {amp.expnum: amp.path for amp in reversed(amps)}
    read = {expnum: multifits.read_header(path) for expnum, path in sorted(headers.items())}
    pointings = {int(row["expnum"]): row for row in astrometry["Solution/exposures"][:]}
    nominal = {int(row["expnum"]): row for row in astrometry["Astrometry/NominalVals"][:]}
    quality = {int(row["expnum"]): row for row in astrometry["Astrometry/QA"][:]}
    norms = dict(zip(stars.expnums.tolist(), stars.norm.tolist(), strict=True))
    row = shot_row(shot, read, pointings, nominal, quality, norms)
    row["n_ifu"] = len({(amp.specid, amp.ifuslot, amp.ifuid) for amp in amps})
    row["fwhm_virus"], row["fwhm_virus_err"] = stars.fwhm, stars.fwhm_error
    row["nstars_fit_fwhm"], row["response_4540"] = stars.n_fwhm, tp.response_4540
    table = write_table(file, "Shot", row, "Shot Info")
    for expnum, header in read.items():
        cards = "\n".join(f"{name:8s}= {value}" for name, value in header.items())
        table.attrs[f"header_{name_of_exposure(expnum)}"] = np.bytes_(cards.encode("ascii", "replace"))


def shot_row(
    shot: str,
    headers: Mapping[int, Mapping[str, Any]],
    pointings: Mapping[int, Array],
    nominal: Mapping[int, Array],
    quality: Mapping[int, Array],
    norms: Mapping[int, float],
) -> Array:
    """Return the row of ``/Shot``, (1,) of type `SHOT`, without what stars and throughput tell.

    Parameters
    ----------
    headers
        Of a frame of each exposure, by number.
    pointings, nominal, quality
        Rows of the astrometry's tables, by number of exposure.
    norms
        Relative light of each exposure.
    """
    row = empty_shot()
    one = row[0]
    night, obs = int(shot[:8]), int(shot[9:])
    one["shotid"], one["date"], one["obsid"] = night * 1000 + obs, night, obs
    one["datevobs"], one["obsind"] = shot.encode(), 1
    first = headers[min(headers)]
    objid = str(first.get("OBJECT") or "").strip()
    one["objid"], one["field"] = objid.encode("ascii", "replace"), field_of(objid).encode()
    one["time"] = re.sub(r"[:,.]", "", str(first.get("UT") or ""))[:7].encode("ascii", "replace")
    for name, cards in _CARDS.items():
        one[name] = next((_number(first.get(card)) for card in cards if first.get(card) is not None), np.nan)
    one["trajcra"] = 15 * _number(first.get("TRAJCRA"))
    if pointings:
        pointing = pointings[min(pointings)]
        one["ra"], one["dec"], one["pa"] = pointing["ra"], pointing["dec"], pointing["pa"]
    for k in range(N_EXPOSURES):
        expnum = k + 1
        if expnum in headers:
            header = headers[expnum]
            one["expnum"][k] = expnum
            seconds = exposure_time(header)
            one["exptime"][k] = np.nan if seconds is None else seconds
            one["darktime"][k], one["mjd"][k] = _number(header.get("DARKTIME")), _number(header.get("MJD"))
        one["relflux_virus"][k] = norms.get(expnum, np.nan)
        if expnum in nominal:
            one["xditherpos"][k], one["yditherpos"][k] = (nominal[expnum][f"{axis}_dither_pos"] for axis in "xy")
        if expnum in quality:
            for name in ("xoffset", "yoffset", "xrms", "yrms"):
                one[name][k] = quality[expnum][name]
            one["nstars_fit"][k] = int(quality[expnum]["nstars"])
    assert row.dtype == SHOT
    return row


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _copy(group: h5py.Group, to: h5py.Group) -> None:
    """Copy a group with all below it, and describe it to PyTables."""
    parent = new_group(to, Path(group.name).name)
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            _copy(item, parent)
        elif item.dtype.names:
            write_table(parent, name, item[()], attributes=dict(item.attrs))
        else:
            group.copy(item, parent, name)
            if "CLASS" not in parent[name].attrs:
                describe(parent[name], "ARRAY", ARRAY, "")
                parent[name].attrs["FLAVOR"] = np.bytes_(b"numpy")
