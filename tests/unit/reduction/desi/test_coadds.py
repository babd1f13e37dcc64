"""Forms of coadds: desispec's numbers, and what its results lack. The truth is a spectrum that was convolved here."""

import warnings
from pathlib import Path

import coadd_cameras as program
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from skyharvest.core import cli
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.reduction.desi.coadds import TABLES, coadd_cameras, resample

pytestmark = pytest.mark.peers

N, PIXELS, STEP = 3, 200, 0.8
FIRST = {"b": 5640.0, "r": 5760.0, "z": 5880.0}  # 50 pixels are common to two neighbours
DIAGONALS, SIGMA = {"b": 11, "r": 9, "z": 11}, {"b": 1.1, "r": 0.9, "z": 1.2}
WAVE = FIRST["b"] + STEP * np.arange(500)
COMMON = {band: slice(round((first - FIRST["b"]) / STEP), None) for band, first in FIRST.items()}
BAD = 4  # a bit of MASK


def truth() -> np.ndarray:
    rng = np.random.default_rng(3)
    lines = rng.uniform(WAVE[0], WAVE[-1], (N, 12, 1))
    return 10 + 20 * np.exp(-0.5 * ((WAVE - lines) / 1.5) ** 2).sum(axis=1)


def blurred(resolution: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
    """Return a spectrum as seen with a resolution, (n_diagonal, n): row k is the diagonal at offset half - k."""
    from desispec.resolution import Resolution

    return Resolution(resolution).dot(spectrum)


def of_camera(band: str, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Return flux without noise, inverse variances, mask and resolution."""
    offsets = np.arange(DIAGONALS[band]) - DIAGONALS[band] // 2
    kernel = np.exp(-0.5 * (offsets / SIGMA[band]) ** 2)
    resolution = np.tile((kernel / kernel.sum())[:, None], (N, 1, PIXELS))
    at = COMMON[band].start
    flux = np.array([blurred(resolution[k], truth()[k, at : at + PIXELS]) for k in range(N)])
    ivar = rng.uniform(0.5, 2, (N, PIXELS))
    return flux, ivar, np.zeros((N, PIXELS), np.int32), resolution


@pytest.fixture(scope="module")
def coadd(tmp_path_factory) -> Path:
    """Return a coadd by camera: of the first target, a pixel of b alone and one of r in the overlap with b are bad."""
    from desispec.coaddition import coadd_fibermap
    from desispec.io import write_spectra
    from desispec.spectra import Spectra

    rng = np.random.default_rng(5)
    exposures = Table(
        {
            "TARGETID": np.repeat(np.arange(N) + 39627000000000000, 2),
            "TARGET_RA": np.repeat([150.0, 150.1, 150.2], 2),
            "FIBERSTATUS": np.zeros(2 * N, np.int32),
            "NIGHT": np.full(2 * N, 20250115),
            "EXPID": np.tile([6, 7], N),
            "MJD": np.tile([60690.1, 60690.2], N),
            "TILEID": np.full(2 * N, 1),
            "EXPTIME": np.full(2 * N, 1000.0),
            "FIBER": np.repeat(np.arange(N), 2),
        }
    )
    fibermap, exp_fibermap = coadd_fibermap(exposures)
    parts = {band: of_camera(band, rng) for band in "brz"}
    parts["b"][2][0, 20] = parts["r"][2][0, 10] = BAD
    parts["r"][1][2, 15], parts["r"][2][2, 15] = 0, BAD  # without weight, where b is good
    parts["z"][1][1, -30:], parts["z"][2][1, -30:] = 0, BAD  # nothing is known there
    wave = {band: FIRST[band] + STEP * np.arange(PIXELS) for band in "brz"}
    flux, ivar, mask, resolution = ({band: parts[band][k] for band in "brz"} for k in range(4))
    made = Spectra(
        bands=["z", "b", "r"],  # any order
        wave=wave,
        flux=flux,
        ivar=ivar,
        mask=mask,
        resolution_data=resolution,
        fibermap=fibermap,
        exp_fibermap=exp_fibermap,
        scores=Table({"TARGETID": fibermap["TARGETID"], "TSNR2_LRG": np.array([80.0, 90.0, 7.0], np.float32)}),
        scores_comments={"TSNR2_LRG": "LRG template (S/N)^2 summed over B,R,Z"},
        meta={"SPGRP": "healpix", "HPXPIXEL": 27258, "SURVEY": "main", "INFIL000": "a", "INFIL001": "b"},
    )
    path = tmp_path_factory.mktemp("coadd") / "coadd-main-dark-27258.fits"
    write_spectra(str(path), made)
    return path


FORMS = {
    "cameras": coadd_cameras,
    "lin": lambda coadd, out: resample(coadd, out, lin_step=0.8),
    "log": lambda coadd, out: resample(coadd, out, log10_step=1e-4),
    "fast": lambda coadd, out: resample(coadd, out, lin_step=0.8, fast=True),
}


@pytest.fixture(scope="module")
def forms(coadd, tmp_path_factory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("forms")
    made = {name: directory / f"coadd-{name}-main-dark-27258.fits" for name in FORMS}
    for name, make in FORMS.items():
        make(coadd, made[name])
    assert sorted(directory.iterdir()) == sorted(made.values())
    return made


def desispecs(coadd: Path, form: str):
    """Return what desispec makes of the coadd in memory."""
    from desispec import coaddition
    from desispec.io import read_spectra

    spectra = read_spectra(str(coadd), single=True)
    spectra.bands.sort()  # of b, r, z, this is the order of wavelengths
    if form == "cameras":
        return coaddition.coadd_cameras(spectra)
    step = {"log10_step": 1e-4} if form == "log" else {"linear_step": 0.8}
    return coaddition.resample_spectra_lin_or_log(spectra, **step, fast=form == "fast")


@pytest.mark.parametrize("form", FORMS)
def test_the_numbers_are_desispecs(coadd, forms, form):
    from desispec.io import read_spectra

    made, expected = read_spectra(str(forms[form])), desispecs(coadd, form)
    assert made.bands == expected.bands == ["brz"]
    for kind in ("wave", "flux", "ivar", "resolution_data"):
        theirs = getattr(expected, kind)["brz"]
        as_written = theirs if kind == "wave" else theirs.astype(np.float32)
        np.testing.assert_array_equal(getattr(made, kind)["brz"], as_written, err_msg=kind)


@pytest.mark.parametrize("form", FORMS)
def test_what_desispec_loses_is_kept(coadd, forms, form):
    with warnings.catch_warnings():
        warnings.simplefilter("error", fits.verify.VerifyWarning)
        with fits.open(coadd) as old, fits.open(forms[form], checksum=True) as new:
            names = [hdu.name for hdu in new]
            assert names == ["PRIMARY", *TABLES[:2], *(f"BRZ_{kind}" for kind in KINDS), "SCORES"]
            for name in TABLES:
                assert new[name].header == old[name].header
                assert new[name].data.tobytes() == old[name].data.tobytes()
            assert new["SCORES"].header.comments["TTYPE2"].startswith("LRG template")
            cards = new[0].header
            assert (cards["SPGRP"], cards["HPXPIXEL"], cards["SURVEY"]) == ("healpix", 27258, "main")
            assert [cards[key] for key in cards if key.startswith("INFIL")] == [coadd.name]
            assert new["BRZ_FLUX"].header["BUNIT"] == old["B_FLUX"].header["BUNIT"]


KINDS = ("WAVELENGTH", "FLUX", "IVAR", "MASK", "RESOLUTION")


@pytest.mark.parametrize("form", FORMS)
def test_bad_pixels_stay_known(coadd, forms, form):
    """desispec's own result has none of the three."""
    with fits.open(forms[form]) as file:
        wave, mask, ivar = (file[f"BRZ_{kind}"].data for kind in ("WAVELENGTH", "MASK", "IVAR"))

    def at(place: float) -> int:
        return int(np.argmin(np.abs(wave - place)))

    alone, shared = at(FIRST["b"] + 20 * STEP), at(FIRST["r"] + 10 * STEP)
    expected = np.zeros(mask.shape, int)
    expected[0, alone] = BAD if form != "log" else mask[0, alone]
    if form != "fast":  # which leaves bad pixels out: b's is good there
        expected[0, shared] = BAD
    expected[1, at(WAVE[-30]) :] = BAD
    if form == "log":  # pixels of 0.8 Å in others of 1.3 Å: the neighbour's may be nearer
        assert BAD in mask[0, alone - 1 : alone + 2]
        assert (mask != expected).sum() <= 3
    else:
        np.testing.assert_array_equal(mask, expected)
    if form == "fast":
        assert ivar[0, shared] > 0
    assert (desispecs(coadd, form).mask["brz"][0] == 0).all()


def test_spectroperfect_pixels_and_their_resolution_say_the_same(forms):
    """Without noise, flux is the truth as seen with the new resolution; what is known of it, ∑ ivar flux², stays."""
    rng = np.random.default_rng(5)
    with fits.open(forms["lin"]) as file:
        flux, ivar, resolution = (file[f"BRZ_{kind}"].data.astype(float) for kind in ("FLUX", "IVAR", "RESOLUTION"))
        wave = file["BRZ_WAVELENGTH"].data
    n = wave.size  # desispec rounds: the last pixel may be missing
    np.testing.assert_allclose(wave, WAVE[:n], atol=1e-9)
    assert n >= WAVE.size - 1
    parts = [of_camera(band, rng) for band in "brz"]
    for k in (0, 2):
        seen = blurred(resolution[k], truth()[k, :n])
        inner = slice(10, -10)
        off = np.abs(flux[k] - seen)[inner] * np.sqrt(ivar[k][inner])
        assert off.max() < 0.15 and np.median(off) < 0.01  # in σ; where blocks of 100 Å meet it is most
        parts[1][1][2, 15] = 0
        known = sum((part[1][k] * part[0][k] ** 2).sum() for part in parts)
        assert (ivar[k] * flux[k] ** 2).sum() == pytest.approx(known, rel=5e-3)
        np.testing.assert_allclose(blurred(resolution[k], np.ones(n))[inner], 1, atol=0.02)


def test_a_camera_that_is_missing_or_alone(coadd, tmp_path):
    for lost in ("R", "ZR"):
        with fits.open(coadd) as hdus:
            kept = [hdu for hdu in hdus if hdu.name.partition("_")[0] not in tuple(lost)]
            fits.HDUList(kept).writeto(tmp_path / f"without-{lost}.fits")
        out = tmp_path / f"out-{lost}.fits"
        coadd_cameras(tmp_path / f"without-{lost}.fits", out)
        with fits.open(out) as file:
            band = "BZ" if lost == "R" else "B"
            assert file[f"{band}_FLUX"].data.shape == (N, PIXELS * len(band))
            assert (file[f"{band}_MASK"].data[0] > 0).sum() == 1


@pytest.mark.parametrize("form", FORMS)
def test_a_dead_fiber_does_not_spoil_the_others(coadd, forms, form, tmp_path):
    dead, out = tmp_path / "dead.fits", tmp_path / "out.fits"
    with fits.open(coadd) as file:
        for band in "BRZ":
            for name in ("FLUX", "IVAR", "RESOLUTION"):
                file[f"{band}_{name}"].data[1] = 0
        file.writeto(dead)
    FORMS[form](dead, out)
    with fits.open(out) as made, fits.open(forms[form]) as before:
        for kind in ("FLUX", "IVAR"):
            assert not made[f"BRZ_{kind}"].data[1].any()
            assert np.array_equal(made[f"BRZ_{kind}"].data[[0, 2]], before[f"BRZ_{kind}"].data[[0, 2]])


def test_the_program_makes_each_form(forms, coadd, tmp_path):
    options = {"cameras": [], "fast": ["--lin-step", "0.8", "--fast"]}
    for form, more in options.items():
        out = tmp_path / f"{form}.fits"
        given = ["--coadd", str(coadd), "--out", str(out), *more]
        assert cli.run(program.main, program.build_parser(), given) == 0
        with fits.open(out) as made, fits.open(forms[form]) as expected:
            assert made["BRZ_FLUX"].data.tobytes() == expected["BRZ_FLUX"].data.tobytes()


def test_what_is_no_coadd_is_refused(coadd, tmp_path):
    out = tmp_path / "out.fits"
    with pytest.raises(FileNotFoundError, match="no coadd"):
        coadd_cameras(tmp_path / "none.fits", out)
    page = tmp_path / "page.fits"
    page.write_text("<html>")
    with pytest.raises(MalformedFile, match=r"page\.fits: not a coadd"):
        coadd_cameras(page, out)
    with fits.open(coadd) as hdus:
        hdus["B_WAVELENGTH"].data = hdus["B_WAVELENGTH"].data + 0.3
        hdus.writeto(tmp_path / "shifted.fits")
    with pytest.raises(MalformedFile, match=r"shifted\.fits: Input wavelength grids .* are not aligned"):
        coadd_cameras(tmp_path / "shifted.fits", out)
    with fits.open(coadd) as hdus:
        hdus["FIBERMAP"].columns["COADD_FIBERSTATUS"].name = "FIBERSTATUS"
        hdus.writeto(tmp_path / "spectra.fits")
    with pytest.raises(MalformedFile, match="expected a coadd, not spectra of exposures"):
        coadd_cameras(tmp_path / "spectra.fits", out)
    for steps in ({}, {"lin_step": 0.8, "log10_step": 1e-4}, {"lin_step": -1.0}):
        with pytest.raises(InputError, match="expected one of them"):
            resample(coadd, out, **steps)
    assert not out.exists()
