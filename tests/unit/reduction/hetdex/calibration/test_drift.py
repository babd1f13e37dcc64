"""What drifts between two months, from products in which it is planted."""

from pathlib import Path

import numpy as np
import pytest

from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.amp_file import AmpResult, write_amps
from skyharvest.reduction.hetdex.calibration import drift, drift_table
from skyharvest.reduction.hetdex.calibration.amp_to_amp import compare_amps
from skyharvest.reduction.hetdex.settings import AmpToAmp
from skyharvest.report import hetdex_drift

IFU = "008_093_054_0123"
LEVEL = {"LL": 1000.0, "LU": 1100.0, "RL": 900.0, "RU": 1000.0}


def month(root: Path, name: int, changes: dict[str, dict[str, float]], failed: tuple[str, ...] = ()) -> None:
    """Write the products of a month; ``changes`` by amplifier: bias, wave, stretch, trace, f2f, level."""
    u = np.linspace(-1, 1, 1032)
    bias, trace, wave = {}, {}, {}
    for k, amp in enumerate(LEVEL):
        rng = np.random.default_rng(k)  # the same amplifier in all months
        by = changes.get(amp, {})
        bias[amp] = AmpResult({"bias": np.zeros((2, 2), "f4")}, {"level": 1000.0 + k + by.get("bias", 0.0)})
        if amp in failed:
            bias[amp] = trace[amp] = wave[amp] = AmpResult(failed="found 2 bias frames; expected 5")
            continue
        own = rng.normal(1, 0.06, (112, 1)) * np.ones(1032)
        own *= 1 + by.get("f2f", 0.0) * np.random.default_rng(99).normal(0, 1, (112, 1))
        own[17 if name == 201901 else 60] = np.nan  # another fiber is dead
        at = 4500 + 1010 * u + 8 * np.linspace(-1, 1, 112)[:, None] ** 2 + by.get("wave", 0) + by.get("stretch", 0) * u
        rows = 24 + 8.8 * np.arange(112)[:, None] + u**2 + by.get("trace", 0.0)
        trace[amp] = AmpResult({"trace": rows.astype("f4")})
        mean = np.full(1036, LEVEL[amp] * (1 + by.get("level", 0.0)))
        mean += np.random.default_rng(name).normal(0, 1, 1036)
        wave[amp] = AmpResult(
            {
                "wavelength": at,
                "fiber_to_fiber": own.astype("f4"),
                "twilight_mean": mean.astype("f4"),
                "twilight_mean_error": np.ones(1036, "f4"),
            }
        )
    for step, results in (("bias", bias), ("trace", trace), ("wavelength", wave)):
        write_amps(root / step / str(name) / f"{IFU}.fits", {}, results)
    compare_amps([root / f"wavelength/{name}/{IFU}.fits"], root / f"amp_to_amp/{name}.fits", AmpToAmp())


@pytest.fixture
def table(tmp_path: Path) -> Path:
    month(tmp_path, 201901, {}, failed=("RU",))
    month(tmp_path, 201902, {"LL": {"bias": 7.0, "wave": 0.4, "trace": -0.25}, "LU": {"stretch": 0.5, "f2f": 0.02}})
    month(tmp_path, 201903, {"RL": {"level": 0.3}, "RU": {"wave": 1.0}})
    steps = [sorted((tmp_path / step).rglob("*.fits")) for step in ("bias", "trace", "wavelength", "amp_to_amp")]
    drift.measure_drift(*steps, tmp_path / "drift.csv")
    return tmp_path / "drift.csv"


def test_what_was_planted_is_found(table: Path) -> None:
    rows = {(row.amp, row.month): row for row in drift_table.read(table)}
    assert len(rows) == 12
    moved = rows["LL", 201902]
    assert (moved.reference, moved.reason) == (201901, "")
    assert moved.bias_change == pytest.approx(7)
    assert moved.wave_change == pytest.approx(0.4, abs=1e-4)
    assert moved.trace_change == pytest.approx(-0.25, abs=1e-4)
    assert rows["LU", 201902].wave_stretch == pytest.approx(0.8, abs=0.01)  # of the middles of the outer fifths
    assert rows["LU", 201902].wave_change == pytest.approx(0, abs=1e-3)
    assert rows["LU", 201902].f2f_change == pytest.approx(0.02, rel=0.3)
    for amp in ("LL", "LU", "RL"):  # nothing was done to them in that month
        assert rows[amp, 201903].wave_change == pytest.approx(0, abs=1e-6) or amp == "RU"
        assert rows[amp, 201903].f2f_change < 1e-3
    higher, other = (rows[amp, 201903].amp_to_amp / rows[amp, 201902].amp_to_amp for amp in ("RL", "LL"))
    assert higher / other == pytest.approx(1.3, rel=0.01)
    assert rows["RL", 201903].amp_to_amp_change > 0.2
    # One that failed in the first month is compared with its own first.
    assert rows["RU", 201901].reason == "found 2 bias frames; expected 5"
    assert rows["RU", 201901].reference == 0
    assert np.isnan(rows["RU", 201901].wave_change)
    assert rows["RU", 201903].reference == 201902
    assert rows["RU", 201903].wave_change == pytest.approx(1.0, abs=1e-4)


def test_figures_say_what_drifts(table: Path) -> None:
    drawn = hetdex_drift.drawings(drift_table.read(table))
    assert list(drawn) == list(drift_table.NUMBERS)
    assert "008_093_054_0123 LL in 201902 7" in drawn["bias_change"][1]
    assert "RU in 201903 1" in drawn["wave_change"][1]
    assert len(drawn["wave_change"][0].axes[0].lines) >= 3
    assert "nothing is known" in hetdex_drift.drawings([])["wave_change"][1]


def test_another_table(tmp_path: Path) -> None:
    path = tmp_path / "drift.csv"
    path.write_text("ifu,amp\n")
    with pytest.raises(MalformedFile, match="remove it"):
        drift_table.read(path)
