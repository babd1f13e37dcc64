"""The science step, from a tar to multifits: what is done, what cannot be done, and why."""

import numpy as np
import pytest
from astropy.io import fits
from extract_exposure import build_parser, main

from hetdex_amplifier import READNOISE, sky
from hetdex_exposure import FACTOR, IFU, SHOT, amplifier, words, write_exposure
from skyharvest.reduction.hetdex.settings import Background, Cosmics, Extract, Sky
from skyharvest.reduction.hetdex.spectra import amps_csv
from skyharvest.reduction.hetdex.spectra.reduced_amp import HowToReduce
from skyharvest.reduction.hetdex.spectra.science import extract_exposure

HOW = HowToReduce(Background(), Cosmics(), Extract(), Sky())
TORN, UNCALIBRATED = "LU", "RU"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The directory of an exposure with a torn frame, and an amplifier without wavelengths."""
    root = tmp_path_factory.mktemp("science")
    inputs = write_exposure(root, torn=TORN, uncalibrated=UNCALIBRATED)
    out = root / "out" / IFU
    main(build_parser().parse_args(words(inputs, out)))
    return inputs, out


def test_amplifiers_that_can_be_done_are_and_others_have_a_reason(done):
    _, directory = done
    names = sorted(path.name for path in directory.iterdir())
    assert names == ["amps.csv", "multi_008_093_054_LL.fits", "multi_008_093_054_RL.fits"]
    states = amps_csv.read(directory)
    assert {amp: state.done for amp, state in states.items()} == {"LL": True, "LU": False, "RL": True, "RU": False}
    assert "virus0000012.tar" in states[TORN].reason
    assert "cut short" in states[TORN].reason
    assert states[UNCALIBRATED].reason == "found no lines of the Sun"
    assert states["LL"].values["readnoise"] == pytest.approx(READNOISE, rel=0.02)
    assert states["LL"].values["overscan"] == pytest.approx(1000, abs=0.5)
    assert states["LL"].words == {"kind": "sci"}


def test_the_light_of_both_amplifiers_is_that_of_the_sky_whatever_their_throughput(done):
    _, directory = done
    for amp in ("LL", "RL"):
        own = amplifier(amp)
        with fits.open(directory / f"multi_008_093_054_{amp}.fits") as file:
            left, error = file["sky_subtracted"].data, file["error1d"].data
            level = np.nanmedian(file["sky_spectrum"].data / sky(own.wave))
            norm = file["spectrum"].data / file["fiber_to_fiber"].data / own.dispersion * 2
            header = file[0].header
            assert np.isnan(file["ifupos"].data).all()
        assert np.nanstd(left / error) == pytest.approx(1, abs=0.03)
        mean_of_two = np.mean(
            [FACTOR[amp] for amp in ("LL", "LU", "RL")]
        )  # the one without wavelengths is not compared
        assert level == pytest.approx(mean_of_two, rel=0.01)
        assert np.nanmedian(norm / sky(own.wave)) == pytest.approx(mean_of_two, rel=0.01)
        assert header["NAME0"] == f"20190103T054501.0_093{amp}_sci.fits"
        assert header["PARANGLE"] == 31.5
        assert header["NBTRACE"] == 1


def test_an_exposure_that_is_not_listed_leaves_a_table_that_says_so(done, tmp_path):
    inputs, _ = done
    extract_exposure(inputs, SHOT, 2, tmp_path / "out", HOW)
    states = amps_csv.read(tmp_path / "out")
    assert not any(state.done for state in states.values())
    assert "sci 20190103v012 exp02 LL" in states["LL"].reason


def test_what_is_not_the_amplifiers_fault_ends_the_job_and_leaves_nothing(done, tmp_path, monkeypatch):
    inputs, _ = done
    monkeypatch.setattr("skyharvest.reduction.hetdex.spectra.science.read_frame", lambda member: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        extract_exposure(inputs, SHOT, 1, tmp_path / "out", HOW)
    assert not list(tmp_path.iterdir())
