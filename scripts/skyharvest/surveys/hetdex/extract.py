"""Take the spectra of a few targets out of one HETDEX cube.

Layout of an extracted file (n spectra, by CSV row):

=====================================  ====================================================================
``row``, ``ra``, ``dec``               (n,) CSV row and its position, degrees
``x``, ``y``                           (n,) float64 spaxels of the cube, 0-based
``aperture_on_cube``                   (n,) float64 share of the aperture's area that lies on the cube
``separation_arcsec``                  (n,) from the cube's centre
``spectrum_flux, spectrum_error``      (n, 1036) float32, 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹
``spectrum_coverage``                  (n, 1036) float32, share of the aperture with good voxels
``optimal_flux, optimal_error``        (n, 1036) ditto, weighted with the point-spread function; if asked for
``maps/…``                             (n, size, size) images, if asked for: see `map_files.write_maps`
``targets/row``                        (m,) every target of the cube
``targets/n_spectra``                  (m,) 1 where it has a spectrum
``targets/nearest_arcsec``             (m,) from the cube's centre
``targets/n_cubes``                    (m,) 1
``file``, ``files/…``                  (n,) 0; (1,) the cube: `skyharvest.harvest.extracted`
attribute ``request``                  digest of the targets and options that it was made for
=====================================  ====================================================================

A target has a spectrum if some wavelength of it has enough coverage.
"""

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skyharvest import __version__
from skyharvest.archive.archive import Archive, is_url
from skyharvest.archive.download import downloaded
from skyharvest.core.arrays import Array, Bools
from skyharvest.core.errors import Absent, MalformedFile
from skyharvest.formats import hdf5
from skyharvest.formats.hdf5_spectra import spectra_dataset
from skyharvest.harvest.extracted import Files, write_files
from skyharvest.surveys.hetdex.about import SURVEY
from skyharvest.surveys.hetdex.cube import Masking, read_cube
from skyharvest.surveys.hetdex.map_files import write_maps
from skyharvest.surveys.hetdex.maps import MapRequest, Maps, make_maps
from skyharvest.surveys.hetdex.settings import Settings
from skyharvest.surveys.hetdex.spectra import CubeSpectra, Psf, extract_spectra, reach

if TYPE_CHECKING:
    import h5py

log = logging.getLogger(__name__)

FORMAT = "skyharvest extracted HETDEX cube 3"
SECOND_READING_S = 1.0  # between a malformed reading and the second one
FLUX_UNIT = "10**-17 erg/(s cm2 Angstrom)"


@dataclass(frozen=True)
class WantedSpectra:
    """What to extract.

    Attributes
    ----------
    radius_arcsec
        Of the aperture.
    min_coverage
        Where less of the aperture has good voxels there is no flux.
    optimal
        ``gaussian`` or ``moffat``: a spectrum weighted with this point-spread function as well.
    fwhm_arcsec
        Of the point-spread function: the cube's ``fwhm_virus``.
    content
        What the index says of the cube's content, if it does: `skyharvest.surveys.hetdex.index.CONTENT`.
    maps
        The maps to make of each source with a spectrum, if any.
    check_absence
        Called before a cube is recorded as absent; raises if that is not to be believed.
    """

    radius_arcsec: float = Settings.aperture_radius_arcsec
    min_coverage: float = Settings.min_coverage
    masking: Masking = field(default_factory=Masking)
    optimal: str | None = None
    fwhm_arcsec: float = float("nan")
    content: str = ""
    maps: MapRequest | None = None
    check_absence: Callable[[str], None] | None = None

    def request(self, path: str, targets: Array) -> str:
        """Return 32 hex digits of what decides the content of a cube's file, but for what the archive holds."""
        how = (FORMAT, path, self.radius_arcsec, self.min_coverage, self.masking, self.optimal, self.psf, self.maps)
        digest = hashlib.blake2b(repr(how).encode() + self.content.encode(), digest_size=16)
        for name in ("row", "ra", "dec", "wave"):
            digest.update(targets[name].tobytes())
        return digest.hexdigest()

    @property
    def psf(self) -> Psf | None:
        """The point-spread function, if it is known and asked for."""
        if self.optimal is None or not np.isfinite(self.fwhm_arcsec) or self.fwhm_arcsec <= 0:
            return None
        return Psf(self.optimal, self.fwhm_arcsec)


@dataclass
class ExtractedCube:
    """What became of a cube.

    Attributes
    ----------
    status
        ``read``, ``absent`` or ``unreadable``.
    rows
        CSV rows with a spectrum.
    """

    status: str
    reason: str = ""
    rows: tuple[int, ...] = ()


def extract_cube(
    archive: Archive, path: str, targets: Array, out: Path, *, wanted: WantedSpectra, scratch: Path
) -> ExtractedCube:
    """Extract the spectra of a cube's targets into one file.

    Parameters
    ----------
    archive
        Where the cube is. From a server it is downloaded, verified, read, and removed.
    targets
        The cube's rows of ``plan_targets.npy``.

    Raises
    ------
    ArchiveUnavailable, ArchiveRefused
        Never recorded: the cube fails, and the next run tries again.
    """
    result = ExtractedCube("read")
    of_cube: _Found | None = None
    try:
        try:
            of_cube = _read(archive, path, targets, wanted, scratch)
        except MalformedFile as first:
            log.warning("%s; reading it once more", first)
            time.sleep(SECOND_READING_S)
            of_cube = _read(archive, path, targets, wanted, scratch)
    except Absent as error:
        if wanted.check_absence:
            wanted.check_absence(path)
        log.info("absent: %s", error)
        result.status, result.reason = "absent", "not in the archive"
    except MalformedFile as error:
        log.warning("unreadable: %s", error)
        result.status, result.reason = "unreadable", str(error)
    if of_cube is not None:
        result.rows = tuple(targets["row"][of_cube.has_spectrum].tolist())
    with hdf5.create(out, sealed=True) as file:
        file.attrs["format"] = FORMAT
        file.attrs["request"] = wanted.request(path, targets)
        file.attrs["unit"] = f"{targets['shotid'][0]}_{targets['ifuslot'][0].decode()}"
        file.attrs["skyharvest_version"] = __version__
        _write(file, path, targets, of_cube, result)
    return result


@dataclass
class _Found:
    """What a cube holds: spectra of all its targets, and maps of those that have one."""

    spectra: CubeSpectra
    has_spectrum: Bools
    maps: Maps | None = None


def _read(archive: Archive, path: str, targets: Array, wanted: WantedSpectra, scratch: Path) -> _Found:
    def read(place: Archive) -> _Found:
        with place.open(path):
            pass  # says if it is absent, or was wrong twice
        near = (targets["ra"], targets["dec"])
        far = max(reach(wanted.radius_arcsec, wanted.psf), wanted.maps.reach_arcsec if wanted.maps else 0.0)
        cube = read_cube(Path(place.location(path)), path, near=near, reach_arcsec=far)
        spectra = extract_spectra(
            cube,
            targets["ra"],
            targets["dec"],
            radius_arcsec=wanted.radius_arcsec,
            masking=wanted.masking,
            min_coverage=wanted.min_coverage,
            psf=wanted.psf,
        )
        of_cube = _Found(spectra, spectra.on_cube & np.isfinite(spectra.flux).any(axis=1))
        if wanted.maps is not None:
            ra, dec, wave = (targets[name][of_cube.has_spectrum] for name in ("ra", "dec", "wave"))
            of_cube.maps = make_maps(cube, ra, dec, wave, wanted.maps, masking=wanted.masking)
        return of_cube

    if not is_url(archive.location(path)):
        return read(archive)
    with downloaded(archive, [([path], "")], scratch) as local:
        return read(local)


def _write(file: "h5py.File", path: str, targets: Array, of_cube: _Found | None, result: ExtractedCube) -> None:
    write_files(
        file, Files([path], [SURVEY.kind], [result.status], [result.reason], beside=[""], n_searched=[len(targets)])
    )
    has_spectrum = np.isin(targets["row"], result.rows)
    of_target = file.create_group("targets")
    hdf5.write_column(of_target, "row", targets["row"])
    hdf5.write_column(of_target, "n_spectra", has_spectrum.astype(np.int64))
    hdf5.write_column(of_target, "nearest_arcsec", targets["separation_arcsec"], unit="arcsec")
    hdf5.write_column(of_target, "n_cubes", np.ones(len(targets), np.int64))
    hdf5.write_column(file, "file", np.zeros(len(result.rows), np.int32))
    for name, unit in (("row", None), ("ra", "deg"), ("dec", "deg"), ("separation_arcsec", "arcsec")):
        hdf5.write_column(file, name, targets[name][has_spectrum], unit=unit)
    if of_cube is None:
        return
    spectra = of_cube.spectra
    for name, unit in (("x", "spaxel"), ("y", "spaxel"), ("aperture_on_cube", None)):
        hdf5.write_column(file, name, getattr(spectra, name)[has_spectrum], unit=unit)
    kinds = {"spectrum_flux": spectra.flux, "spectrum_error": spectra.error, "spectrum_coverage": spectra.coverage}
    if spectra.optimal_flux is not None and spectra.optimal_error is not None:
        kinds |= {"optimal_flux": spectra.optimal_flux, "optimal_error": spectra.optimal_error}
    for name, values in kinds.items():
        attributes = {"unit": FLUX_UNIT} if "coverage" not in name else {}
        shape = values.shape[1:]
        dataset = spectra_dataset(file, name, len(result.rows), shape, np.float32, compressed=False, **attributes)
        dataset[:] = values[has_spectrum]
    if of_cube.maps is not None:
        write_maps(file.create_group("maps"), of_cube.maps)
