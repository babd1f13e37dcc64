"""Throughput of amplifiers against truth."""

from pathlib import Path

import numpy as np
import pytest

from skyharvest.reduction.hetdex.amp_file import AmpFailed, AmpResult, write_amps
from skyharvest.reduction.hetdex.calibration import solar_spectrum
from skyharvest.reduction.hetdex.calibration.amp_to_amp import AmpRatios, compare_amps
from skyharvest.reduction.hetdex.layout import AMPS
from skyharvest.reduction.hetdex.settings import AmpToAmp
from skyharvest.reduction.hetdex.virus import GRID

EXPOSURES = np.array([[20190103, 2, 1], [20190103, 2, 2], [20190103, 2, 3], [20190105, 2, 1]])
BRIGHT = np.array([900.0, 700.0, 1300.0, 400.0])
NAMES = [("008_093_054_0123", amp) for amp in ("LL", "LU", "RL", "RU")]
NAMES += [("317_015_038_0211", amp) for amp in ("LL", "LU", "RL", "RU")]


@pytest.fixture
def month(tmp_path: Path):
    """Return products of two pairings, and the true ratio of each amplifier; 317 RU failed, 317 RL has no light."""
    rng = np.random.default_rng(5)
    sun = solar_spectrum.read()
    x = (GRID - 4500) / 1000
    through = np.interp(GRID, [3470, 3700, 4000, 4500, 5000, 5540], [0.12, 0.3, 0.6, 0.9, 1.0, 0.85])
    truth, results = {}, {}
    for ifu, amp in NAMES:
        level, slope, bend = rng.normal(1, 0.1), rng.normal(0, 0.05), rng.normal(0, 0.02)
        own = level * (1 + slope * x + bend * x**2)
        light = np.interp(GRID, sun.wavelength, sun.convolved(rng.uniform(5.2, 5.9)) * sun.wavelength) * through
        which = np.array([0, 2, 3]) if amp == "LU" and ifu.startswith("317") else np.arange(4)
        mean = own * light / light.max() * 4000 * BRIGHT[which].mean() / BRIGHT.mean()
        error = mean * 0.002 + 2.0
        mean = mean + rng.normal(0, 1, GRID.size) * error
        if (ifu, amp) == NAMES[6]:
            mean *= 0.01
        mean[3490 + rng.uniform(0, 10) > GRID] = np.nan
        mean[5510 + rng.uniform(0, 10) < GRID] = np.nan
        levels = level * BRIGHT[which] * rng.normal(1, 0.002, len(which))
        arrays = {"twilight_mean": mean.astype("f4"), "twilight_mean_error": error.astype("f4")}
        arrays |= {"exposures": EXPOSURES[which], "levels": levels}
        results.setdefault(ifu, {})[amp] = AmpResult(arrays, {"wave_rms": 0.05})
        truth[ifu, amp] = own
    results[NAMES[7][0]]["RU"] = AmpResult(failed="found 3 fibers")
    paths = [tmp_path / "wavelength/201901" / f"{ifu}.fits" for ifu in results]
    for path, each in zip(paths, results.values(), strict=True):
        write_amps(path, {}, each)
    return paths, truth


def test_ratios_are_true_and_what_failed_is_told(month, tmp_path: Path) -> None:
    paths, truth = month
    out = tmp_path / "amp_to_amp/201901.fits"
    compare_amps(paths, out, AmpToAmp())
    product = AmpRatios(out)
    good = NAMES[:6]
    found = np.stack([product.ratio(*name) for name in good])
    true = np.stack([truth[name] for name in good])
    share = found / true
    share /= np.median(share, axis=0)
    assert np.abs(share - 1)[:, 30:-30].max() < 0.01
    assert np.std(share) < 0.004
    assert np.abs(np.mean(found, axis=0) - 1).max() < 0.05
    with pytest.raises(AmpFailed, match="found 3 fibers"):
        product.ratio(*NAMES[7])
    with pytest.raises(AmpFailed, match=r"found a twilight of 0\.0\d+ times"):
        product.ratio(*NAMES[6])
    with pytest.raises(AmpFailed, match="has no amplifier"):
        product.ratio("001_002_003_0004", "LL")
    table = {(row["ifu"], row["amp"]): row for row in product.table}
    assert table[NAMES[5]]["n_exposures"] == 3
    assert table[NAMES[5]]["correction"] == pytest.approx(BRIGHT.mean() / BRIGHT[[0, 2, 3]].mean(), rel=0.003)
    assert table[NAMES[0]]["correction"] == pytest.approx(1, rel=0.001)
    assert product.at(*good[0], np.array([[3000.0, 4500.0]]))[0, 1] == pytest.approx(found[0, 515], rel=1e-3)


def test_a_month_in_which_nothing_was_done_is_told_by_amplifier(tmp_path: Path) -> None:
    """As months of clouds: the steps after it pass the reason on, and the ledger is written."""
    path = tmp_path / "008_093_054_0123.fits"
    write_amps(path, {}, {amp: AmpResult(failed=f"{amp}: found 2 twilights") for amp in AMPS})
    compare_amps([path], tmp_path / "201901.fits", AmpToAmp())
    product = AmpRatios(tmp_path / "201901.fits")
    for amp in AMPS:
        with pytest.raises(AmpFailed, match=f"{amp}: found 2 twilights"):
            product.ratio(path.stem, amp)


def test_one_amplifier_alone_is_the_field(month, tmp_path: Path) -> None:
    paths, _ = month
    alone = tmp_path / "alone" / paths[0].name
    rng = np.random.default_rng(1)
    arrays = {"twilight_mean": rng.normal(1000, 3, 1036).astype("f4"), "twilight_mean_error": np.full(1036, 3.0, "f4")}
    write_amps(alone, {}, {"RL": AmpResult(arrays)})
    compare_amps([alone], tmp_path / "a.fits", AmpToAmp())
    np.testing.assert_allclose(AmpRatios(tmp_path / "a.fits").ratio(alone.stem, "RL"), 1, atol=1e-6)
