"""Observe sources with the spectrograph; write a coadd and the redrock file beside it."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skyharvest.core.arrays import Array, Floats, Ints
from skyharvest.simulate.desi import tables
from skyharvest.simulate.desi.sources import Sources
from skyharvest.simulate.desi.spectrograph import (
    ARM_PIXELS,
    ARM_START,
    ARMS,
    N_COMBINED,
    REACH,
    REFERENCE_SECONDS,
    blur,
    clear_ivar,
    lsf_sigma,
    wavelength,
)
from skyharvest.simulate.fits_write import write_image, write_primary, write_table

SPECPROD = "demo"
EFFECTIVE_SECONDS = {"dark": 1000.0, "bright": 180.0, "backup": 60.0}  # per tile, Schlafly et al. 2023, AJ 166, 259
SOMEBADPIX, ALLBADPIX, COSMIC = 1, 2, 4  # desispec's specmask bits 0, 1, 2

_DEPENDENCIES = f"""
    python 3.10.2 numpy 1.21.5 scipy 1.7.3 astropy 5.0 yaml 6.0 matplotlib 3.5.1 fitsio 1.1.6 healpy 1.15.0
    desiutil 3.2.6 desispec 0.56.5 desitarget 2.5.0 desimodel 0.18.0 speclite 0.16
    DESI_ROOT /global/cfs/cdirs/desi DESI_SPECTRO_REDUX /global/cfs/cdirs/desi/spectro/redux SPECPROD {SPECPROD}
    DESIMODEL /global/common/software/desi/perlmutter/desiconda/20220119-2.0.1/code/desimodel/0.18.0
""".split()
"""Names and versions; the last one is longer than a card: it needs CONTINUE."""
_DEPENDENCY_CARDS = [(f"DEP{('NAM', 'VER')[k % 2]}{k // 2:02d}", word) for k, word in enumerate(_DEPENDENCIES)]
_UNIT_OF_IMAGE = {
    "WAVELENGTH": "Angstrom",
    "FLUX": "10**-17 erg/(s cm2 Angstrom)",
    "IVAR": "10**+34 (s2 cm4 Angstrom2) / erg2",
    "MASK": "",
    "RESOLUTION": "",
}


@dataclass
class SimulatedCoadd:
    """The content of a coadd file and of the redrock file beside it, and the truth behind them.

    ``n`` targets in FIBERMAP's order; ``redshifts`` and ``tsnr2`` are redrock's and sorted by TARGETID. The arrays may
    be changed before `write_coadd` to make odd files: it does not compare their lengths.

    Attributes
    ----------
    fibermap, scores, redshifts, tsnr2 : (n,) structured
    exp_fibermap : (n_exposures,) structured
    wavelength : arm → (npix,) float64, Å
    flux, ivar : arm → (n, npix) float32
    mask : arm → (n, npix) uint32
    resolution : arm → (n, 11, npix) float32
        ``resolution[i, d, j]``: response of pixel j + d - 5 to light at pixel j.
    sigma : arm → (n, npix) float64, pixels
        Of the line-spread function.
    noise_free : arm → (n, npix) float64
        The flux that the arm sees without noise.
    """

    survey: str
    program: str
    pix64: int
    sources: Sources
    fibermap: Array
    exp_fibermap: Array
    scores: Array
    redshifts: Array
    tsnr2: Array
    wavelength: dict[str, Floats]
    flux: dict[str, Array]
    ivar: dict[str, Array]
    mask: dict[str, Array]
    resolution: dict[str, Array]
    sigma: dict[str, Floats]
    noise_free: dict[str, Floats]

    def combined_noise_free(self) -> Floats:
        """Return (n, 7781) float64: the arms' noise-free fluxes, where they overlap weighted by their ivar.

        Where both arms are masked, their plain mean.
        """
        total, weight = np.zeros((2, len(self.fibermap), N_COMBINED))
        plain, count = np.zeros_like(total), np.zeros(N_COMBINED)
        for arm in ARMS:
            at = slice(ARM_START[arm], ARM_START[arm] + ARM_PIXELS[arm])
            total[:, at] += self.ivar[arm] * self.noise_free[arm]
            weight[:, at] += self.ivar[arm]
            plain[:, at] += self.noise_free[arm]
            count[at] += 1
        return np.where(weight > 0, total / np.where(weight > 0, weight, 1), plain / count)


def observe(
    sources: Sources,
    survey: str,
    program: str,
    pix64: int,
    rng: np.random.Generator,
    *,
    tiles: Ints | None = None,
    zwarn: Ints | None = None,
) -> SimulatedCoadd:
    """Observe objects: blur, noise, masked pixels, tables, and a redrock fit that finds the truth to 10⁻⁵.

    Parameters
    ----------
    sources
        In the order that FIBERMAP shall have; any number, also none.
    program
        dark, bright or backup: sets the exposure time.
    tiles : (n,) int, optional
        On how many tiles each object was observed (1 to 4 by default): ivar and TSNR2 grow with it.
    zwarn : (n,) int, optional
        Redrock's ZWARN (by default 0, and 4 for one in twenty).
    """
    n = len(sources.targetid)
    tiles = rng.integers(1, 5, n) if tiles is None else np.asarray(tiles)
    zwarn = np.where(rng.random(n) < 0.05, tables.SMALL_DELTA_CHI2, 0) if zwarn is None else np.asarray(zwarn)
    effective = EFFECTIVE_SECONDS[program] * tiles * rng.uniform(0.9, 1.1, n)
    fiber = rng.uniform(-1, 1, n)
    fibermap = tables.fibermap(sources, program, tiles, effective, rng)
    sigma = {arm: lsf_sigma(arm, fiber) for arm in ARMS}
    noise_free, resolution, ivar, flux = {}, {}, {}, {}
    for arm in ARMS:
        noise_free[arm], resolution[arm] = blur(sources.model, arm, sigma[arm])
        sky = clear_ivar(arm) * (effective / REFERENCE_SECONDS)[:, None]
        photons = 0.01 * np.abs(noise_free[arm]) / np.sqrt(effective / 1000)[:, None]
        ivar[arm] = (1 / (1 / sky + photons)).astype(np.float32)
        noise = rng.standard_normal(ivar[arm].shape, dtype=np.float32) / np.sqrt(ivar[arm])
        flux[arm] = (noise_free[arm] + noise).astype(np.float32)
    mask = _mask_pixels(flux, ivar, rng)
    exp_fibermap = tables.exp_fibermap(fibermap, program, pix64, rng)
    scores = tables.scores(sources.targetid, flux, ivar, effective)
    npixels = np.sum([(ivar[arm] > 0).sum(axis=1) for arm in ARMS], axis=0)
    return SimulatedCoadd(
        survey,
        program,
        pix64,
        sources,
        fibermap=fibermap,
        exp_fibermap=exp_fibermap,
        scores=scores,
        redshifts=tables.redshifts(sources, npixels, zwarn, rng),
        tsnr2=tables.tsnr2(scores),
        wavelength={arm: wavelength(arm) for arm in ARMS},
        flux=flux,
        ivar=ivar,
        mask=mask,
        resolution=resolution,
        sigma={arm: sigma[arm][:, REACH:-REACH] for arm in ARMS},
        noise_free=noise_free,
    )


def _mask_pixels(flux: dict[str, Array], ivar: dict[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Return masks of a few pixels: anywhere, and in each overlap in one arm, the other, or both, in turn.

    There ivar becomes 0, and half of the pixels get a cosmic ray's flux, which shows where a mask is ignored.
    """
    mask = {arm: np.zeros(ivar[arm].shape, dtype=np.uint32) for arm in ARMS}
    for row in range(len(ivar[ARMS[0]])):
        at = [(arm, int(pixel)) for arm in ARMS for pixel in rng.integers(ARM_PIXELS[arm], size=3)]
        for i, (blue, red) in enumerate(itertools.pairwise(ARMS)):
            lag = ARM_START[red] - ARM_START[blue]
            pixel = int(rng.integers(ARM_PIXELS[blue] - lag))
            at += [[(blue, lag + pixel)], [(red, pixel)], [(blue, lag + pixel), (red, pixel)]][(row + i) % 3]
        for arm, pixel in at:
            cosmic = rng.random() < 0.5
            mask[arm][row, pixel] = ALLBADPIX | SOMEBADPIX | (COSMIC if cosmic else 0)
            ivar[arm][row, pixel] = 0
            flux[arm][row, pixel] = 500.0 if cosmic else 0.0
    return mask


def write_coadd(
    path: Path,
    coadd: SimulatedCoadd,
    *,
    mask_dtype: npt.DTypeLike = np.uint32,
    hdus: Sequence[str] | None = None,
    exp_fibermap: bool = True,
    extra_columns: Mapping[str, Array] | None = None,
    checksum: bool = True,
) -> None:
    """Write a coadd file.

    Parameters
    ----------
    mask_dtype
        uint32 (BITPIX 32 with BZERO 2³¹, as in DR1) or int32 (as in later productions).
    hdus
        Names of the extensions to write, in that order (all, in DR1's order, by default).
    exp_fibermap
        Whether there is an EXP_FIBERMAP (files from before 2022 have none).
    extra_columns
        Name → (n,) or (n, m) array: more columns of FIBERMAP. They come before TARGET_RA, so that all offsets move.
    checksum
        Whether the HDUs have CHECKSUM and DATASUM.
    """
    identity = [("SURVEY", coadd.survey), ("PROGRAM", coadd.program)]
    pixel = [("HPXPIXEL", coadd.pix64), ("HPXNSIDE", 64)]
    about = [("ENCODING", "ascii"), ("LONGSTRN", "OGIP 1.0"), *identity, *_DEPENDENCY_CARDS, *pixel]
    if hdus is None:
        images = [f"{arm}_{kind}" for arm in "BRZ" for kind in _UNIT_OF_IMAGE]
        hdus = ["FIBERMAP", "EXP_FIBERMAP", *images, "SCORES"]
    primary = [("SPGRP", "healpix"), ("SPGRPVAL", coadd.pix64), *pixel, ("HPXNEST", True), *identity]
    primary += [("LONGSTRN", "OGIP 1.0"), *_DEPENDENCY_CARDS, ("FIBERMIN", 500 * (coadd.pix64 % 10))]
    primary += [("INFIL000", f"spectra-{coadd.survey}-{coadd.program}-{coadd.pix64}.fits.gz")]
    of_tables: dict[str, tuple[Array, list[tuple[str, Any]]]] = {
        "FIBERMAP": (_with_columns(coadd.fibermap, extra_columns or {}), about),
        "EXP_FIBERMAP": (coadd.exp_fibermap, about),
        "SCORES": (coadd.scores, [("ENCODING", "ascii")]),
    }
    with path.open("wb") as stream:
        write_primary(stream, primary, checksum=checksum)
        for name in hdus:
            if name in of_tables:
                if exp_fibermap or name != "EXP_FIBERMAP":
                    write_table(stream, name, *of_tables[name], checksum=checksum)
            else:
                arm, _, kind = name.partition("_")
                data: Array = getattr(coadd, kind.lower())[arm.lower()]
                stored = {"WAVELENGTH": np.float64, "MASK": mask_dtype}.get(kind, np.float32)
                write_image(stream, name, data.astype(stored), _UNIT_OF_IMAGE[kind], checksum=checksum)


def _with_columns(table: Array, extra: Mapping[str, Array]) -> Array:
    if not extra:
        return table
    names = list(table.dtype.names or ())
    at = names.index("TARGET_RA")
    fields = [(name, table.dtype[name]) for name in names]
    fields[at:at] = [(name, np.dtype((values.dtype, values.shape[1:]))) for name, values in extra.items()]
    wider = np.zeros(len(table), dtype=np.dtype(fields))
    for name in names:
        wider[name] = table[name]
    for name, values in extra.items():
        wider[name] = values
    return wider


def write_redrock(path: Path, coadd: SimulatedCoadd, *, exp_fibermap: bool = True) -> None:
    """Write the redrock file of a coadd: its tables are sorted by TARGETID, FIBERMAP's order is another."""
    stars = ("A", "B", "CV", "F", "G", "K", "M", "WD")
    templates = ["GALAXY", "QSO:::HIZ", "QSO:::LOZ", *(f"STAR:::{name}" for name in stars)]
    cards: list[tuple[Any, ...]] = [("LONGSTRN", "OGIP 1.0"), ("RRVER", "0.17.0", "Redrock version")]
    for i, name in enumerate(templates):
        cards += [(f"TEMNAM{i:02d}", name), (f"TEMVER{i:02d}", "2.6" if name == "GALAXY" else "0.1")]
    cards += [*_DEPENDENCY_CARDS, ("SPGRP", "healpix"), ("SPGRPVAL", coadd.pix64), ("HPXPIXEL", coadd.pix64)]
    cards += [("HPXNSIDE", 64), ("HPXNEST", True), ("SURVEY", coadd.survey), ("PROGRAM", coadd.program)]
    cards += [
        ("COMMENT", "  FITS (Flexible Image Transport System) format is defined in 'Astronomy"),
        ("COMMENT", "  and Astrophysics', volume 376, page 359; bibcode: 2001A&A...376..359H "),
    ]
    hdus = {
        "REDSHIFTS": coadd.redshifts,
        "FIBERMAP": coadd.fibermap[np.argsort(coadd.fibermap["TARGETID"])],
        "EXP_FIBERMAP": coadd.exp_fibermap,
        "TSNR2": coadd.tsnr2,
    }
    with path.open("wb") as stream:
        write_primary(stream, cards, bitpix=16)
        for name, table in hdus.items():
            if exp_fibermap or name != "EXP_FIBERMAP":
                write_table(stream, name, table, checksum=False)
