"""What all surveys' extracted files share."""

import h5py
import numpy as np
import pytest

from skyharvest.core.errors import MalformedFile
from skyharvest.harvest.extracted import Files, is_made, lines_of, listed, read_files, write_files

BRICK, NEIGHBOUR = ("legacysurvey", "brick"), ("legacysurvey", "neighbour")
FILES = Files(
    path=["a", "b", "c", "d"],
    kind=[BRICK, BRICK, NEIGHBOUR, NEIGHBOUR],
    status=["absent", "unreadable", "read", "absent"],
    reason=["not in the archive", "torn", "", "not in the archive"],
    beside=["", "unreadable", "read", "absent"],
    n_searched=[7, 7, 7, 7],
    without=["", "", "arm z; scores", ""],
)


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        write_files(file, FILES, {"band": np.array(["g", "r", "g", "r"], object)})
        file["row"], file["file"] = [5, 5, 3], np.array([2, 2, 0], np.int32)
        file["targets/n_spectra"] = [2, 1, 0]
        file.attrs["request"] = "abc"
    return tmp_path / "x.hdf5"


def test_files_are_read_as_they_were_written(path):
    with h5py.File(path) as file:
        assert read_files(file) == FILES
        assert file["files/band"].asstr()[:].tolist() == ["g", "r", "g", "r"]


def test_a_kind_has_the_best_status_of_its_own_files_alone(path):
    """That a neighbour was read does not make the brick read."""
    with h5py.File(path) as file:
        lines = lines_of(file, "south_0100p050")
    assert {kind: (line.status, line.rows, line.n_spectra, line.n_searched) for kind, line in lines.items()} == {
        BRICK: ("unreadable", (3,), 1, 7),
        NEIGHBOUR: ("read", (5,), 2, 7),
    }
    with h5py.File(path, "r+") as file:
        file["kept"] = [True, False, False]
        lines = lines_of(file, "south_0100p050")
    assert {kind: (line.rows, line.rows_empty, line.n_spectra) for kind, line in lines.items()} == {
        BRICK: ((), (3,), 0),
        NEIGHBOUR: ((5,), (5,), 1),
    }
    assert lines[BRICK].message == "not in the archive"
    assert {(line.unit, line.survey, line.program) for line in lines.values()} == {
        ("south_0100p050", *kind) for kind in (BRICK, NEIGHBOUR)
    }


def test_the_list_counts_every_file_and_what_is_beside_it(path):
    assert listed("u", path) == ("u", 3, 1, 2, 1, 1, 1, "abc")


def test_a_file_is_kept_if_it_is_of_the_request_and_nothing_of_it_is_to_be_read_again(path):
    assert is_made(path, "abc", ())
    assert not is_made(path, "other", ())
    assert not is_made(path, "abc", ("unreadable",))
    with h5py.File(path, "r+") as file:
        file["files/status"][:] = b"read"
    assert not is_made(path, "abc", ("unreadable",)), "what is beside it counts, too"
    with h5py.File(path, "r+") as file:
        file["files/beside"][1] = b"incomplete"
    assert is_made(path, "abc", ("unreadable",))
    assert not is_made(path, "abc", ("absent",)), "what is beside it counts, too"


def test_a_file_of_an_earlier_version_says_what_to_do(path):
    with h5py.File(path, "r+") as file:
        file.move("files", "coadds")
        with pytest.raises(MalformedFile, match=r"x\.hdf5 is of an earlier version: remove it"):
            read_files(file)
    assert not is_made(path, "abc", ())
