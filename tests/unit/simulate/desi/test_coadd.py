"""Simulated coadds of any size and with odd parts, read back with astropy and desispec."""

import warnings

import numpy as np
import pytest
from astropy.io import fits

from skyharvest.simulate.desi.coadd import observe, write_coadd, write_redrock
from skyharvest.simulate.desi.sources import draw_sources


def small_coadd(n, seed=5, program="dark"):
    rng = np.random.default_rng(seed)
    sources = draw_sources(rng.uniform(149, 150, n), rng.uniform(1, 2, n), rng)
    return observe(sources, "main", program, 27247, rng)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_coadds_of_any_size(tmp_path, n):
    coadd = small_coadd(n)
    write_coadd(tmp_path / "coadd.fits", coadd)
    write_redrock(tmp_path / "redrock.fits", coadd)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(tmp_path / "coadd.fits", checksum=True) as hdus:
            hdus.verify("exception")
            assert len(hdus) == 19
            assert hdus["FIBERMAP"].header["NAXIS2"] == hdus["Z_FLUX"].header["NAXIS2"] == n
            assert hdus["R_RESOLUTION"].header["NAXIS3"] == n
            for arm in "brz" if n else "":
                for kind in ("flux", "ivar", "mask", "resolution"):
                    written = hdus[f"{arm}_{kind}"].data
                    assert (written == getattr(coadd, kind)[arm]).all(), (arm, kind)
        with fits.open(tmp_path / "redrock.fits") as hdus:
            assert [hdu.header.get("NAXIS2") for hdu in hdus][1:3] == [n, n]


def test_odd_files_on_request(tmp_path):
    coadd = small_coadd(2)
    path = tmp_path / "coadd.fits"
    write_coadd(
        path,
        coadd,
        mask_dtype=np.int32,
        hdus=["SCORES", "Z_MASK", "EXP_FIBERMAP", "FIBERMAP"],
        exp_fibermap=False,
        extra_columns={"WHAT": np.array([[1.5, 2.5], [3.5, 4.5]]), "NAME": np.array([b"a", b"bc"])},
        checksum=False,
    )
    with fits.open(path) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCORES", "Z_MASK", "FIBERMAP"]
        assert hdus["Z_MASK"].data.dtype == ">i4"
        assert (hdus["Z_MASK"].data == coadd.mask["z"]).all()
        table = hdus["FIBERMAP"].data
        assert table["WHAT"].tolist() == [[1.5, 2.5], [3.5, 4.5]]
        assert table["NAME"].tolist() == ["a", "bc"]
        assert (table["TARGET_RA"] == coadd.sources.ra).all()
        assert table.names.index("WHAT") < table.names.index("TARGET_RA")
        assert not any("CHECKSUM" in hdu.header for hdu in hdus)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_desispec_reads_it_and_its_resolution_times_the_model_is_the_flux(tmp_path):
    io = pytest.importorskip("desispec.io")
    resolution = pytest.importorskip("desispec.resolution")
    coadd = small_coadd(12)
    path = tmp_path / "coadd-main-dark-27247.fits"
    write_coadd(path, coadd)
    spectra = io.read_spectra(str(path))
    assert spectra.bands == ["b", "r", "z"]
    assert spectra.fibermap["TARGETID"].tolist() == coadd.sources.targetid.tolist()
    assert len(spectra.exp_fibermap) == spectra.fibermap["COADD_NUMEXP"].sum()
    start = {"b": 0, "r": 2700, "z": 4900}
    inner = slice(5, -5)  # the outermost rows also receive light from beyond the matrix
    for arm in "brz":
        npix = len(spectra.wave[arm])
        model = coadd.sources.model[:, 5 + start[arm] :][:, :npix]
        for i in range(12):
            seen = resolution.Resolution(spectra.resolution_data[arm][i]).dot(model[i])
            np.testing.assert_allclose(seen[inner], coadd.noise_free[arm][i][inner], rtol=1e-5)
            ivar = spectra.ivar[arm][i][inner]
            pull = ((spectra.flux[arm][i][inner] - seen[inner]) * np.sqrt(ivar))[ivar > 0]
            assert abs((pull**2).mean() - 1) < 0.2  # 6 sigma of a mean over 2000 pixels
