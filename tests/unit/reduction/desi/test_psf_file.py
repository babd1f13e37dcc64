"""PSF files: what is written is read, by us and by the field's own readers."""

from dataclasses import replace

import fitsio
import numpy as np
import pytest

from reduction_camera import camera, psf_of
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.desi.psf.file import read_psf, write_psf
from skyharvest.reduction.desi.psf.model import to_domain

WAVE = np.linspace(7450, 7800, 50)


@pytest.fixture
def psf():
    made = psf_of(camera(n_fiber=50), degree=3)
    rng = np.random.default_rng(1)
    shape = dict(made.shape) | {"GH-3-0": rng.normal(0, 0.02, (50, 4)), "GH-1-1": rng.normal(0, 0.02, (50, 4))}
    status = np.zeros(50, np.int64)
    status[7] = 1
    return replace(made, shape=shape, status=status, chi2=np.repeat([1.02, np.nan], 25), first_fiber=25, error=0.02)


def test_what_is_written_is_read(psf, tmp_path):
    write_psf(tmp_path / "psf-z0.fits", psf, "z0", {"IN_PSF": "calibration/psf-z0.fits"})
    read = read_psf(tmp_path / "psf-z0.fits")
    for name in ("x", "y", "status", "chi2"):
        np.testing.assert_array_equal(getattr(read, name), getattr(psf, name))
    for name in ("wave_min", "wave_max", "degree_x", "half_y", "n_x", "n_y", "first_fiber", "error"):
        assert getattr(read, name) == getattr(psf, name)
    np.testing.assert_array_equal(read.spots(WAVE).values, psf.spots(WAVE).values)
    assert read.bundle.tolist() == [1] * 25 + [2] * 25
    header = fitsio.read_header(tmp_path / "psf-z0.fits", "PSF")
    assert header["IN_PSF"] == "calibration/psf-z0.fits"
    assert header["B01RCHI2"] == pytest.approx(1.02)
    assert "B02RCHI2" not in header


def test_specex_finds_the_rows_and_desispec_the_degree_that_they_look_for(psf, tmp_path):
    write_psf(tmp_path / "psf.fits", psf, "z0")
    table, header = fitsio.read(tmp_path / "psf.fits", "PSF", header=True)
    assert [name.strip() for name in table["PARAM"][:4].astype(str)] == ["BUNDLE", "STATUS", "GHSIGX", "GHSIGY"]
    assert (header["LEGDEG"], table["COEFF"].shape) == (3, (len(table), 50, 4))
    assert fitsio.read_header(tmp_path / "psf.fits", 0)["EXTNAME"] == "XTRACE"


def damaged(path, how):
    with fitsio.FITS(path, "rw") as file:
        how(file)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda file: file["PSF"].write_key("PSFTYPE", "SPOTGRID"), r"PSFTYPE, PSFVER are SPOTGRID, 3, expected GAUSS"),
        (
            lambda file: file["PSF"].write_key("PSFVER", "2"),
            r"PSFTYPE, PSFVER are GAUSS-HERMITE, 2, expected GAUSS-HERMITE, 3",
        ),
        (lambda file: file["YTRACE"].write_key("WAVEMIN", 5.0), r"WAVEMIN and WAVEMAX differ"),
    ],
)
def test_a_psf_of_another_kind_is_refused(psf, tmp_path, how, message):
    write_psf(tmp_path / "psf.fits", psf, "z0")
    damaged(tmp_path / "psf.fits", how)
    with pytest.raises(MalformedFile, match=rf"psf\.fits: {message}"):
        read_psf(tmp_path / "psf.fits")


def test_a_file_that_is_no_psf_is_refused(tmp_path):
    (tmp_path / "psf.fits").write_text("no")
    with pytest.raises(MalformedFile, match=r"psf\.fits: not a PSF with the HDUs XTRACE, YTRACE and PSF"):
        read_psf(tmp_path / "psf.fits")
    with pytest.raises(FileNotFoundError, match="there is no PSF"):
        read_psf(tmp_path / "none.fits")


def test_wavelengths_are_the_traces_the_other_way_round(psf):
    y = psf.traces(WAVE)[1]
    for fiber in (0, 13, 49):
        np.testing.assert_allclose(psf.wavelengths(y[fiber])[fiber], WAVE, atol=1e-3)


def test_polynomials_are_the_same_in_another_domain(psf):
    new = to_domain(psf.x, (psf.wave_min, psf.wave_max), (7000.0, 10000.0))
    u = 2 * (WAVE - 7000) / 3000 - 1
    np.testing.assert_allclose(np.polynomial.legendre.legval(u, new.T), psf.traces(WAVE)[0], atol=1e-8)
