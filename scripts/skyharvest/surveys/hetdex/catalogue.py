"""HETDEX's source catalogue (HPSC2): the rows and spectra of its sources near given positions.

Source of the format: Mentuch Cooper et al. 2026, HETDEX Public Data Release 1, Table 5. Below
``hetdex_source_catalog_2/``, with a version such as ``v1.5`` in the names:

``hetdex_sc2_{version}.fits``
    A binary table, a row per source and observation: ``RA``, ``DEC`` (float32: good to 0.06″), ``source_id`` (unique
    per observation; ``source_name`` is shared), and so on. Bad values are -999.0 and ``n/a``.
``hetdex_sc2_spec_{version}.fits``
    The same table, and images ``SPEC``, ``SPEC_ERR`` of shape (1036, N), 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹, and ``WAVELENGTH``,
    (1036,) Å in air. The values of a spectrum lie N × 4 bytes apart.

Layout of the file written here (n rows, a row per (CSV row, source) pair; by CSV row, then separation):

=====================================  ====================================================================
``row``, ``separation_arcsec``         (n,) the CSV row, and its distance to the source
``catalogue_row``                      (n,) of the table, from 0
``RA``, ``DEC``, ``source_id``, …      (n,) every column of the catalogue; bad values are NaN, or empty
``spectrum_flux, spectrum_error``      (n, 1036) float32, 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹
``spectrum_lambda``                    (1036,) Å, air
=====================================  ====================================================================
"""

import logging
import re
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skyharvest.archive.archive import Archive, is_url
from skyharvest.archive.http.response import NotThere, TryAgain
from skyharvest.core import provenance
from skyharvest.core.arrays import Array, Float32s, Floats, Ints
from skyharvest.core.errors import Absent, ArchiveRefused, InputError, MalformedFile
from skyharvest.formats import hdf5
from skyharvest.formats.fits_file import FitsFile
from skyharvest.formats.fits_hdu import HDU, IMAGE_TYPES
from skyharvest.formats.hdf5_spectra import spectra_dataset, write_rows
from skyharvest.sky.matching import within_radius
from skyharvest.surveys.hetdex.cube import N_WAVE, WAVE_AIR
from skyharvest.surveys.hetdex.extract import FLUX_UNIT
from skyharvest.surveys.hetdex.release import Release

log = logging.getLogger(__name__)


VERSION = "v1.5"  # the newest in 2026; servers, whose directories cannot be listed, are asked for later ones
FORMAT = "skyharvest HETDEX source catalogue 1"

NEEDED = {"RA": "f", "DEC": "f", "source_id": "iu"}
BAD_NUMBER, BAD_TEXT = -999.0, b"n/a"
PIECE = 1 << 24  # bytes of the table held at once
RANGES_AT_ONCE = 20_000  # of spectra that lie across the file's rows

_VERSION = re.compile(r"v[0-9]+(\.[0-9]+)*")


@dataclass
class Matched:
    """Sources near targets.

    Attributes
    ----------
    row : (n,) int64
        CSV row.
    source : (n,) int64
        Row of the catalogue, from 0.
    separation_arcsec : (n,) float64
    columns
        Every column of the catalogue, (n,) each, as stored; bad values are NaN, or empty.
    units
        Of the columns that have one.
    n_sources
        Rows of the catalogue in all.
    """

    row: Ints
    source: Ints
    separation_arcsec: Floats
    columns: dict[str, Array]
    units: dict[str, str]
    n_sources: int


@dataclass
class SourceSpectra:
    """Spectra of the catalogue.

    Attributes
    ----------
    flux, error : (n, 1036) float32, 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹
    wave : (1036,) float64 Å, air
    """

    flux: Float32s
    error: Float32s
    wave: Floats


def find_version(archive: Archive, release: Release, known: str = VERSION) -> str:
    """Return the newest version of the catalogue: a directory is listed, a server asked for names from ``known`` on.

    Raises
    ------
    InputError
        If there is no catalogue, of a name that is looked for.
    ArchiveUnavailable, ArchiveRefused
        If that cannot be known now.
    """
    location = archive.location(release.catalogue("{version}"))
    before, after = Path(location).name.split("{version}", 1)
    if is_url(location):
        versions = probe_versions(archive, release, known)
        where = location.rpartition("/")[0]
        asked = f", of the names asked for: {', '.join(_names_from(known))}; say which one is there with "
        asked += "hetdex.catalogue.version"
    else:
        directory = Path(location).parent
        names = [path.name for path in directory.glob("*")] if directory.is_dir() else []
        versions = [
            name[len(before) : len(name) - len(after)]
            for name in names
            if name.startswith(before) and name.endswith(after) and len(name) > len(before) + len(after)
        ]
        where, asked = str(directory), ": correct the archive's root"
    numbered = [version for version in versions if _VERSION.fullmatch(version)]
    if not numbered:
        raise InputError(f"{where} has no {before}v*{after}, HETDEX's source catalogue{asked}")
    return max(numbered, key=_numbers)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version[1:].split(".")]


def _names_from(known: str) -> list[str]:
    """Return the version, and names that a later one may have: v1.5, v1.6, v1.7, v2.0, v2, v2.1, v3.0, …."""
    major, minor = (*_numbers(known), 0)[:2]
    return [known, *(f"v{major}.{minor + k}" for k in (1, 2)), f"v{major + 1}.0", f"v{major + 1}", f"v{major + 1}.1"]


def probe_versions(archive: Archive, release: Release, known: str = VERSION) -> list[str]:
    """Return which versions a server has, of ``known`` and the names that a later one may have.

    A later one is asked for once, by its first byte: what the server does not give counts as not there.
    """
    found = []
    names = deque(_names_from(known))
    while names:
        version = names.popleft()
        if not (_is_there if version == known else _answers)(archive, release.catalogue(version)):
            continue
        found.append(version)
        later = [name for name in _names_from(version) if _numbers(name) > _numbers(version)]
        names.extend(name for name in later if name not in names)
    return found


def _is_there(archive: Archive, path: str) -> bool:
    try:
        with archive.open(path) as source:
            source.head(1)
    except Absent:
        return False
    return True


def _answers(archive: Archive, path: str) -> bool:
    url = archive.location(path)
    try:
        return archive.client.attempt(url, {"Range": "bytes=0-0"}, lambda _: True)
    except NotThere:
        return False
    except (TryAgain, ArchiveRefused) as error:
        log.warning("%s: %s; taken for a version that there is not", url, error)
        return False


def match_catalogue(archive: Archive, path: str, targets: Mapping[str, Array], radius_arcsec: float) -> Matched:
    """Find the sources near each target. The table is read once, piece by piece.

    Parameters
    ----------
    targets
        ``row`` int64, ``ra``, ``dec`` float64 in degrees; (m,) each.
    radius_arcsec
        A distance equal to it counts.

    Raises
    ------
    InputError
        If the archive has no such file: the version is wrong.
    MalformedFile
        If it holds no table with the columns `NEEDED`.
    """
    ra, dec = (np.asarray(targets[name], np.float64) for name in ("ra", "dec"))
    i: list[Ints] = []
    j: list[Ints] = []
    separation: list[Floats] = []
    matched: dict[int, bytes] = {}  # rows of the table, as they are stored
    with _opened(archive, path) as fits:
        hdu = table_of(fits)
        n_bytes = hdu.row_bytes
        n_at_once = max(1, PIECE // n_bytes)
        for first in range(0, hdu.n_rows, n_at_once):
            start = hdu.data_start + first * n_bytes
            stop = hdu.data_start + min(first + n_at_once, hdu.n_rows) * n_bytes
            data = fits.source.read([(start, stop)])[0]
            target, source, distance = within_radius(ra, dec, *_positions(hdu, data), radius_arcsec)
            i.append(target)
            j.append(source + first)
            separation.append(distance)
            for k in np.unique(source).tolist():
                matched[first + k] = data[k * n_bytes : (k + 1) * n_bytes]
            log.info("%s: %d of %d rows, %d near a target", hdu, first + len(data) // n_bytes, hdu.n_rows, len(matched))
    rows = np.asarray(targets["row"], np.int64)[_joined(i, np.int64)]
    sources, distance = _joined(j, np.int64), _joined(separation, np.float64)
    order = np.lexsort((sources, distance, rows))
    rows, sources, distance = rows[order], sources[order], distance[order]
    numbers = np.array(list(matched), np.int64)  # sorted: the table was read in order
    table = hdu.table(b"".join(matched.values()))
    at = np.searchsorted(numbers, sources)
    columns = {name: _without_bad(values)[at] for name, values in table.items()}
    units = {name: column.unit for name, column in hdu.columns.items() if column.unit}
    return Matched(rows, sources, distance, columns, units, hdu.n_rows)


@contextmanager
def _opened(archive: Archive, path: str) -> Iterator[FitsFile]:
    try:
        with archive.open(path) as source:
            yield FitsFile(source)
    except Absent as error:
        raise InputError(
            f"{error}: the names of HETDEX's source catalogue change with its version; say which one is there with "
            "--catalogue-version"
        ) from error


def table_of(fits: FitsFile) -> HDU:
    """Return the first table with a source's position."""
    hdu = fits.table_with(list(NEEDED))
    hdu.check_scalars(NEEDED)
    return hdu


def _positions(hdu: HDU, data: bytes) -> tuple[Floats, Floats]:
    """Return RA and Dec, NaN where they are missing."""
    table = hdu.table(data, ("RA", "DEC"))
    ra, dec = (_without_bad(table[name]).astype(np.float64) for name in ("RA", "DEC"))
    return ra, dec


def _without_bad(values: Array) -> Array:
    if values.dtype.kind == "f":
        return np.where(values == BAD_NUMBER, values.dtype.type(np.nan), values)
    if values.dtype.kind == "S":
        return np.where(values == BAD_TEXT, b"", values).astype(values.dtype)
    return values


def _joined(parts: list[Any], kind: Any) -> Array:
    return np.concatenate([np.zeros(0, kind), *parts])


def read_spectra(archive: Archive, path: str, matched: Matched) -> SourceSpectra:
    """Read the spectra of matched sources, and little more.

    Parameters
    ----------
    matched
        From `match_catalogue`, of the same version.

    Raises
    ------
    MalformedFile
        If the file's rows are not those of the catalogue, or its images have other shapes.
    """
    if not len(matched.source):
        return SourceSpectra(np.zeros((0, N_WAVE), np.float32), np.zeros((0, N_WAVE), np.float32), WAVE_AIR)
    sources, first, at = np.unique(matched.source, return_index=True, return_inverse=True)
    with _opened(archive, path) as fits:
        _check_rows(fits, sources, matched.columns["source_id"][first], matched.n_sources)
        flux, error = (_read_image(fits, hdu, sources)[at] for hdu in spectra_images(fits, matched.n_sources))
        wavelength = fits["WAVELENGTH"]
        if wavelength.shape != (N_WAVE,):
            raise MalformedFile(f"{wavelength}: its shape is {wavelength.shape}, expected ({N_WAVE},)")
        wave = wavelength.image(fits.read([(wavelength, None)])[0]).astype(np.float64)
    return SourceSpectra(flux, error, wave)


def _check_rows(fits: FitsFile, sources: Ints, source_id: Array, n_sources: int) -> None:
    """Check that the rows of the file with spectra are those of the catalogue."""
    hdu = table_of(fits)
    if hdu.n_rows != n_sources:
        raise MalformedFile(
            f"{hdu} has {hdu.n_rows:,} rows, the catalogue {n_sources:,}: they are not of the same version"
        )
    own_id = hdu.table(fits.read([(hdu, sources)])[0], ("source_id",))["source_id"]
    if not np.array_equal(own_id, source_id):
        k = int(np.argmax(own_id != source_id))
        raise MalformedFile(
            f"{hdu}: row {sources[k]} is source_id {own_id[k]}, the catalogue says {source_id[k]}: they are not of the "
            "same version"
        )


def spectra_images(fits: FitsFile, n_sources: int) -> tuple[HDU, HDU]:
    """Return the images ``SPEC`` and ``SPEC_ERR``.

    Raises
    ------
    MalformedFile
        If they are missing, or no floats of shape (1036, n_sources), which may be turned.
    """
    for hdu in (fits[name] for name in ("SPEC", "SPEC_ERR")):
        floating = not hdu.is_table and hdu.header.get("BITPIX") in (-32, -64)
        if not floating or hdu.shape not in ((N_WAVE, n_sources), (n_sources, N_WAVE)):
            actual = "a table" if hdu.is_table else f"BITPIX {hdu.header.get('BITPIX')} of shape {hdu.shape}"
            raise MalformedFile(f"{hdu}: found {actual}, expected floats of shape ({N_WAVE}, {n_sources})")
    return fits["SPEC"], fits["SPEC_ERR"]


def _read_image(fits: FitsFile, hdu: HDU, sources: Ints) -> Float32s:
    """Return the spectra, (len(sources), 1036), of sorted rows of the catalogue."""
    if hdu.shape[0] != N_WAVE:
        return hdu.image(fits.read([(hdu, sources)])[0]).astype(np.float32)
    item = hdu.row_bytes // hdu.shape[1]
    values = np.empty((N_WAVE, len(sources)), np.float32)
    n_at_once = max(1, RANGES_AT_ONCE // len(sources))
    begins = hdu.data_start + item * sources
    for first in range(0, N_WAVE, n_at_once):
        planes = np.arange(first, min(first + n_at_once, N_WAVE))
        starts = (begins + hdu.row_bytes * planes[:, None]).ravel().tolist()
        data = b"".join(fits.source.read([(start, start + item) for start in starts]))
        stored = np.frombuffer(data, IMAGE_TYPES[-8 * item])
        values[planes] = stored.reshape(len(planes), len(sources))
        log.info("%s: %d of %d wavelengths of %d sources", hdu, planes[-1] + 1, N_WAVE, len(sources))
    return values.T


def write_catalogue(out: Path, matched: Matched, spectra: SourceSpectra, attributes: Mapping[str, Any]) -> None:
    """Write the HDF5 file; its layout is the module's.

    Parameters
    ----------
    attributes
        Of the root, beside the format and the provenance.
    """
    n = len(matched.row)
    with hdf5.create(out) as file:
        file.attrs["format"] = FORMAT
        file.attrs.update(attributes)
        file.attrs.update(provenance.attributes())
        hdf5.write_column(file, "row", matched.row)
        hdf5.write_column(file, "separation_arcsec", matched.separation_arcsec, unit="arcsec")
        hdf5.write_column(file, "catalogue_row", matched.source)
        hdf5.write_column(file, "spectrum_lambda", spectra.wave, unit="Angstrom", medium="air")
        for name, values in (("spectrum_flux", spectra.flux), ("spectrum_error", spectra.error)):
            dataset = spectra_dataset(file, name, n, (N_WAVE,), np.float32, compressed=True, unit=FLUX_UNIT)
            write_rows(dataset, slice(None), values)
        hdf5.write_table(file, matched.columns, matched.units)
