"""The steps bias, trace and flat, from raw frames to products: against the truth of a simulated month."""

import re
from pathlib import Path

import fitsio
import numpy as np
import pytest

from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.amp_file import AmpFile
from skyharvest.reduction.hetdex.calibration import bias as bias_step
from skyharvest.reduction.hetdex.calibration.bias import make_bias
from skyharvest.reduction.hetdex.calibration.pixel_flat import make_pixel_flats
from skyharvest.reduction.hetdex.calibration.pixel_mask import masked, read_boxes
from skyharvest.reduction.hetdex.calibration.trace_step import read_profile, trace_fibers
from skyharvest.reduction.hetdex.frames import frames_file
from skyharvest.reduction.hetdex.frames.bad_fibers import named_fibers
from skyharvest.reduction.hetdex.frames.frame import orient
from skyharvest.reduction.hetdex.frames.frames_file import Member
from skyharvest.reduction.hetdex.frames.tar_index import index_tar
from skyharvest.reduction.hetdex.settings import Background, Bias, Flat, Trace
from skyharvest.simulate.hetdex_month.detector import DEFECT
from skyharvest.simulate.hetdex_month.month import simulate
from skyharvest.simulate.hetdex_month.optics import Fibers
from skyharvest.simulate.hetdex_month.plan import IFUS, Night, Plan
from skyharvest.simulate.hetdex_month.truth import Truth

NAME = "317_015_038_0211"
PLAN = Plan(
    (Night(ifus=IFUS[:1], biases=7, twilights=3, shots=()),),
    {("317", "LL"): Fibers(gaps=(34, 74), missing=(20,), dead=(60,)), ("317", "RU"): Fibers(dark=True)},
    amps=("LL", "LU", "RU"),
)
BAD_PIXELS = "317LU 538 556 755 737\n"


class Month:
    """Products of a pairing, and what is true of it."""

    def __init__(self, root: Path):
        simulate(root, PLAN)
        self.root, self.truth = root, Truth(root / "truth.h5")
        self.members = []
        for tar in sorted((root / "raw/20190103/virus").glob("*.tar")):
            for row in index_tar(tar, 20190103):
                place = (row.specid, row.ifuslot, row.ifuid, row.contid, row.amp)
                file = (row.tar, row.member, row.offset, row.size)
                self.members.append(Member(row.type, 20190103, row.obs, row.expnum, *place, *file))
        self.frames, self.bias, self.trace, self.flat = (
            root / name for name in (f"{NAME}.csv", "bias.fits", "trace.fits", "flat")
        )
        (root / "pixels.txt").write_text(BAD_PIXELS)
        frames_file.write(self.frames, self.members)
        make_bias(self.frames, self.bias, Bias())
        trace_fibers(self.frames, self.bias, self.trace, Trace(), Background(), root / "bad_fibers.csv")
        make_pixel_flats(self.bias, self.trace, self.flat, Flat(), Background(), root / "pixels.txt")

    def true(self, amp: str, key: str) -> np.ndarray:
        return self.truth.amp(f"{NAME}_{amp}", key)

    def value(self, amp: str, key: str):
        return self.truth.amp_value(f"{NAME}_{amp}", key)


@pytest.fixture(scope="module")
def month(tmp_path_factory) -> Month:
    return Month(tmp_path_factory.mktemp("month"))


def test_the_bias_and_its_traps_are_those_of_the_detector(month):
    with AmpFile(month.bias) as found:
        for amp in PLAN.amps:
            values, noise = found.values(amp), month.value(amp, "read_noise")
            assert np.std(found.array("bias", amp) - month.true(amp, "bias")) < 0.25 * noise
            assert values["rms"] == pytest.approx(noise, rel=0.02)
            assert values["overscan_rms"] == pytest.approx(noise, rel=0.03)
            assert (values["n_frames"], abs(values["level"] - 1000) < 10) == (7, True)
            if amp != "RU":  # four times the noise hides it
                ((x, y, n),) = found.array("traps", amp)
                ((column, row),) = month.value(amp, "traps")
                assert (x, n) == (column, 1032 - row)
                assert y == row
        assert found.states["RL"][0] == "failed"
        assert "found 0 bias frames" in found.states["RL"][1]
        assert "min_frames" in found.states["RL"][1]


def test_fibers_are_found_and_a_dead_amplifier_has_failed_with_a_reason(month):
    with AmpFile(month.trace) as found:
        for amp in ("LL", "LU"):
            alive, trace = found.array("alive", amp) == 1, found.array("trace", amp)
            np.testing.assert_array_equal(alive, month.true(amp, "alive"))
            assert np.std((trace - month.true(amp, "trace"))[alive]) < 0.015
            assert trace.dtype == np.float32
            profile = read_profile(found, amp)
            assert profile.weights(trace).values.shape == (112, 1032, 13)
            twilight = found.array("twilight", amp)
            ((column, row),) = month.value(amp, "traps")
            assert np.isnan(twilight[row:, column]).all()
            np.testing.assert_array_equal(found.array("exposures", amp), [[20190103, 2, n] for n in (1, 2, 3)])
            assert found.array("levels", amp).min() > 100
        assert found.values("LL")["dead"] == "21 61"
        assert found.values("LL")["gaps"] == "34 74"
        assert found.states["RU"][0] == "failed"
        assert "found 0 usable twilights of 3" in found.states["RU"][1]
        assert "with 0, 0, 0 electrons a pixel" in found.states["RU"][1]
        assert "found 0 bias frames" in found.states["RL"][1]  # the bias's reason


def test_defects_traps_and_named_pixels_are_masked_and_little_else(month):
    boxes = read_boxes(month.flat / "mask.txt")
    assert set(boxes) == {"317LL", "317LU"}
    rows, columns, response = DEFECT
    with AmpFile(month.flat / "flat.fits") as found:
        for amp in ("LL", "LU"):
            good, flat = found.array("good", amp) == 1, found.array("flat", amp)
            y, x = month.value(amp, "defect")
            ((column, row),) = month.value(amp, "traps")
            expected = np.zeros(good.shape, bool)
            expected[y : y + rows, x : x + columns] = True
            assert (~good)[expected].mean() > 0.95
            assert np.median(flat[y + 2 : y + rows - 2, x + 2 : x + columns - 2]) == pytest.approx(response, abs=0.06)
            expected[row - 5 :, column] = True
            assert not good[row:, column].any()
            if amp == "LU":
                expected[736:755, 537:556] = True
                assert not good[736:755, 537:556].any()
            assert np.count_nonzero(~good & ~expected) < 30
            lit = good & (flat != 1)
            assert np.std((flat - month.true(amp, "flat"))[lit]) < 1.02 * np.std(month.true(amp, "flat")[lit])
            np.testing.assert_array_equal(masked(boxes[f"317{amp}"], good.shape, ""), ~good)
            # The public file is as raw frames are.
            public, header = fitsio.read(str(month.flat / f"pixelflat_cam317_{amp}.fits"), header=True)
            np.testing.assert_array_equal(orient(public.astype("f4"), amp, amp), flat)
            assert header["SPECID"].strip() == "317"
    assert sorted(path.name for path in month.flat.iterdir()) == [
        "flat.fits", "mask.txt", "pixelflat_cam317_LL.fits", "pixelflat_cam317_LU.fits",
    ]  # fmt: skip


def test_frames_that_cannot_be_read_are_left_out_until_too_few_are_left(month, tmp_path, monkeypatch):
    broken = [
        Member(*(999999999 if name == "offset" and k < 3 else getattr(one, name) for name in frames_file.COLUMNS))
        for k, one in enumerate(one for one in month.members if one.type == "zro" and one.amp == "LL")
    ]
    frames = tmp_path / "frames.csv"
    frames_file.write(frames, broken)
    make_bias(frames, tmp_path / "few.fits", Bias())
    with AmpFile(tmp_path / "few.fits") as found:
        assert "found 4 bias frames that can be read, of 7; expected at least 5" in found.states["LL"][1]
    make_bias(frames, tmp_path / "enough.fits", Bias(min_frames=4))
    # In parts of the rows, as so many frames are that memory does not hold them: the same.
    monkeypatch.setattr(bias_step, "MOST_BYTES", 10_000_000)
    make_bias(frames, tmp_path / "parts.fits", Bias(min_frames=4))
    with AmpFile(tmp_path / "enough.fits") as whole, AmpFile(tmp_path / "parts.fits") as parts:
        assert whole.values("LL")["n_frames"] == 4
        np.testing.assert_array_equal(whole.array("bias", "LL"), parts.array("bias", "LL"))
        assert parts.values("LL")["rms"] == pytest.approx(whole.values("LL")["rms"], rel=0.01)


def test_twilights_with_too_little_or_too_much_light_are_not_used(month, tmp_path):
    trace_fibers(month.frames, month.bias, tmp_path / "t.fits", Trace(level_most=150.0), Background())
    with AmpFile(tmp_path / "t.fits") as found:
        reason = found.states["LU"][1]
    assert re.search(r"found 0 usable twilights of 3, with \d{3}, \d{3}, \d{3} electrons a pixel", reason)
    assert "expected 2 with 100 to 150" in reason


def test_a_month_without_twilights_is_told_by_every_amplifier(month, tmp_path):
    frames = tmp_path / "frames.csv"
    frames_file.write(frames, [one for one in month.members if one.type == "zro"])
    trace_fibers(frames, month.bias, tmp_path / "t.fits", Trace(), Background())
    make_pixel_flats(month.bias, tmp_path / "t.fits", tmp_path / "flat", Flat(), Background())
    assert sorted(path.name for path in (tmp_path / "flat").iterdir()) == ["flat.fits", "mask.txt"]
    with AmpFile(tmp_path / "flat/flat.fits") as found:
        assert "found 0 usable twilights of 0, with none" in found.states["LL"][1]
        assert "calibration_from" in found.states["LU"][1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("317,015,038,LL,21,,,not there", [20]),
        ("*,*,*,*,3,20190101,20190103,", [2]),
        ("317,*,*,LL,3,20190104,,", []),
        ("317,*,*,LL,3,,20190102,", []),
        ("20,*,*,LL,3,,,", []),
        ("317,*,*,LU,3,,,", []),
    ],
)
def test_a_line_names_a_fiber_for_its_pairings_and_nights(month, tmp_path, line, expected):
    table = tmp_path / "bad.csv"
    table.write_text(f"specid,ifuslot,ifuid,amp,fibnum,first,last,reason\n{line}\n")
    assert named_fibers(table, [one for one in month.members if one.amp == "LL"]) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("specid,amp,fibnum\n", "found no column ifuslot, ifuid"),
        ("specid,ifuslot,ifuid,amp,fibnum,first,last,reason\n317,*,*,LL,113,,,\n", "line 2: found the fibnum 113"),
        ("specid,ifuslot,ifuid,amp,fibnum,first,last,reason\n317,*,*,LL,x,,,\n", "line 2: found fibnum x"),
    ],
)
def test_a_table_of_fibers_that_is_none_is_an_error(month, tmp_path, text, message):
    table = tmp_path / "bad.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=message):
        named_fibers(table, month.members)
