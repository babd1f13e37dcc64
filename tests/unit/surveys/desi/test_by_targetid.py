"""Rows of tables beside FIBERMAP, found by TARGETID, against a dictionary."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from skyharvest.surveys.desi.by_targetid import ByTargetid

IDS = st.lists(st.integers(-3, 6) | st.integers(-(2**63), 2**63 - 1), max_size=12)


@given(IDS, IDS, st.randoms(use_true_random=False))
def test_rows_are_those_of_the_targetid_where_it_tells_one(fibers, available, random):
    values = np.arange(len(available)) + 0.5
    table = {"TARGETID": np.array(available, np.int64), "Z": values, "ZWARN": np.arange(len(available))}
    chosen = [random.randrange(len(fibers)) for _ in range(5 if fibers else 0)]
    found, problem = ByTargetid(table, np.array(fibers, np.int64), "x[T]").at(np.array(chosen, np.int64))
    place = {targetid: k for k, targetid in enumerate(available)}
    n_fibers, n_rows = Counter(fibers), Counter(available)
    bad = [k for k in chosen if n_fibers[fibers[k]] != 1 or n_rows[fibers[k]] != 1]
    assert found["TARGETID"].tolist() == [fibers[k] for k in chosen]
    for name, blank in (("Z", np.nan), ("ZWARN", -1)):
        expected = [blank if k in bad else table[name][place[fibers[k]]] for k in chosen]
        np.testing.assert_array_equal(found[name], np.array(expected, table[name].dtype))
    assert bool(problem) == bool(bad)


def test_what_cannot_be_aligned_is_named():
    big = 2305843037763980289
    ids = np.array([1, big, big + 1, 7, 8])
    table = {"TARGETID": np.array([1, big - 1, 7, 7, 8]), "FLUX": np.ones((5, 2), np.float32), "N": np.arange(5)}
    found, problem = ByTargetid(table, ids, "a[SCORES]").at(np.array([0, 1, 2]))
    assert problem == f"a[SCORES], column TARGETID: {big} is missing (2 of 3 targets)"
    np.testing.assert_array_equal(found["FLUX"], np.array([[1, 1], [np.nan] * 2, [np.nan] * 2], np.float32))
    assert found["N"].tolist() == [0, 0, 0]
    assert "7 is there more than once (1 of 1 targets)" in ByTargetid(table, ids, "x").at(np.array([3]))[1]
    assert ByTargetid(table, ids, "x").at(np.array([4]))[1] == ""  # nobody asks for 7


def test_a_targetid_that_is_there_twice_tells_its_rows_by_their_place_if_the_table_is_the_coadds_own():
    ids = np.array([-110432, 5, -110432])
    table = {"TARGETID": ids.copy(), "TSNR2_LRG": np.array([1.0, 2, 3])}
    found, problem = ByTargetid(table, ids, "SCORES", by_place=True).at(np.array([2, 0]))
    assert (found["TSNR2_LRG"].tolist(), problem) == ([3, 1], "")
    found, problem = ByTargetid(table, ids, "REDSHIFTS").at(np.array([2, 1]))
    np.testing.assert_array_equal(found["TSNR2_LRG"], [np.nan, 2])
    assert "-110432 is there more than once (1 of 2 targets)" in problem
