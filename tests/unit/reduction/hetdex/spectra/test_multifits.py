"""Multifits, read back by astropy; the table beside them; and directories that appear whole."""

import numpy as np
import pytest
from astropy.io import fits

from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.amp_file import AmpResult
from skyharvest.reduction.hetdex.spectra import amps_csv, multifits

ORDER = [
    "processed",
    "error",
    "clean_image",
    "model2d",
    "flat",
    "flat_orig",
    "ifupos",
    "chi2",
    "rms",
    "-",
    "spectrum",
    "wavelength",
    "trace",
    "fiber_to_fiber",
    "error1d",
    "sky_subtracted",
    "sky_spectrum",
]
"""The public files' order; - has no name."""


def arrays():
    rng = np.random.default_rng(1)
    return {name: rng.normal(0, 1, shape) for name, shape in multifits.LAYOUT.items() if name}


def raw_header():
    return {
        "SIMPLE": True, "BITPIX": 16, "NAXIS": 2, "NAXIS1": 1064, "NAXIS2": 1032, "BZERO": 32768, "BSCALE": 1,
        "SPECID": "008", "IFUSLOT": "093", "CONTID": "S/N 0123", "GAIN": 0.85, "EXPTIME": 360.0, "COMMENT": "a remark",
        "NAME0": "20190103T011122.3_093LL_sci.fits", **dict(zip(multifits.COUNTS, range(1, 6), strict=True)),
    }  # fmt: skip


def test_the_file_has_the_public_layout(tmp_path):
    made = arrays()
    made["chi2"][3] = np.nan
    path = tmp_path / multifits.name_of("008_093_054_0123", "LL")
    multifits.write(path, raw_header(), made)
    assert path.name == "multi_008_093_054_LL.fits"
    with fits.open(path, memmap=False) as file:
        file.verify("exception")
        assert [hdu.header.get("EXTNAME", "-").lower() for hdu in file] == ORDER
        for hdu, name in zip(file, ORDER, strict=True):
            assert hdu.header["BITPIX"] == -32
            if name == "-":
                assert hdu.data.shape == (1, 1)
                continue
            shape = (1032, 1032) if name in ORDER[:6] else (112, 2) if name == "ifupos" else (112, 1032)
            assert hdu.data.shape == shape
            np.testing.assert_array_equal(hdu.data, made[name].astype(np.float32))
            assert file[name.upper()].data is hdu.data  # as public tools ask for it
        header = file[0].header
        assert "BZERO" not in header
        said = {name: header[name] for name in ("SPECID", "CONTID", "GAIN", "EXPTIME", "NAME0", *multifits.COUNTS)}
    assert said == {name: raw_header()[name] for name in said}
    spectrum, chi2 = multifits.read(path, "spectrum", "chi2")
    np.testing.assert_array_equal(spectrum, made["spectrum"].astype(np.float32))
    assert spectrum.dtype == np.float32
    assert spectrum.dtype.isnative
    assert np.isnan(chi2[3]).all()
    assert multifits.read_header(path)["NBACKB"] == 5


def test_other_files_are_errors_that_name_them(tmp_path):
    path = tmp_path / "multi_008_093_054_LL.fits"
    fits.PrimaryHDU(np.zeros((112, 3), np.float32)).writeto(path)
    with pytest.raises(MalformedFile, match=r"multi_008.*spectrum"):
        multifits.read(path, "spectrum")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(MalformedFile, match="multi_008"):
        multifits.read(path, "processed")


def test_the_table_says_which_amplifiers_are_done_and_why_not(tmp_path):
    results = {
        "RU": AmpResult(values={"sky": 1234567.25, "n_cosmics": 1801, "chi2": float("nan"), "kind": "sci"}),
        "LL": AmpResult(failed='a.tar: found 5 bytes; expected "more", torn'),
    }
    amps_csv.write(tmp_path, results)
    found = amps_csv.read(tmp_path)
    assert list(found) == ["LL", "RU"]
    assert (found["LL"].done, found["LL"].reason) == (False, results["LL"].failed)
    assert found["RU"].done
    assert found["RU"].values["n_cosmics"] == 1801
    assert found["RU"].values["sky"] == pytest.approx(1234567, rel=1e-5)
    assert np.isnan(found["RU"].values["chi2"])
    assert found["RU"].words == {"kind": "sci"}
    (tmp_path / amps_csv.NAME).write_text("amp,state\nLL,done\n")
    with pytest.raises(MalformedFile, match=r"amps\.csv"):
        amps_csv.read(tmp_path)
