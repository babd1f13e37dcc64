"""Maps of HETDEX sources: images around positions on a cube, in a broad band, a narrow band, and an emission line.

A map is cut out of the cube's own spaxels, a square around the spaxel that the position is on; nothing is resampled,
and parts off the cube are NaN. For a band from λ₁ to λ₂ (Å, in air), w the part of each 2 Å bin that lies in it (Å),
f ± e the flux density of a spaxel in that bin (10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹), and sums over the spaxel's good bins:

- mean density D = Σ w f / Σ w, its error E = √(Σ w² e²) / Σ w;
- flux in the band (λ₂ − λ₁) D, its error (λ₂ − λ₁) E: bins that are missing count as the mean of the good ones;
- coverage Σ w / (λ₂ − λ₁); where it is 0 the flux is NaN;
- line = (λ₂ − λ₁) (D − C), C the mean of the D of a band on either side (of one alone, where the other has no good
  bin), and its error from the three E.

Good is a voxel that is not masked, of finite flux with \\|flux\\| ≥ 1e-8, and of finite ERROR > 0. Bins beyond the
cube's range are missing ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from skyharvest.core.arrays import Array, Bools, Float32s, Floats
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.sky.spectral_lines import rest_wave
from skyharvest.surveys.hetdex import settings
from skyharvest.surveys.hetdex.cube import BIN_WIDTH, N_SPAXELS, UNFILLED, WAVE_AIR, Cube, Masking, air_to_vacuum

SPAXEL_ARCSEC = 0.5  # side of a spaxel; sizes follow from it, so that maps of all cubes have one shape
MAX_SIZE_ARCSEC = 104.0  # from one edge of a cube, such a map still reaches the other
RANGE: tuple[float, float] = (float(WAVE_AIR[0]) - BIN_WIDTH / 2, float(WAVE_AIR[-1]) + BIN_WIDTH / 2)
"""Where the first bin begins and the last one ends: Å, in air."""

IMAGES = (
    "broad",
    "broad_error",
    "coverage",
    "narrow",
    "narrow_error",
    "narrow_coverage",
    "line",
    "line_error",
)

_IN_VACUUM = 2000.0  # Å; below it, wavelengths are in vacuum by convention
_PLANES = 32  # that are integrated at once


def line_wave(redshift: Any, rest_vacuum: str | float) -> Floats:
    """Return where a line is observed: the inverse of `cube.air_to_vacuum`, of rest wavelength × (1 + z).

    Parameters
    ----------
    redshift : (n,)
        NaN, or anything that is not above −1 (such as −999), is a missing one.
    rest_vacuum
        What `skyharvest.sky.spectral_lines.rest_wave` takes.

    Returns
    -------
    (n,) float64 Å, in air; NaN for a missing redshift. Below 2000 Å, far off every cube, it is the one in vacuum.

    Raises
    ------
    InputError
        If there is no such line.
    """
    vacuum = rest_wave(rest_vacuum) * (1 + np.asarray(redshift, np.float64))
    vacuum = np.where(np.isfinite(vacuum) & (vacuum > 0), vacuum, np.nan)
    air = vacuum.copy()
    refracted = vacuum >= _IN_VACUUM
    for _ in range(3):  # n hardly changes with the wavelength: each step gains more than four digits
        air[refracted] *= vacuum[refracted] / air_to_vacuum(air[refracted])
    return air


@dataclass(frozen=True)
class MapRequest:
    """What maps to make.

    Attributes
    ----------
    size_arcsec
        Side of the square.
    broad
        First and last wavelength of the broad band, Å in air.
    half_width
        Of the narrow band, Å: it is twice as wide.
    gap
        Between the narrow band and the continuum on either side, Å; at least a bin, so that no bin counts as both.
    continuum_width
        Of the continuum's band on either side, Å.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    size_arcsec: float = 20.0
    broad: tuple[float, float] = (3800.0, 5200.0)
    half_width: float = settings.Maps.half_width
    gap: float = 10.0
    continuum_width: float = 40.0

    def __post_init__(self) -> None:
        if not 0 < self.size_arcsec <= MAX_SIZE_ARCSEC:
            raise InputError(f"the maps' size is {self.size_arcsec}″, expected above 0 and up to {MAX_SIZE_ARCSEC:g}″")
        if not (len(self.broad) == 2 and RANGE[0] <= self.broad[0] < self.broad[1] <= RANGE[1]):
            raise InputError(
                f"the maps' broad band is {list(self.broad)}, expected its first and its last wavelength within "
                f"{RANGE[0]:g} to {RANGE[1]:g} Å"
            )
        for name, least in (("half_width", 0.0), ("gap", BIN_WIDTH), ("continuum_width", 0.0)):
            value = getattr(self, name)
            if not (least <= value < np.inf and value > 0):
                expected = f"at least {least:g} Å" if least else "a positive number of Å"
                raise InputError(f"the maps' {name} is {value}, expected {expected}")

    @property
    def reach_arcsec(self) -> float:
        """How far from a source the map's rows of spaxels are: for `skyharvest.surveys.hetdex.cube.read_cube`."""
        return self.size * SPAXEL_ARCSEC / 2

    @property
    def size(self) -> int:
        """Side of the square in spaxels: the smallest odd number that is not less than `size_arcsec`."""
        return int(np.ceil(round(self.size_arcsec / SPAXEL_ARCSEC, 6))) | 1


@dataclass
class Maps:
    """Maps of n sources on one cube. The middle spaxel is the one that the source is on.

    Attributes
    ----------
    wave : (n,) float64
        Where the line is observed, Å in air; NaN if that is unknown.
    x0, y0 : (n,) float64
        Whole numbers: the cube's spaxel that is the map's first; below 0 where the map begins off the cube.
    on_cube : (n,) bool
        Whether any of the map is on the cube; if not, all of it is NaN.
    broad, broad_error, narrow, narrow_error, line, line_error : (n, size, size) float32
        10⁻¹⁷ erg s⁻¹ cm⁻² per spaxel, in the band; (y, x). ``narrow`` and ``line`` are NaN where ``wave`` is NaN or
        off the cube's range.
    coverage, narrow_coverage : (n, size, size) float32
        Share of the broad and of the narrow band that has good voxels; NaN off the cube.
    cards
        The maps' WCS, as `wcs_cards` gives it, but numbers are (n,); NaN where a cube has no such card.
    """

    request: MapRequest
    wave: Floats
    x0: Floats
    y0: Floats
    on_cube: Bools
    broad: Float32s
    broad_error: Float32s
    coverage: Float32s
    narrow: Float32s
    narrow_error: Float32s
    narrow_coverage: Float32s
    line: Float32s
    line_error: Float32s
    cards: dict[str, str | Floats]

    def cards_of(self, i: int) -> dict[str, str | float]:
        """Return the cards of one source's map."""
        values = {card: value if isinstance(value, str) else float(value[i]) for card, value in self.cards.items()}
        return {card: value for card, value in values.items() if isinstance(value, str) or np.isfinite(value)}

    def take(self, index: Array) -> "Maps":
        """Return the maps of some sources: their numbers, or (n,) bool."""
        arrays: dict[str, Any] = {name: getattr(self, name)[index] for name in ARRAYS}
        cards = {card: value if isinstance(value, str) else value[index] for card, value in self.cards.items()}
        return replace(self, **arrays, cards=cards)


ARRAYS = tuple(field.name for field in fields(Maps) if field.name not in ("request", "cards"))


def make_maps(
    cube: Cube, ra: Any, dec: Any, wave: Any, request: MapRequest | None = None, *, masking: Masking | None = None
) -> Maps:
    """Make the maps of positions on a cube. The module's docstring has the definitions.

    Parameters
    ----------
    cube
        From `skyharvest.surveys.hetdex.cube.read_cube`; with ``near``, the positions must have been among those, and
        ``reach_arcsec`` not less than the maps'. It is worked on in pieces, and never copied as a whole.
    ra, dec : (n,) degrees, ICRS
        They need not be on the cube.
    wave : (n,), or one for all: Å in air
        Where the line is; NaN, and any that is off the cube's range, for no narrow band and no line.
    masking
        Which voxels are good; by default those with no bit set.
    """
    request, masking = request or MapRequest(), masking or Masking()
    x, y = cube.spaxels(ra, dec)
    wave = np.broadcast_to(np.asarray(wave, np.float64), x.shape).copy()
    size = request.size
    x0, y0 = (np.floor(at + 0.5) - size // 2 for at in (x, y))
    on_cube = (x0 > -size) & (x0 < N_SPAXELS) & (y0 > -size) & (y0 < N_SPAXELS)
    images = {name: np.full((len(x), size, size), np.nan, np.float32) for name in IMAGES}
    starts = {"CRPIX1": x0, "CRPIX2": y0}
    cards = {
        card: value if isinstance(value, str) else np.full(len(x), value) - starts.get(card, 0.0)
        for card, value in wcs_cards(cube).items()
    }
    maps = Maps(request, wave, x0, y0, on_cube, **images, cards=cards)

    cuts = {int(k): (_Cut(y0[k], size), _Cut(x0[k], size)) for k in np.flatnonzero(on_cube)}
    if not cuts:
        return maps
    # The broad band is the same for all: once, for the rectangle that holds them.
    top, left = (min(cut[axis].first for cut in cuts.values()) for axis in (0, 1))
    bottom, right = (max(cut[axis].stop for cut in cuts.values()) for axis in (0, 1))
    boxes = _integrate(cube, masking, slice(top, bottom), slice(left, right), [_Band(*request.broad)])
    (flux,), (error,), (coverage,) = boxes
    for k, cut in cuts.items():
        rows, columns = cut
        assert cube.rows[rows.on_cube].all(), f"{cube.name}: read without the rows of spaxels that are asked for"
        on_map = k, rows.on_map, columns.on_map
        of_box = slice(rows.first - top, rows.stop - top), slice(columns.first - left, columns.stop - left)
        maps.broad[on_map], maps.broad_error[on_map] = flux[of_box], error[of_box]
        maps.coverage[on_map] = coverage[of_box]
        if RANGE[0] <= wave[k] <= RANGE[1]:
            _add_line(maps, k, cut, cube, masking)
    return maps


def _add_line(maps: Maps, k: int, cut: tuple["_Cut", "_Cut"], cube: Cube, masking: Masking) -> None:
    """Make the maps of one source's narrow band and line."""
    (rows, columns), wave = cut, float(maps.wave[k])
    request = maps.request
    near = request.half_width + request.gap
    bands = [
        _Band(wave - request.half_width, wave + request.half_width),
        _Band(wave - near - request.continuum_width, wave - near),
        _Band(wave + near, wave + near + request.continuum_width),
    ]
    flux, error, coverage = _integrate(cube, masking, rows.on_cube, columns.on_cube, bands)
    on_map = k, rows.on_map, columns.on_map
    seen = coverage[1:] > 0
    n_seen = np.where(seen.any(axis=0), seen.sum(axis=0), np.nan)
    scale = 2 * request.half_width / request.continuum_width  # the sides' flux is that of a band of their own width
    continuum = scale * np.where(seen, flux[1:], 0).sum(axis=0) / n_seen
    its_error = scale * np.sqrt(np.where(seen, error[1:] ** 2, 0).sum(axis=0)) / n_seen
    maps.narrow[on_map], maps.narrow_error[on_map], maps.narrow_coverage[on_map] = flux[0], error[0], coverage[0]
    maps.line[on_map], maps.line_error[on_map] = flux[0] - continuum, np.hypot(error[0], its_error)


class _Cut:
    """Where a map and the cube meet along one axis: spaxels ``first`` to ``stop`` of the cube."""

    def __init__(self, start: float, size: int) -> None:
        at = int(start)
        self.first, self.stop = max(at, 0), min(at + size, N_SPAXELS)
        self.on_cube = slice(self.first, self.stop)
        self.on_map = slice(self.first - at, self.stop - at)


class _Band:
    """A band of wavelengths."""

    def __init__(self, first: float, last: float) -> None:
        self.width = last - first
        reach = np.minimum(last, WAVE_AIR + BIN_WIDTH / 2) - np.maximum(first, WAVE_AIR - BIN_WIDTH / 2)
        self.weights: Floats = np.clip(reach, 0, None)
        """(1036,) how much of each bin is in the band, Å."""


def _integrate(
    cube: Cube, masking: Masking, rows: slice, columns: slice, bands: list[_Band]
) -> tuple[Floats, Floats, Floats]:
    """Return flux, error and coverage of bands in a rectangle of spaxels, (bands, rows, columns) each.

    Some bin must be in one of the bands.
    """
    weights, width = np.array([band.weights for band in bands]), np.array([[band.width] for band in bands])
    used = np.flatnonzero(weights.any(axis=0))
    shape = len(bands), rows.stop - rows.start, columns.stop - columns.start
    total, variance, seen = np.zeros((3, shape[0], shape[1] * shape[2]))
    for first in range(used[0], used[-1] + 1, _PLANES):
        planes = slice(first, min(first + _PLANES, used[-1] + 1))
        of_planes = weights[:, planes]
        flux, error, mask = (
            array[planes, rows, columns].reshape(of_planes.shape[1], -1) for array in (cube.flux, cube.error, cube.mask)
        )
        good = masking.good(mask) & np.isfinite(flux) & (np.abs(flux) >= UNFILLED) & np.isfinite(error) & (error > 0)
        total += of_planes @ np.where(good, flux, 0).astype(np.float64)
        variance += of_planes**2 @ np.where(good, error, 0).astype(np.float64) ** 2
        seen += of_planes @ good.astype(np.float64)
    scale = width / np.where(seen > 0, seen, np.nan) / cube.bin_width  # missing bins count as the mean
    return (total * scale).reshape(shape), (np.sqrt(variance) * scale).reshape(shape), (seen / width).reshape(shape)


def wcs_cards(cube: Cube, x0: float = 0, y0: float = 0) -> dict[str, str | float]:
    """Return the celestial WCS of an image that is cut out of a cube: the cube's own cards, with another CRPIX.

    Returns
    -------
    dict
        Keyword and value, all text or float: of a FITS header, or attributes of HDF5. `astropy.wcs.WCS` reads an
        `astropy.io.fits.Header` of them.
    """
    own = cube.sky.cards
    cards: dict[str, str | float] = {"RADESYS": "ICRS"}
    if not any(card.startswith(("CD1", "CD2", "CROTA")) for card in own):
        # FITS lets 1 and 0 be left out of PC; not all programs put them back.
        cards.update({"PC1_1": 1.0, "PC1_2": 0.0, "PC2_1": 0.0, "PC2_2": 1.0})
    cards.update(
        {card: value if isinstance(value, str) else float(value) for card, value in own.items() if value is not None}
    )
    for axis, start in ((1, x0), (2, y0)):
        cards[f"CRPIX{axis}"] = float(own.get(f"CRPIX{axis}") or 0) - start
    return cards


def concatenate(pieces: Sequence[Maps]) -> Maps:
    """Return the maps of several cubes, one after another.

    Parameters
    ----------
    pieces
        At least one, all of one `MapRequest`.

    Raises
    ------
    MalformedFile
        If their requests differ, or the texts of their WCS, which all share.
    """
    first = pieces[0]
    texts = {card: value for card, value in first.cards.items() if isinstance(value, str)}
    numbers = dict.fromkeys(card for piece in pieces for card in piece.cards if card not in texts)
    cards: dict[str, str | Floats] = dict(texts)
    for piece in pieces:
        own = {card: value for card, value in piece.cards.items() if isinstance(value, str)}
        if piece.request != first.request or own != texts:
            raise MalformedFile(
                f"maps that do not belong together: {piece.request}, {own} and {first.request}, {texts}: remove the "
                "extracted files of both, the next run makes them anew"
            )
    for card in numbers:
        parts = [np.broadcast_to(piece.cards.get(card, np.nan), piece.x0.shape) for piece in pieces]
        cards[card] = np.concatenate(parts)
    arrays: dict[str, Any] = {name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in ARRAYS}
    return replace(first, **arrays, cards=cards)
