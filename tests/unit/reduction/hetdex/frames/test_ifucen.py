"""Where fibers are: real files, the IFUs that differ, and files that lack something."""

import shutil

import numpy as np
import pytest

from running import ROOT
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.frames import ifucen

REAL = ROOT.parent / "shared" / "real" / "hetdex_reduction"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="needs the real files")


def as_published(ifuid, amp):
    """Return what public pipelines have (Panacea, get_ifucenfile): rows of the file, not sides and numbers."""
    name = "IFUcen_HETDEX_reverse_R.txt" if ifuid == "004" else "IFUcen_HETDEX.txt"
    table = np.loadtxt(REAL / name, usecols=[1, 2], skiprows=32 if ifuid == "004" else 30)
    if ifuid in ("003", "004", "005", "008"):
        table = np.concatenate([table[:224], table[224:][::-1]])
    pairs = {"007": (37, 38), "025": (208, 213), "030": (445, 446), "038": (302, 303), "041": (251, 252)}
    if ifuid in pairs:
        one, other = pairs[ifuid]
        table[[one, other]] = table[[other, one]]
    first = {"LU": 0, "LL": 112, "RL": 224, "RU": 336}[amp]
    return table[first : first + 112][::-1]


@needs_real
@pytest.mark.parametrize("ifuid", ["001", "003", "004", "005", "007", "008", "025", "030", "038", "041", "054"])
def test_real_files_and_special_ifus(ifuid):
    for amp in ("LL", "LU", "RL", "RU"):
        found = ifucen.positions(REAL, ifuid, amp)
        assert found.shape == (112, 2)
        np.testing.assert_array_equal(found, as_published(ifuid, amp))


@needs_real
def test_the_lowest_row_of_an_amplifier_is_its_last_fiber():
    assert tuple(ifucen.positions(REAL, "054", "LU")[-1]) == (-22.88, -24.24)
    assert tuple(ifucen.positions(REAL, "054", "RU")[0]) == (22.88, 24.24)
    assert ifucen.fiber_numbers("LU") == list(range(112, 0, -1))
    assert ifucen.fiber_numbers("RL")[0] == 336
    every = np.concatenate([ifucen.positions(REAL, "054", amp) for amp in ("LU", "LL", "RL", "RU")])
    assert len(np.unique(every, axis=0)) == 448


@needs_real
def test_what_is_returned_is_the_callers_own():
    ifucen.positions(REAL, "054", "LU")[:] = 0
    np.testing.assert_array_equal(ifucen.positions(REAL, "054", "LU"), as_published("054", "LU"))


@needs_real
def test_an_ifus_own_file_comes_first_and_lacking_fibers_are_counted(tmp_path):
    with pytest.raises(InputError, match=r"IFUcen_HETDEX_reverse_R\.txt: found no such file"):
        ifucen.positions(tmp_path, "004", "LL")
    shutil.copy(REAL / "IFUcen_HETDEX_reverse_R.txt", tmp_path / "IFUcen_HETDEX_007.txt")
    np.testing.assert_array_equal(ifucen.positions(tmp_path, "007", "RU"), as_published("004", "RU"))
    lines = (REAL / "IFUcen_HETDEX.txt").read_text().splitlines()
    path = tmp_path / "IFUcen_HETDEX.txt"
    for wrong, what in (
        (lines[:-3], "found 445 fibers; expected 448"),
        ([*lines, lines[-1]], "line 479: found fiber R 0224 again"),
        ([*lines[:-1], "0448 x 24.24 R 0224 1.000"], "line 478: found '0448 x"),
        ([*lines[:-1], "0448 22.88 24.24 R 0225 1.000"], "line 478"),
    ):
        path.write_text("\n".join(wrong))
        ifucen._read.cache_clear()
        with pytest.raises(InputError, match=what) as told:
            ifucen.positions(tmp_path, "054", "LL")
        assert str(path) in str(told.value)
