"""The twilight calibration of a pairing, from images whose truth is known."""

import numpy as np
import pytest

from hetdex_twilights import twilight
from skyharvest.reduction.hetdex.amp_file import AmpFile, AmpResult, write_amps
from skyharvest.reduction.hetdex.calibration.amp_to_amp import AmpRatios, compare_amps
from skyharvest.reduction.hetdex.calibration.twilight import calibrate_twilight
from skyharvest.reduction.hetdex.detector.profile import STEPS
from skyharvest.reduction.hetdex.settings import AmpToAmp, Background, FiberToFiber, Wavelength

N, HALF, SIGMA = 1032, 5, 2.05
SCATTERED = 25.0
DEFECT = (slice(500, 514), slice(300, 309))


def profile_at(distance: np.ndarray) -> np.ndarray:
    """Return what a pixel gets of a fiber at some distances: flat on top, cut off where profiles here end."""
    fine = distance[..., None] + (np.arange(9) - 4) / 9
    value = np.exp(-0.5 * (np.abs(fine) / SIGMA) ** 2.35).mean(-1) * (np.abs(distance) <= HALF + 0.5)
    return value / 5.0


def painted(light, seed: int) -> dict[str, np.ndarray]:
    """Return the arrays of a trace, whose twilight is the mean of three frames."""
    rng = np.random.default_rng(seed)
    bend = 3.0 * np.linspace(-1, 1, N) ** 2
    trace = light.y[:, None] + bend[None] - 1.5
    true = np.nan_to_num(light.ratio) * light.level * 2500.0
    image = np.full((N, N), SCATTERED)
    columns = np.arange(N)
    rows = np.round(trace).astype(int)[..., None] + np.arange(-HALF - 1, HALF + 2)
    weights = profile_at(rows - trace[..., None])
    weights /= weights.sum(-1, keepdims=True)
    inside = (rows >= 0) & (rows < N)
    where = np.broadcast_to(columns[None, :, None], rows.shape)
    np.add.at(image, (rows[inside], where[inside]), (weights * true[..., None])[inside])
    flat = rng.normal(1, 0.01, (N, N))
    flat[DEFECT] = 0.45
    noisy = rng.poisson(image * flat * 3) / 3 + rng.normal(0, 3.0 / np.sqrt(3), (N, N))
    noisy[700:, 400] = np.nan  # a trap
    place = np.linspace(-(HALF + 0.5), HALF + 0.5, 2 * STEPS * HALF + STEPS + 1)
    one = profile_at(place)
    one *= STEPS / one.sum()
    grid = np.broadcast_to(one, (2, 2, one.size)).astype("f4")
    return {
        "trace": trace.astype("f4"),
        "alive": light.alive.astype("u1"),
        "profile": np.ascontiguousarray(grid),
        "profile_x": np.array([0.0, N - 1]),
        "profile_y": np.array([0.0, 111]),
        "twilight": noisy.astype("f4"),
        "exposures": np.array([[20190103, 2, k] for k in (1, 2, 3)]),
        "levels": np.array([900.0, 1000.0, 1100.0]),
        "flat": flat.astype("f4"),
        "good": np.isfinite(noisy).astype("u1"),
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the product of a pairing, that of its month, and its truth.

    LL and LU are good, RL is upside down, RU has not been traced.
    """
    root = tmp_path_factory.mktemp("month")
    ifu = "008_093_054_0123"
    lights = {"LL": twilight(21, dead=(30,)), "LU": twilight(22, dead=(80, 81)), "RL": twilight(23)}
    lights["LU"].level *= 1.2
    traces, flats = {}, {}
    for k, (amp, light) in enumerate(lights.items()):
        arrays = painted(light, k)
        if amp == "RL":
            arrays["twilight"] = np.ascontiguousarray(arrays["twilight"][:, ::-1])
            arrays["flat"], arrays["good"] = (np.ascontiguousarray(arrays[name][:, ::-1]) for name in ("flat", "good"))
        flats[amp] = AmpResult({name: arrays.pop(name) for name in ("flat", "good")})
        traces[amp] = AmpResult(arrays, {"n_frames": 3, "readnoise": 3.0})
    traces["RU"] = flats["RU"] = AmpResult(failed="found 60 peaks; expected 112 fibers")
    write_amps(root / "trace" / f"{ifu}.fits", {}, traces)
    write_amps(root / "flat" / ifu / "flat.fits", {}, flats)
    out = root / "wavelength" / f"{ifu}.fits"
    calibrate_twilight(
        root / "trace" / f"{ifu}.fits", root / "flat" / ifu, out, Wavelength(), FiberToFiber(), Background()
    )
    compare_amps([out], root / "201901.fits", AmpToAmp())
    return out, root / "201901.fits", lights, ifu


def test_wavelengths_and_ratios_of_images_are_true(made) -> None:
    out, _, lights, _ = made
    with AmpFile(out) as product:
        for amp in ("LL", "LU"):
            light = lights[amp]
            off = product.array("wavelength", amp) - light.wave
            assert product.array("wavelength", amp).dtype == np.float64
            assert np.sqrt(np.mean(off[light.alive] ** 2)) < 0.06
            assert np.abs(off).max() < 0.35
            ratio = product.array("fiber_to_fiber", amp)
            assert np.isnan(ratio[~light.alive]).all()
            share = (ratio / light.ratio)[light.alive]
            share = share / np.median(share, axis=0)
            assert np.std(share) < 0.005
            spectrum = product.array("twilight_spectrum", amp)
            true = np.where(light.alive[:, None], light.ratio * light.level * 2500, np.nan)
            inside = np.isfinite(spectrum) & np.isfinite(true)
            assert np.median((spectrum / true)[inside]) == pytest.approx(1, abs=0.01)
            # Where the detector sees less than half of the light, the flat gives it back.
            crossed = np.abs(light.y - 507).argmin()
            there = (spectrum / true)[crossed, DEFECT[1]]
            assert np.mean(there) == pytest.approx(1, abs=0.04)
            values = product.values(amp)
            assert values["n_alive"] == light.alive.sum()
            assert values["scattered"] == pytest.approx(SCATTERED, abs=3)
            assert values["wave_rms"] < 0.1


def test_what_cannot_be_calibrated_says_why(made) -> None:
    out, month, lights, ifu = made
    with AmpFile(out) as product:
        assert product.states["RL"][0] == "failed"
        assert "like the Sun" in product.states["RL"][1]
        assert product.states["RU"] == ("failed", "found 60 peaks; expected 112 fibers")
    ratios = AmpRatios(month)
    share = ratios.ratio(ifu, "LU") / ratios.ratio(ifu, "LL")
    mean = {amp: np.nanmean(lights[amp].ratio) for amp in ("LL", "LU")}  # of fibers, by which an amplifier is brighter
    assert np.median(share[50:-60]) == pytest.approx(1.2 * mean["LU"] / mean["LL"], rel=0.005)
    assert set(ratios.table["n_exposures"][:2]) == {3}
