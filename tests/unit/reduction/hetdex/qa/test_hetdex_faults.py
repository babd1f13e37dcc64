"""What is one fault is told once, and comes back from a file as it was."""

import json

from skyharvest.reduction.hetdex.places import Place
from skyharvest.reduction.hetdex.qa.faults import Fault, grouped
from skyharvest.reduction.hetdex.qa.missing import missing_amps

EXPOSURES = [("20190101v010", f"exp{k:02d}") for k in (1, 2, 3)]
OTHER = ("20190101v011", "exp01")


def fault(amp: str, exposure: tuple[str, str], severity: float = 1.0, state: str = "BAD") -> Fault:
    place = Place("201901", amp.rpartition("_")[0], *exposure)
    return Fault("science.pull", state, "science", place, amp, value=2 + severity, limit="≤ 1.6", severity=severity)


def test_a_bad_amplifier_is_one_fault_and_a_bad_exposure_another():
    amps = [f"301_013_021_0101_{amp}" for amp in ("LL", "LU", "RL", "RU")]
    bad_amp = [fault(amps[0], exposure, k) for k, exposure in enumerate(EXPOSURES)]
    bad_exposure = [fault(amp, OTHER, 0.5) for amp in amps[1:]]
    other = fault(amps[2], EXPOSURES[0], 9.0, "WARN")
    first, second, third = grouped([*bad_exposure, other, *bad_amp])
    assert (first.amps, len(first.exposures), first.n, first.value) == ((amps[0],), 3, 3, 4)
    assert first.place.exposure == "exp03", "the worst one's job"
    assert (second.amps, second.exposures) == (tuple(amps[1:]), ("20190101v011/exp01",))
    assert third == other
    assert grouped([]) == []


def test_a_fault_comes_back_from_a_file():
    for one in (
        fault("301_013_021_0101_LL", EXPOSURES[0]),
        Fault("stars", "BAD", "stars", Place("201901"), reason="no"),
    ):
        assert Fault.from_json(json.loads(json.dumps(one.as_json()))) == one


def test_an_amplifier_is_missing_once_for_a_cause():
    lines = [
        {"step": "bias", "state": "failed", "reason": "too few", "amp": "a_LL", "exposures": []},
        {"step": "trace", "state": "waiting", "reason": "bias: too few", "amp": "a_LL", "exposures": []},
        {"step": "science", "state": "waiting", "reason": "bias: too few", "amp": "a_LL", "exposures": ["s/exp01"]},
        {"step": "science", "state": "failed", "reason": "cut: short", "amp": "b_RU", "exposures": ["s/exp02"]},
        {"step": "residuals", "state": "left_out", "reason": "3 frames", "amp": "d_RU", "exposures": []},
        {"step": "bias", "state": "left_out", "reason": "known: dead", "amp": "c_RU", "exposures": []},
        {"step": "astrometry", "state": "failed", "reason": "no stars", "amp": "", "exposures": ["s"]},
    ]
    found = [(one.amp, one.step, one.state, one.reason, one.exposures) for one in missing_amps(lines)]
    assert found == [
        ("a_LL", "bias", "failed", "too few", ["s/exp01"]),
        ("b_RU", "science", "failed", "cut: short", ["s/exp02"]),
        ("c_RU", "bias", "left_out", "known: dead", []),
    ]
