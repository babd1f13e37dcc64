"""Products by amplifier: what is written is read, and one that failed keeps the others."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from skyharvest.core.errors import HarvestError, InputError, MalformedFile
from skyharvest.reduction.hetdex.amp_file import AmpFailed, AmpFile, AmpResult, each_amp, write_amps


def made(amp: str) -> AmpResult:
    if amp == "LU":
        raise InputError("found 3 twilights; expected 5 within 2 Å")
    image = np.arange(12, dtype="f4").reshape(3, 4) + len(amp)
    image[0, 0] = np.nan
    return AmpResult({"trace": image, "alive": np.array([1, 0], "u1")}, {"rms": 1.5, "word": f"of {amp}"})


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "some" / "008_093_054_0123.fits"
    write_amps(path, {"MONTH": 201901}, each_amp(made))
    with AmpFile(path) as product:
        assert product.header["MONTH"] == 201901
        assert product.states["LU"] == ("failed", "found 3 twilights; expected 5 within 2 Angstrom")
        assert product.states["RL"] == ("done", "")
        np.testing.assert_array_equal(product.array("trace", "LL"), made("LL").arrays["trace"])
        assert product.values("RU") == {"rms": 1.5, "word": "of RU"}
        assert np.isnan(product.values("LU")["rms"])
        with pytest.raises(AmpFailed, match="found 3 twilights"):
            product.array("trace", "LU")
        with pytest.raises(MalformedFile, match="WAVELENGTH_LL"):
            product.array("wavelength", "LL")
    with fits.open(path) as hdus:  # the field's own reader
        np.testing.assert_array_equal(hdus["TRACE_RU"].data, made("RU").arrays["trace"])


def test_other_errors_end_the_job() -> None:
    def broken(amp: str) -> AmpResult:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        each_amp(broken)


def test_not_a_product(tmp_path: Path) -> None:
    path = tmp_path / "page.fits"
    path.write_text("<html>")
    with pytest.raises(MalformedFile, match=r"page\.fits"):
        AmpFile(path)


def test_a_file_that_is_cut_short_ends_the_job_and_is_named(tmp_path: Path) -> None:
    """An amplifier is not given up for it: with the file made again, all is well."""
    path = tmp_path / "008_093_054_0123.fits"
    write_amps(path, {}, {"LL": AmpResult({"bias": np.ones((500, 500), "f4")})})
    path.write_bytes(path.read_bytes()[:300_000])

    def do(amp: str) -> AmpResult:
        with AmpFile(path) as product:
            return AmpResult({"bias": product.array("bias", amp)})

    with pytest.raises(HarvestError, match=r"0123\.fits: HDU BIAS_LL cannot be read .*; remove the file and run again"):
        each_amp(do)
