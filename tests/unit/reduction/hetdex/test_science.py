"""The science step, from a tar to multifits: what is done, what cannot be done, and why."""

import numpy as np
import pytest
from astropy.io import fits
from extract_exposure import build_parser, main

import raw_frames
from hetdex_amplifier import READNOISE, SIGMA, Amplifier, N, observed, sky
from skyharvest.reduction.hetdex import amps_csv, frames_file
from skyharvest.reduction.hetdex.amp_file import AmpResult, write_amps
from skyharvest.reduction.hetdex.amp_to_amp import compare_amps
from skyharvest.reduction.hetdex.profile import first_guess
from skyharvest.reduction.hetdex.reduced_amp import HowToReduce
from skyharvest.reduction.hetdex.science import ScienceInputs, extract_exposure
from skyharvest.reduction.hetdex.settings import AmpToAmp, Background, Cosmics, Extract, Sky

HOW = HowToReduce(Background(), Cosmics(), Extract(), Sky())
IFU = "008_093_054_0123"
FACTOR = {"LL": 0.9, "LU": 1.0, "RL": 1.1, "RU": 1.0}
TURNED = ("LU", "RL")
TORN, UNCALIBRATED = "LU", "RU"
GAIN = raw_frames.HEADER["GAIN"]


def amplifier(amp):
    return Amplifier(seed=3 + list(FACTOR).index(amp))


def raw(amp):
    """Return a raw frame as bytes."""
    own = amplifier(amp)
    rng = np.random.default_rng(1)
    image = observed(own.paint(sky(own.wave) * FACTOR[amp] * own.norm), rng) + 5.0  # of a bias of 5 electrons
    image = image[::-1, ::-1] if amp in TURNED else image
    overscan = rng.normal(0, READNOISE, (N, 32))
    whole = np.concatenate([image, overscan], axis=1) / GAIN + 1000
    return raw_frames.frame(amp, np.round(whole).clip(0, 65535).astype("u2"), PARANGLE=31.5)


def products(root):
    """Write what the steps before make, of the truth."""
    made = {"bias": {}, "trace": {}, f"wavelength/{IFU}": {}, "flat/flat": {}}
    profile = first_guess(SIGMA)
    for amp, factor in FACTOR.items():
        own = amplifier(amp)
        made["bias"][amp] = AmpResult({"bias": np.full((N, N), 5, np.float32)}, {"n_traps": 0})
        arrays = {"trace": own.trace.astype(np.float32), "alive": own.alive.astype(np.uint8)}
        made["trace"][amp] = AmpResult(
            arrays | {"profile": profile.values, "profile_x": profile.x, "profile_y": profile.y}
        )
        ratio = np.where(own.alive[:, None], own.fiber_to_fiber, np.nan).astype(np.float32)
        made[f"wavelength/{IFU}"][amp] = AmpResult(
            {
                "wavelength": own.wave,
                "fiber_to_fiber": ratio,
                "twilight_mean": np.full(1036, 2000 * factor),
                "twilight_mean_error": np.full(1036, 1.0),
            }
        )
        made["flat/flat"][amp] = AmpResult({"flat": np.ones((N, N), np.float32), "good": np.ones((N, N), np.uint8)})
    made[f"wavelength/{IFU}"][UNCALIBRATED] = AmpResult(failed="found no lines of the Sun")
    for name, results in made.items():
        write_amps(root / f"{name}.fits", {}, results)
    compare_amps([root / f"wavelength/{IFU}.fits"], root / "amp_to_amp.fits", AmpToAmp())


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The directory of an exposure with a torn frame, and an amplifier without wavelengths."""
    root = tmp_path_factory.mktemp("science")
    order = [amp for amp in FACTOR if amp != TORN] + [TORN]
    frames = {raw_frames.name_of(12, 1, amp, "sci"): raw(amp) for amp in order}
    tar = root / "virus0000012.tar"
    offsets = raw_frames.write_tar(tar, frames)
    members = [
        frames_file.Member(
            "sci", 20190103, 12, 1, *IFU.split("_"), amp, str(tar), name, offsets[name], len(data), exptime=360.0
        )
        for amp, (name, data) in zip(order, frames.items(), strict=True)
    ]
    frames_file.write(root / f"{IFU}.csv", members)
    with tar.open("r+b") as file:
        file.truncate(members[-1].offset + 100_000)
    products(root)
    inputs = ScienceInputs(
        frames=root / f"{IFU}.csv",
        bias=root / "bias.fits",
        trace=root / "trace.fits",
        flat=root / "flat",
        wavelength=root / f"wavelength/{IFU}.fits",
        amp_to_amp=root / "amp_to_amp.fits",
    )
    words = [f"--{name.replace('_', '-')}={path}" for name, path in vars(inputs).items() if path]
    out = root / "out" / IFU
    said = build_parser().parse_args([*words, "--shot=20190103v012", "--exposure=exp01", f"--out={out}"])
    main(said)
    return inputs, root / "out" / IFU


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
        mean_of_two = (0.9 + 1.0 + 1.1) / 3  # the one without wavelengths is not compared
        assert level == pytest.approx(mean_of_two, rel=0.01)
        assert np.nanmedian(norm / sky(own.wave)) == pytest.approx(mean_of_two, rel=0.01)
        assert header["NAME0"] == f"20190103T054501.0_093{amp}_sci.fits"
        assert header["PARANGLE"] == 31.5
        assert header["NBTRACE"] == 1


def test_an_exposure_that_is_not_listed_leaves_a_table_that_says_so(done, tmp_path):
    inputs, _ = done
    extract_exposure(inputs, "20190103v012", 2, tmp_path / "out", HOW)
    states = amps_csv.read(tmp_path / "out")
    assert not any(state.done for state in states.values())
    assert "sci 20190103v012 exp02 LL" in states["LL"].reason


def test_what_is_not_the_amplifiers_fault_ends_the_job_and_leaves_nothing(done, tmp_path, monkeypatch):
    inputs, _ = done
    monkeypatch.setattr("skyharvest.reduction.hetdex.science.read_frame", lambda member: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        extract_exposure(inputs, "20190103v012", 1, tmp_path / "out", HOW)
    assert not list(tmp_path.iterdir())
