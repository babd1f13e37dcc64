"""TARGETIDs as programs round them, told from those that are whole."""

import logging

import numpy as np
import pytest

from skyharvest.targets.table import read_targets, summary
from skyharvest.targets.targetids import steps, warning

TRUE = 39628473202710000 + np.random.default_rng(1).integers(0, 10**6, 400)


def excel(ids):
    return ids // 100 * 100


def floats(ids):
    return ids.astype(float).astype(np.int64)


def shortest(ids):
    """As JavaScript and repr write a float64: the fewest digits that give it back, filled up with zeros."""
    return np.array([int(np.format_float_positional(float(each), unique=True, trim="-")) for each in ids.tolist()])


def write_csv(path, ids):
    path.write_text("RA_DESI,DEC_DESI,TARGETID\n" + "".join(f"{10 + k / 100},5,{each}\n" for k, each in enumerate(ids)))
    return path


@pytest.mark.parametrize("how", [excel, floats, shortest])
@pytest.mark.parametrize("n", [6, 400])
def test_a_column_of_rounded_targetids_is_told_when_it_is_read(tmp_path, caplog, how, n):
    ids = how(TRUE[:n])
    csv = write_csv(tmp_path / "t.csv", [*ids.tolist(), *ids.tolist(), 2305])  # small ones say nothing
    with caplog.at_level(logging.WARNING):
        targets = read_targets(csv, targetid="TARGETID")
    (said,) = caplog.messages
    assert f"{csv}: column TARGETID: all {len(np.unique(ids))} TARGETIDs above 2**53 look rounded" in said
    assert "read that column as text or int64" in said
    assert targets.table.num_rows == 2 * n + 1  # as they are
    assert targets.remarks[0] in summary(targets, tmp_path).splitlines()


@pytest.mark.parametrize(
    "ids",
    [
        TRUE,
        TRUE[:1],
        floats(TRUE)[:5],
        [*floats(TRUE).tolist(), 39628473202710581],
        floats(TRUE)[:1].tolist() * 50,
        range(1000, 1100),  # of another survey, and small
        [2**63 - 1, 2**53 + 1, 0, 2**62 + 3, 2**60 - 1, 5, 7],
    ],
    ids=["whole", "one", "five", "but one", "the same again", "small", "extreme"],
)
def test_whole_targetids_and_few_are_not_doubted(tmp_path, caplog, ids):
    with caplog.at_level(logging.WARNING):
        targets = read_targets(write_csv(tmp_path / "t.csv", ids), targetid="TARGETID")
    assert (caplog.messages, targets.remarks) == ([], [])
    assert "rounded" not in summary(targets, tmp_path)


def test_without_a_column_of_targetids_nothing_is_asked(tmp_path):
    assert read_targets(write_csv(tmp_path / "t.csv", floats(TRUE))).remarks == []


@pytest.mark.parametrize(
    ("targetid", "step"),
    [
        *((39628473202710581, 1), (39628473202710584, 8), (39628473202710580, 10), (39628473202710500, 100)),
        *((2**53, 1), (2**53 + 1, 1), (2**53 + 2, 2), (2**54 + 4, 4), (2**62, 1024), (2**63 - 1, 1), (8000, 1), (0, 1)),
    ],
)
def test_the_step_is_that_of_float64_or_a_power_of_ten(targetid, step):
    assert steps(np.array([targetid])).tolist() == [step]
    assert warning(np.array([targetid])) == ""
