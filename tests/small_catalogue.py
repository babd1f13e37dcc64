"""A small source catalogue like HETDEX's (HPSC2), and its spectra."""

from pathlib import Path

import numpy as np
from astropy.io import fits

N, N_WAVE = 3000, 1036
DIRECTORY = "hetdex_source_catalog_2"
TABLE, SPECTRA = f"{DIRECTORY}/hetdex_sc2_v1.5.fits", f"{DIRECTORY}/hetdex_sc2_spec_v1.5.fits"
HPSC2 = np.dtype(
    [
        ("source_name", "S26"),
        ("source_id", "i8"),
        ("shotid", "i8"),
        ("RA", "f4"),
        ("DEC", "f4"),
        ("gmag", "f4"),
        ("z_hetdex", "f4"),
        ("source_type", "S10"),
        ("n_members", "i8"),
        ("detectid", "i8"),
        ("field", "S12"),
        ("flag_aper", "i8"),
        ("lum_lya", "f8"),
        ("sn", "f4"),
    ]
)
WAVE = (3470 + 2 * np.arange(N_WAVE)).astype("f4")


def sources(n: int = N, seed: int = 1) -> np.ndarray:
    """A catalogue: crowded at RA 0, at a pole and in a field, with bad values and positions that are none."""
    rng = np.random.default_rng(seed)
    made = np.zeros(n, HPSC2)
    ra = np.concatenate([rng.normal(0, 0.003, n // 3) % 360, rng.uniform(0, 360, n // 3), rng.normal(195, 0.01, n)])[:n]
    dec = np.concatenate([rng.normal(0.5, 0.003, n // 3), 90 - rng.uniform(0, 2e-3, n // 3), rng.normal(51, 0.01, n)])
    made["RA"], made["DEC"] = ra, dec[:n]
    made["source_id"] = rng.permutation(n) + 2_000_000_000_000
    made["shotid"] = 20190405020 + np.arange(n) % 7
    made["source_name"] = [b"HETDEX J%06d" % (k // 2) for k in range(n)]
    made["gmag"] = np.where(np.arange(n) % 5 == 0, -999, rng.uniform(18, 25, n))
    made["z_hetdex"] = rng.uniform(0, 3.5, n)
    made["source_type"] = np.where(np.arange(n) % 3 == 0, b"n/a", b"lae")
    made["n_members"] = -999  # whole numbers stay as they are
    made["detectid"] = 3_000_000_000 + np.arange(n)
    made["field"] = b"dex-spring"
    made["flag_aper"] = -1
    made["lum_lya"] = np.where(np.arange(n) % 2 == 0, -999, 1e43)
    made["sn"] = rng.normal(6, 1, n)
    made["RA"][7:8], made["DEC"][7:8] = -999, -999
    made["RA"][8:9] = np.nan
    made["RA"][9:10], made["DEC"][9:10] = -999, 51.0
    return made


def write_table(path: Path, table: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    hdu = fits.BinTableHDU(table)
    hdu.columns["RA"].unit = "deg"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
    return path


def spectra_of(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return flux and error, (1036, n); no two values are the same."""
    flux = (np.arange(N_WAVE)[:, None] + np.arange(len(table)) / len(table)).astype("f4")
    return flux, flux + 5000


def write_spectra(path: Path, table: np.ndarray, *, turned: bool = False, **images: np.ndarray) -> Path:
    flux, error = spectra_of(table)
    found = {"SPEC": flux, "SPEC_ERR": error, "WAVELENGTH": WAVE} | images
    if turned:
        found |= {"SPEC": flux.T.copy(), "SPEC_ERR": error.T.copy()}
    path.parent.mkdir(parents=True, exist_ok=True)
    hdus = [fits.PrimaryHDU(), fits.BinTableHDU(table, name="INFO")]
    fits.HDUList([*hdus, *(fits.ImageHDU(data, name=name) for name, data in found.items())]).writeto(
        path, overwrite=True
    )
    return path
