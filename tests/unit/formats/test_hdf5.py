"""HDF5 files that are torn, changed, or have no room."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skyharvest.core.errors import MalformedFile
from skyharvest.formats import hdf5

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"


@pytest.fixture(scope="module")
def sealed(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sealed") / "x.hdf5"
    with hdf5.create(path, sealed=True) as file:
        hdf5.write_column(file, "zeros", np.zeros(300))
        hdf5.write_column(file, "row", np.arange(1000))
        hdf5.write_column(file, "name", np.array(["a", "ü"]))
    return path


def test_a_sealed_file_is_one_that_every_hdf5_reads(sealed, tmp_path):
    with h5py.File(sealed) as file:
        assert file["row"][999] == 999
    with hdf5.reading(sealed, check=True) as file:
        assert file["name"].asstr()[:].tolist() == ["a", "ü"]
    again = tmp_path / "y.hdf5"
    with h5py.File(sealed) as old, hdf5.create(again, sealed=True) as new:
        for name in ("zeros", "row"):
            hdf5.write_column(new, name, old[name][:])
        hdf5.write_column(new, "name", np.array(["a", "ü"]))
    assert again.read_bytes() == sealed.read_bytes()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_sealed_file_that_has_changed_is_not_read(sealed, tmp_path, data):
    """By any byte; or a page of zeros; or cut."""
    content = bytearray(sealed.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    how = data.draw(st.sampled_from(["flip", "zeros", "cut"]))
    if how == "flip":
        content[at] ^= data.draw(st.integers(1, 255))
    elif how == "zeros":
        content[at : at + 512] = bytes(len(content[at : at + 512]))
    else:
        del content[at:]
    path = tmp_path / "spoilt.hdf5"
    path.write_bytes(bytes(content))
    if content == sealed.read_bytes():
        return
    with pytest.raises(MalformedFile, match=r"spoilt\.hdf5 is not .*: remove it"), hdf5.reading(path, check=True):
        pass


def test_a_file_without_a_seal_is_taken_as_it_is(tmp_path):
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file["row"] = [1]
    with hdf5.reading(tmp_path / "x.hdf5", check=True) as file:
        assert file["row"][:].tolist() == [1]


def test_an_error_in_the_block_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), hdf5.create(tmp_path / "x.hdf5", sealed=True) as file:
        file["row"] = [1]
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


SPECTRA = """
        for k in range({n}):
            spectra = hdf5_spectra.spectra_dataset(file, f"flux{{k}}", 20, (1000,), "f4", compressed={compressed})
            hdf5_spectra.write_rows(spectra, slice(None), np.random.default_rng(k).random((20, 1000)))
"""
COLUMNS = """
        for k in range(40):
            store.write_column(file, f"c{k}", np.array([f"text {k}"] * 5, object))
"""


@pytest.mark.parametrize(
    ("size", "block"),
    [
        *[("1m", SPECTRA.format(n=n, compressed=compressed)) for n in (15, 40) for compressed in (True, False)],
        ("16k", COLUMNS),  # it is not the data that find no room, but what HDF5 writes about them at the end
    ],
)
def test_no_room_is_the_systems_error_and_no_crash(tmp_path, size, block):
    """On a small disk: HDF5 crashes if it cannot write its rest, or passes over it."""
    code = f"""
import sys
sys.path.insert(0, {str(SCRIPTS)!r})
import numpy as np
from skyharvest.core import cli
from skyharvest.formats import hdf5 as store, hdf5_spectra
def main(options):
    with store.create("small/x.hdf5", sealed=True) as file:
{block}
sys.exit(cli.run(main, cli.parser(""), []))
"""
    (tmp_path / "small").mkdir()
    mount = f"mount -t tmpfs -o size={size} tmpfs small || exit 99"
    script = f'{mount}; "$0" -c "$1"; status=$?; find small -type f; exit $status'
    enter = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    try:
        done = subprocess.run(
            [*enter, "sh", "-c", script, sys.executable, code],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("mounting a small disk is not permitted here")
    assert done.returncode == 1, done
    assert "ignored" not in done.stderr
    assert done.stderr.splitlines()[-1] == "error: [Errno 28] No space left on device: 'small/x.hdf5'"
    assert done.stdout == ""


TABLE = {
    "a": np.arange(3, dtype=">i4"),
    "b": np.array([1.5, np.nan, 2.0]),
    "text": np.array(["x", "ü", ""], object),
    "fixed": np.array([b"abc", b"d", b""]),
    "empty": np.array([b"", b"", b""], "S0"),
    "flag": np.array([True, False, True]),
    "many": np.ones((3, 2, 4), np.float32),
    "u": np.array(["ab", "c", "d"]),
    "x/y": np.arange(3),
}


def test_what_was_just_written_is_as_if_it_had_been_read(tmp_path, monkeypatch):
    with hdf5.create(tmp_path / "x.hdf5", sealed=True) as file:
        hdf5.write_table(file.create_group("t"), TABLE, {"b": "deg", "x/y": "s"})
        hdf5.write_table(file.create_group("none"), {"a": np.zeros(0), "t": np.array([], object)})
    with hdf5.reading(tmp_path / "x.hdf5", check=True) as file:
        for name in ("t", "none"):
            at_once, units, of_read = {}, {}, {}
            at_once = hdf5.read_group(file, name, units=units)
            read = hdf5.read_table(file[name], units=of_read)
            assert units == of_read
            assert set(at_once) == set(read)
            for column, values in read.items():
                assert at_once[column].dtype == values.dtype, column
                np.testing.assert_array_equal(at_once[column], values)
        monkeypatch.setattr(hdf5, "read_table", lambda *_args, **_how: pytest.fail("it was read"))
        hdf5.read_group(file, "t")


def test_another_file_in_its_place_is_read_and_checked(tmp_path):
    for number in (1, 2):
        with hdf5.create(tmp_path / f"{number}.hdf5", sealed=True) as file:
            hdf5.write_table(file.create_group("t"), {"a": np.full(3, number)})
    spoilt = bytearray((tmp_path / "2.hdf5").read_bytes())
    (tmp_path / "2.hdf5").replace(tmp_path / "1.hdf5")
    with hdf5.reading(tmp_path / "1.hdf5", check=True) as file:
        assert hdf5.read_group(file, "t")["a"].tolist() == [2, 2, 2]
    (tmp_path / "3.hdf5").write_bytes(bytes(spoilt))
    with hdf5.reading(tmp_path / "3.hdf5", check=True) as file:
        assert hdf5.read_group(file, "t")["a"].tolist() == [2, 2, 2]
    spoilt[-10] ^= 1
    (tmp_path / "1.hdf5").write_bytes(bytes(spoilt))
    with (
        pytest.raises(MalformedFile, match=r"1\.hdf5 is not .*: remove it"),
        hdf5.reading(tmp_path / "1.hdf5", check=True),
    ):
        pass
