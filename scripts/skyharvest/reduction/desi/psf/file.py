"""PSF files: ``psf-{camera}-{expid}.fits``, ``fit-psf-…``, ``psfnight-{camera}-{night}.fits``, the calibration's.

Format: https://desidatamodel.readthedocs.io (SPECPROD/exposures/NIGHT/EXPID/psf-CAMERA-EXPID); `GAUSS-HERMITE`, version
3. specter, gpu_specter and desispec read what is written here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fitsio
import numpy as np

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.desi.psf.model import PER_BUNDLE, Psf

TYPE, VERSION = "GAUSS-HERMITE", 3
NOT_FITTED = {"GHSIGX", "GHSIGY", "GH-0-0", "TAILCORE", "TAILXSCA", "TAILYSCA", "TAILINDE"}
"""Parameters whose constant term is 1 in a file that has not fitted them."""


def read_psf(path: Path) -> Psf:
    """Read a PSF.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    MalformedFile
        If it is not a PSF of this type and version; names what is wrong.
    """
    if not path.exists():
        raise FileNotFoundError(2, "there is no PSF", str(path))
    try:
        with fitsio.FITS(str(path)) as file:
            headers = {name: dict(file[name].read_header()) for name in ("XTRACE", "YTRACE", "PSF")}
            x, y, table = (file[name].read() for name in headers)
    except (OSError, ValueError) as error:
        raise MalformedFile(f"{path}: not a PSF with the HDUs XTRACE, YTRACE and PSF: {error}") from error
    return _checked(path, headers, np.asarray(x, "f8"), np.asarray(y, "f8"), table)


def _checked(path: Path, headers: Mapping[str, Mapping[str, Any]], x: Any, y: Any, table: Any) -> Psf:
    header = headers["PSF"]
    found = (str(header.get("PSFTYPE")).strip(), float(header.get("PSFVER", 0)))
    if found != (TYPE, VERSION):
        raise MalformedFile(f"{path}: PSFTYPE, PSFVER are {found[0]}, {found[1]:g}, expected {TYPE}, {VERSION}")
    domains = {name: tuple(float(each[key]) for key in ("WAVEMIN", "WAVEMAX")) for name, each in headers.items()}
    if len(set(domains.values())) > 1:
        raise MalformedFile(f"{path}: WAVEMIN and WAVEMAX differ: {domains}, expected the same in all HDUs")
    if x.ndim != 2 or len(x) != len(y):
        raise MalformedFile(f"{path}: XTRACE has shape {x.shape}, YTRACE {y.shape}, expected the same fibers")
    rows = {
        str(name).strip(): np.asarray(row, "f8")
        for name, row in zip(_text(table["PARAM"]), table["COEFF"], strict=True)
    }
    wrong = [name for name, row in rows.items() if row.shape[0] != len(x)]
    if wrong or not {"GHSIGX", "GHSIGY", "GH-0-0"} <= rows.keys():
        raise MalformedFile(f"{path}: PSF has rows {', '.join(rows)} with {table['COEFF'].shape} coefficients")
    status = np.round(rows.pop("STATUS")[:, 0]).astype(np.int64) if "STATUS" in rows else np.zeros(len(x), np.int64)
    rows.pop("BUNDLE", None)
    first = int(header.get("FIBERMIN", 0))
    bundles = (first + np.arange(len(x))) // PER_BUNDLE
    chi2 = np.array([float(header.get(f"B{bundle:02d}RCHI2", np.nan)) for bundle in bundles])
    (wave_min, wave_max), *_ = domains.values()
    return Psf(
        x=x,
        y=y,
        wave_min=wave_min,
        wave_max=wave_max,
        shape=rows,
        degree_x=int(header["GHDEGX"]),
        degree_y=int(header["GHDEGY"]),
        half_x=int(header["HSIZEX"]),
        half_y=int(header["HSIZEY"]),
        n_x=int(header["NPIX_X"]),
        n_y=int(header["NPIX_Y"]),
        first_fiber=first,
        error=float(header.get("PSFERROR", header.get("PSFERR", 0.01))),
        status=status,
        chi2=chi2,
    )


def _text(values: Any) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def write_psf(path: Path, psf: Psf, camera: str, header: Mapping[str, Any] | None = None) -> None:
    """Write a PSF; the file appears whole.

    Parameters
    ----------
    camera
        Such as ``b0``.
    header
        More cards for the PSF HDU, such as ``IN_PSF``.
    """
    degree = psf.shape["GHSIGX"].shape[1] - 1
    names = ["GHSIGX", "GHSIGY"]
    names += [f"GH-{i}-{j}" for j in range(psf.degree_y + 1) for i in range(psf.degree_x + 1)]
    names += ["TAILAMP", "TAILCORE", "TAILXSCA", "TAILYSCA", "TAILINDE", "CONT"]
    table = np.zeros(
        len(names) + 2,
        [("PARAM", "S8"), ("COEFF", "f8", (psf.n_fiber, degree + 1)), ("LEGDEGX", "i4"), ("LEGDEGW", "i4")],
    )
    table["PARAM"] = ["BUNDLE", "STATUS", *names]
    # specex ends without a word where a file has no row BUNDLE.
    table["COEFF"][0, :, 0], table["COEFF"][1, :, 0] = psf.bundle, psf.status
    for row, name in zip(table[2:], names, strict=True):
        if name in psf.shape:
            values = psf.shape[name]
            row["COEFF"][:, : values.shape[1]] = values
        elif name in NOT_FITTED:
            row["COEFF"][:, 0] = 1
    table["LEGDEGX"][2:], table["LEGDEGW"][2:] = 1, degree
    domain = {
        "WAVEMIN": psf.wave_min,
        "WAVEMAX": psf.wave_max,
        "FIBERMIN": psf.first_fiber,
        "FIBERMAX": psf.first_fiber + psf.n_fiber - 1,
    }
    bundles, where = np.unique(psf.bundle, return_index=True)
    about = domain | {
        "PSFTYPE": TYPE,
        "PSFVER": str(VERSION),
        "CAMERA": camera,
        "NPIX_X": psf.n_x,
        "NPIX_Y": psf.n_y,
        "HSIZEX": psf.half_x,
        "HSIZEY": psf.half_y,
        "BUNDLMIN": int(bundles[0]),
        "BUNDLMAX": int(bundles[-1]),
        "NPARAMS": len(names),
        "LEGDEG": degree,
        "GHDEGX": psf.degree_x,
        "GHDEGY": psf.degree_y,
        "PSFERROR": psf.error,
        "PSFERR": psf.error,
        # specex wants them in the PSF that it begins with.
        "MJD": 0,
        "PLATEID": 0,
        "ARCEXP": 0,
    }
    for bundle, k in zip(bundles, where, strict=True):
        if np.isfinite(psf.chi2[k]):
            about[f"B{bundle:02d}RCHI2"] = float(psf.chi2[k])
    with atomic_path(path) as temporary, fitsio.FITS(str(temporary), "rw", clobber=True) as file:
        # specter looks for the type in the first HDU, desispec for NPIX_Y.
        first = domain | {"PSFTYPE": TYPE, "PSFVER": str(VERSION), "NPIX_X": psf.n_x, "NPIX_Y": psf.n_y}
        file.write(np.asarray(psf.x, "f8"), extname="XTRACE", header=first)
        file.write(np.asarray(psf.y, "f8"), extname="YTRACE", header=domain)
        file.write(table, extname="PSF", header=about | dict(header or {}))
