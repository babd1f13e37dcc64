"""Files of the focal plane, real ones and wrong ones."""

import pytest

from running import ROOT
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.reduction.hetdex.frames import fplane

REAL = ROOT.parent / "shared" / "real" / "hetdex_reduction"
ROW = "093  349.517   148.587  008  157  054    0.000    1.000\n"


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real files")
def test_real_files(caplog):
    slots = fplane.read(REAL / "fplane.20190101")
    assert len(slots) == 62
    assert slots["093"] == fplane.Slot("093", 349.517, 148.587, "008", "157", "054", 0.0, 1.0)
    assert "000" not in slots
    early = fplane.read(REAL / "20180611v017/fplane.txt")
    assert (early["015"].specid, early["015"].ifuid, early["022"].y) == ("301", "038", 250.336)
    assert "line 7: found SPECID 301, which line 3 has, too" in caplog.text
    assert fplane.find(REAL, 20190103) == REAL / "fplane.20190101"


def test_a_file_holds_until_the_next(tmp_path):
    for name in ("fplane20180101", "fplane.20190101", "fplane20190201.txt", "fplane.old", "README"):
        (tmp_path / name).write_text(ROW)
    assert fplane.find(tmp_path, 20181231).name == "fplane20180101"
    assert fplane.find(tmp_path, 20190101).name == "fplane.20190101"
    assert fplane.find(tmp_path, 20220101).name == "fplane20190201.txt"
    with pytest.raises(InputError, match=r"fplane20171231.*fplane20180101") as told:
        fplane.find(tmp_path, 20171231)
    assert str(tmp_path) in str(told.value)
    (tmp_path / "fplane20190101").write_text(ROW)
    with pytest.raises(InputError, match="expected one of them"):
        fplane.find(tmp_path, 20190103)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (ROW + ROW, "line 2: found IFUSLOT 093, which line 1 has"),
        ("# slots\n\n" + ROW.replace("349.517", "x"), "line 3: found X_FP 'x'"),
        (ROW.replace("349.517", "nan"), "line 1: found X_FP 'nan'"),
        (ROW.replace("054", ""), "line 1: found 7 values; expected 8"),
        ("# nothing\n000 0 0 900 900 900 0 1\n", "found no IFU"),
    ],
)
def test_wrong_lines_are_named(tmp_path, text, what):
    path = tmp_path / "fplane20190101"
    path.write_text(text)
    with pytest.raises(MalformedFile, match=what):
        fplane.read(path)


def test_slots_that_are_not_connected_may_be_many(tmp_path):
    path = tmp_path / "fplane20190101"
    path.write_text(ROW + "013 -450.0 150.0 00 000 000 0.0 1.0\n014 -450.0 50.0 00 000 000 0.0 1.0\n")
    assert [slot.specid for slot in fplane.read(path).values()] == ["008", "000", "000"]
