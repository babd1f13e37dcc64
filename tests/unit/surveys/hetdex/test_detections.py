"""HETDEX's raw detections: found without reading the databases, corrected twice, and what is said of the others."""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import fetch_hetdex_detections
from range_server import serve
from skyharvest.archive.archive import Archive
from skyharvest.archive.http.patience import Patience
from skyharvest.core import cli
from skyharvest.core.errors import Absent, ArchiveUnavailable, InputError, MalformedFile
from skyharvest.formats import hdf5
from skyharvest.formats.byte_source import LocalFile
from skyharvest.surveys.hetdex.detections import fetch_detections, read_correction, read_detectids
from skyharvest.surveys.hetdex.release import load_release
from small_detections import DETECTIONS, FACTOR, INDEX, N_WAVE, SPECTRA, Made, random_rows, write_h5

RELEASE = load_release("pdr1")
QUICK = Patience(tries=2, base_s=0.01, cap_s=0.01, connect_s=2, read_s=5)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    return Made(tmp_path_factory.mktemp("pdr1"))


def statuses(outcome) -> dict[int, str]:
    return {detectid: what.status for detectid, what in outcome.items()}


def check_spectra(path: Path, made: Made, ids: list[int]) -> None:
    """Compare a file with what the databases hold, both corrections applied."""
    with h5py.File(path) as file:
        assert file["detectid"][:].tolist() == ids
        raw = np.array([made.spectra[k]["spec1d"] for k in ids], float).reshape(-1, N_WAVE)
        error = np.array([made.spectra[k]["spec1d_err"] for k in ids], float).reshape(-1, N_WAVE)
        np.testing.assert_allclose(file["spectrum_flux"][:], raw / FACTOR / 2, rtol=3e-7)
        np.testing.assert_allclose(file["spectrum_error"][:], error / FACTOR / 2, rtol=3e-7)
        for name in INDEX.names:
            np.testing.assert_array_equal(file[name][:], [made.index[k][name] for k in ids], err_msg=name)
        for name in DETECTIONS.names:
            np.testing.assert_array_equal(
                file["detections"][name][:], [made.details[k][name] for k in ids], err_msg=name
            )


# --- Finding and reading ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["sorted", "runs", "shuffled"])
@pytest.mark.parametrize("layout", ["chunks", "compressed", "contiguous"])
def test_spectra_are_those_of_the_databases_corrected_twice(tmp_path, order, layout):
    options = {"compressed": {"compression": "gzip", "shuffle": True}, "contiguous": {"chunks": None, "maxshape": None}}
    made = Made(tmp_path / "pdr1", 150, order, **options.get(layout, {}))
    ids = made.some(60)
    with Archive(str(made.root)) as archive:
        outcome = fetch_detections(
            archive, RELEASE, [*ids, ids[0]], tmp_path / "out.hdf5", attributes={"archive": "here"}
        )
    assert statuses(outcome) == dict.fromkeys(ids, "read")
    check_spectra(tmp_path / "out.hdf5", made, ids)
    with h5py.File(tmp_path / "out.hdf5") as file:
        np.testing.assert_array_equal(file["spectrum_lambda"][:], 3470 + 2.0 * np.arange(N_WAVE))
        assert file["spectrum_flux"].dtype == np.float32
        assert file["spectrum_flux"].attrs["unit"] == "10**-17 erg/(s cm2 Angstrom)"
        is_line = np.array([made.index[k]["det_type"] == b"line" for k in ids])
        assert is_line.any() and not is_line.all()
        assert np.isnan(file["detections/sn_cen"][:][~is_line]).all()  # continuum sources have no such column
        assert np.isfinite(file["detections/sn_cen"][:][is_line]).all()
        assert set(file["detections/expnum"][:][~is_line]) == {hdf5.NULL_INTEGER}
        assert set(file["detections/inputid"][:][~is_line]) == {b""}
        assert file.attrs["archive"] == "here"


def test_what_is_unknown_or_has_no_spectrum_is_said_and_the_rest_is_there(made, tmp_path):
    without = sorted(set(made.index) - set(made.spectra))[:5]
    gaps = sorted(set(range(3_000_000_000, 3_000_000_400)) - set(made.index))[:5]
    far = [1_000_000_000, 3_050_000_000, 9_999_999_999]
    good = made.some(7)
    with Archive(str(made.root)) as archive:
        outcome = fetch_detections(archive, RELEASE, [*far, *good, *gaps, *without], tmp_path / "out.hdf5")
    expected = (
        dict.fromkeys([*far, *gaps], "unknown") | dict.fromkeys(good, "read") | dict.fromkeys(without, "no_spectrum")
    )
    assert statuses(outcome) == expected
    check_spectra(tmp_path / "out.hdf5", made, good)
    with h5py.File(tmp_path / "out.hdf5") as file:
        asked = dict(zip(file["requested/detectid"][:].tolist(), file["requested/status"].asstr()[:], strict=True))
        assert asked == expected
        reasons = dict(zip(file["requested/detectid"][:].tolist(), file["requested/reason"].asstr()[:], strict=True))
    assert reasons[far[0]] == "not in the index"
    assert reasons[without[0]] == "not found in /Spectra of detect/detect_hdr3.h5"
    assert reasons[good[0]] == ""


def test_nothing_found_makes_a_file_without_rows(made, tmp_path):
    with Archive(str(made.root)) as archive:
        for ids in ([], [1_234_567_890]):
            fetch_detections(archive, RELEASE, ids, tmp_path / "out.hdf5")
            with h5py.File(tmp_path / "out.hdf5") as file:
                assert file["spectrum_flux"].shape == (0, N_WAVE)
                assert file["requested/detectid"][:].tolist() == ids


def write_large_index(root: Path, order: str) -> np.ndarray:
    """Write an index of 30,000 lines of a database that is not there, and return its detectids in order."""
    rng = np.random.default_rng(5)
    steps = np.where(rng.uniform(size=30_000) < 0.01, rng.integers(1, 40_000, 30_000), 1)
    rows = random_rows(INDEX, 3_000_000_000 + np.cumsum(steps), rng)
    rows["det_type"], rows["survey"] = b"line", b"hdr9"
    ids = rows["detectid"].copy()
    if order == "runs":  # the second third last, but for one
        rows = rows[np.r_[0:10_000, 20_000:29_999, 10_000:20_000, 29_999]]
    if order == "shuffled":
        rows = rng.permutation(rows)
    write_h5(root / "detect/detect_index_hdr5.h5", {"DetectIndex": rows})
    (root / "detect/wdcor.txt").write_text("1 1\n" * N_WAVE)
    return ids


def test_detectids_with_gaps_of_all_sizes_are_found_without_reading_the_index(tmp_path):
    """With nothing read as a whole, every id of a sorted index is found, and no other."""
    ids = write_large_index(tmp_path, "sorted")
    known = ids[np.r_[0, 29_999, np.random.default_rng(6).integers(0, 30_000, 50)]].tolist()
    near = np.setdiff1d(np.array(known) + 1, ids).tolist()
    with serve(tmp_path) as server, Archive(server.url, patience=QUICK) as archive:
        outcome = fetch_detections(archive, RELEASE, known + near, tmp_path / "out.hdf5", scan_limit=0)
        assert server.sent < 0.8 * (tmp_path / "detect/detect_index_hdr5.h5").stat().st_size
    assert near
    assert statuses(outcome) == dict.fromkeys(known, "absent") | dict.fromkeys(near, "unknown")
    assert outcome[near[0]].reason == "not found in the index, which is too large to scan"
    assert "detect_hdr9.h5 does not exist" in outcome[known[0]].reason


@pytest.mark.parametrize("order", ["runs", "shuffled"])
def test_an_index_without_order_is_read_as_a_whole_or_soon_given_up(tmp_path, order):
    ids = write_large_index(tmp_path, order)
    wanted = ids[10_000:20_000:100].tolist()
    with serve(tmp_path) as server, Archive(server.url, patience=QUICK) as archive:
        outcome = fetch_detections(archive, RELEASE, wanted, tmp_path / "out.hdf5", scan_limit=0)
        assert set(statuses(outcome).values()) <= {"absent", "unknown"}
        assert server.count("/detect/detect_index_hdr5.h5") < 15
        outcome = fetch_detections(archive, RELEASE, wanted, tmp_path / "out.hdf5")
        assert set(statuses(outcome).values()) == {"absent"}


@pytest.mark.parametrize("ranges", ["multi", "none"])
def test_over_http_little_more_than_the_wanted_rows_is_moved(made, tmp_path, ranges):
    ids = made.some(3, seed=8)
    size = sum(path.stat().st_size for path in (made.root / "detect").iterdir())
    with serve(made.root) as server, Archive(server.url, connections=4) as archive:
        server.ranges = ranges
        outcome = fetch_detections(archive, RELEASE, ids, tmp_path / "out.hdf5")
        assert size > 24_000_000
        if ranges == "multi":
            assert server.sent < 0.03 * size
            assert len(server.requests) < 80
    assert statuses(outcome) == dict.fromkeys(ids, "read")
    check_spectra(tmp_path / "out.hdf5", made, ids)


# --- What is wrong ---------------------------------------------------------------------------------------------------

HTML = b"<!DOCTYPE html><html><body>503</body></html>"


def lacking(*columns: str):
    def spoil(path: Path) -> None:
        with h5py.File(path) as file:
            tables = {name: file[name][:] for name in file}
        rows = tables["Spectra"]
        tables["Spectra"] = rows[[name for name in rows.dtype.names if name not in columns]].copy()
        write_h5(path, tables)

    return spoil


def other_shape(path: Path) -> None:
    with h5py.File(path) as file:
        tables = {name: file[name][:] for name in file}
    dtype = [(name, "f4", (1000,)) if name == "spec1d" else (name, SPECTRA[name]) for name in SPECTRA.names]
    tables["Spectra"] = np.zeros(5, dtype)
    write_h5(path, tables)


def no_table(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["Spectra"]


def renumbered(path: Path) -> None:
    with h5py.File(path, "a") as file:
        rows = file["Spectra"][:]
        file["Spectra"][:] = rows[::-1]


SPOILT = {
    "HTML": (lambda path: path.write_bytes(HTML), "not a readable HDF5 file"),
    "empty": (lambda path: path.write_bytes(b""), "not a readable HDF5 file"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:200_000]), "not a readable HDF5 file"),
    "no spectra": (no_table, r"/Spectra\]: no such table; found Detections"),
    "no column": (lacking("spec1d"), "column spec1d is missing; found detectid, wave1d"),
    "no detectid": (lacking("detectid"), "column detectid is missing"),
    "shape": (other_shape, r"column spec1d is of shape \(1000,\), not \(1036,\)"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_database_that_is_none_is_recorded_and_the_others_are_read(tmp_path, case):
    spoil, message = SPOILT[case]
    made = Made(tmp_path / "pdr1", 60)
    ids = made.some(30)
    spoil(made.path(("line", "hdr3")))
    spoilt = [k for k in ids if k < 3_090_000_000]
    with Archive(str(made.root)) as archive:
        outcome = fetch_detections(archive, RELEASE, ids, tmp_path / "out.hdf5")
    assert statuses(outcome) == {k: "unreadable" if k in spoilt else "read" for k in ids}
    check_spectra(tmp_path / "out.hdf5", made, [k for k in ids if k not in spoilt])
    assert re.search(message, outcome[spoilt[0]].reason), outcome[spoilt[0]].reason
    assert "detect_hdr3.h5" in outcome[spoilt[0]].reason


def test_spectra_in_another_order_are_found_by_their_own_detectids(tmp_path):
    made = Made(tmp_path / "pdr1", 60)
    renumbered(made.path(("line", "hdr3")))
    ids = made.some(30)
    with Archive(str(made.root)) as archive:
        fetch_detections(archive, RELEASE, ids, tmp_path / "out.hdf5")
    check_spectra(tmp_path / "out.hdf5", made, ids)


def test_an_index_row_that_leads_nowhere_is_recorded(tmp_path):
    made = Made(tmp_path / "pdr1", 60)
    path = made.root / "detect/detect_index_hdr5.h5"
    ids = made.some(6)
    with h5py.File(path, "a") as file:
        rows = file["DetectIndex"][:]
        rows["det_type"][rows["detectid"] == ids[0]] = b"none"
        rows["survey"][rows["detectid"] == ids[1]] = b"../x"
        rows["survey"][rows["detectid"] == ids[2]] = b"hdr2"
        file["DetectIndex"][:] = rows
    with Archive(str(made.root)) as archive:
        outcome = fetch_detections(archive, RELEASE, ids, tmp_path / "out.hdf5")
    assert list(statuses(outcome).values()) == ["unreadable", "unreadable", "absent", "read", "read", "read"]
    assert (
        outcome[ids[0]].reason
        == f"the index says det_type b'none', survey {bytes(rows['survey'][rows['detectid'] == ids[0]][0])!r}"
    )


@pytest.mark.parametrize("path", ["detect_index_hdr5.h5", "detect_hdr3.h5"])
@pytest.mark.parametrize("answers", [0, 3])
def test_a_server_that_fails_meanwhile_is_no_result(made, tmp_path, path, answers):
    ids = [k for k in made.some(20) if k < 3_090_000_000]
    with serve(made.root) as server, Archive(server.url, patience=QUICK) as archive:
        server.misbehave = lambda handler, n: (
            handler.path.endswith(path) and n > answers and handler.answer(503, b"") is None
        )
        with pytest.raises(ArchiveUnavailable, match=path):
            fetch_detections(archive, RELEASE, ids, tmp_path / "out.hdf5")
    assert list(tmp_path.iterdir()) == []


def test_whatever_read_fails_the_archives_error_is_told(tmp_path, monkeypatch):
    made = Made(tmp_path / "pdr1", 60, compression="gzip")
    ids = made.some(5)
    reads, first_bad = 0, 10**9
    read = LocalFile._read

    def failing(file, ranges):
        nonlocal reads
        reads += 1
        if reads >= first_bad:
            raise ArchiveUnavailable("down")
        return read(file, ranges)

    monkeypatch.setattr(LocalFile, "_read", failing)
    with Archive(str(made.root)) as archive:
        fetch_detections(archive, RELEASE, ids, tmp_path / "out.hdf5")
        for k in range(1, reads + 1):
            reads, first_bad = 0, k
            with pytest.raises(ArchiveUnavailable, match=r"^down$"):
                fetch_detections(archive, RELEASE, ids, tmp_path / "none.hdf5")
    assert not (tmp_path / "none.hdf5").exists()


def test_an_error_that_is_kept_does_not_bring_the_process_down(made):
    """HDF5 frees what is still open after Python has ended, and calls it for a file that Python reads."""
    program = """
import sys
from pathlib import Path
from skyharvest.archive.archive import Archive
from skyharvest.core.errors import HarvestError
from skyharvest.surveys.hetdex.detections import fetch_detections
from skyharvest.surveys.hetdex.release import load_release
try:
    fetch_detections(Archive(sys.argv[1]), load_release("pdr1"), [3000000000], Path("none.hdf5"))
except HarvestError as error:
    kept = error
    print("kept")
"""
    with serve(made.root) as server:
        server.misbehave = lambda handler, number: number > 1 and handler.answer(403, b"") is None
        scripts = str(Path(fetch_hetdex_detections.__file__).parent)
        done = subprocess.run(
            [sys.executable, "-c", program, server.url],
            env=os.environ | {"PYTHONPATH": scripts},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout) == (0, "kept\n"), done.stderr


def test_an_index_that_is_not_there_or_none_is_an_error(tmp_path):
    made = Made(tmp_path / "pdr1", 60)
    path = made.root / "detect/detect_index_hdr5.h5"
    path.write_bytes(HTML)
    with Archive(str(made.root)) as archive:
        with pytest.raises(MalformedFile, match=r"detect_index_hdr5\.h5: not a readable HDF5 file"):
            fetch_detections(archive, RELEASE, [3_000_000_000], tmp_path / "out.hdf5")
        path.unlink()
        with pytest.raises(Absent, match=r"detect_index_hdr5\.h5 does not exist"):
            fetch_detections(archive, RELEASE, [3_000_000_000], tmp_path / "out.hdf5")


CORRECTIONS = {
    "short": ("1 1\n" * 1035, "1035 lines, expected 1036"),
    "long": ("1 1\n" * 1037, "1037 lines, expected 1036"),
    "one column": ("1\n" * 1036, "expected numbers in two columns"),
    "words": ("a b\n" * 1036, "expected numbers in two columns"),
    "HTML": (HTML.decode(), "expected numbers in two columns"),
    "empty": ("", "0 lines, expected 1036"),
}


@pytest.mark.parametrize("case", CORRECTIONS)
def test_a_correction_that_is_none_is_an_error(tmp_path, case):
    text, message = CORRECTIONS[case]
    (tmp_path / "wdcor.txt").write_text(text)
    with Archive(str(tmp_path)) as archive, pytest.raises(MalformedFile, match=message):
        read_correction(archive, "wdcor.txt")


def test_factors_that_nothing_can_be_divided_by_make_nan(tmp_path, caplog):
    lines = ["# wavelength factor", *(f"  {k}  1.5  7" for k in range(1033)), "1 0", "1 nan", "1 -1.5", ""]
    (tmp_path / "wdcor.txt").write_text("\n".join(lines))
    with Archive(str(tmp_path)) as archive, caplog.at_level(logging.WARNING):
        factor = read_correction(archive, "wdcor.txt")
    assert np.isnan(factor[-3:]).all() and (factor[:-3] == 1.5).all()
    assert "3 values are no factors" in caplog.text


# --- Lists of detectids, and the program -----------------------------------------------------------------------------


def test_detectids_are_read_from_what_people_have(tmp_path, caplog):
    path = tmp_path / "ids"
    ids = [3_002_665_003, 5_090_068_724, 3_000_000_000]
    texts = ["3002665003\n5090068724\r\n\n3002665003\n3000000000", "detectid\n3002665003\n5090068724\n3000000000\n"]
    texts.append("\ufeffname,detectid,z\na,3002665003,1\nb,,2\nc, 5090068724 ,3\nd\ne,3000000000,5\n")
    for text in texts:
        path.write_text(text, encoding="utf-8")
        assert read_detectids(path) == ids
    assert not caplog.messages
    path.write_text("2019010301783700\n3002665003\n20190103017837003\n")  # of a reduction, and one digit too many
    assert read_detectids(path) == [2_019_010_301_783_700, 3_002_665_003]
    caplog.clear()
    path.write_text("x,y\n1,3002665003\n")
    assert read_detectids(path, "y") == [3_002_665_003]
    with pytest.raises(InputError, match="has no column 'detectid'; it has x, y"):
        read_detectids(path)
    with h5py.File(path, "w") as file:
        file["detectid"] = np.array([-999, *ids])
        file["more/other"] = np.zeros(0, int)
    with caplog.at_level(logging.WARNING):
        assert read_detectids(path) == ids
    assert "1 of 4 are no detectid (ten or sixteen digits), such as '-999': left out" in caplog.text
    assert read_detectids(path, "more/other") == []
    with pytest.raises(InputError, match="has no dataset 'x'; it has detectid, more"):
        read_detectids(path, "x")
    path.write_text("30026650033\n3.0e9\n٣٠٠٢٦٦٥٠٠٣\n", encoding="utf-8")
    with pytest.raises(
        InputError, match="no detectid in it, expected numbers of ten or sixteen digits, found such as '30026650033'"
    ):
        read_detectids(path)


def test_the_program_reads_and_counts(made, tmp_path, caplog, monkeypatch):
    ids = made.some(5)
    (tmp_path / "ids.txt").write_text("\n".join(map(str, [*ids, 1_234_567_890])))
    out = tmp_path / "hetdex" / "detections.hdf5"
    command = ["--archive", str(made.root), "--detectids", str(tmp_path / "ids.txt"), "--out", str(out)]
    with caplog.at_level(logging.INFO):
        assert cli.run(fetch_hetdex_detections.main, fetch_hetdex_detections.build_parser(), command) == 0
    assert "6 detectids: 5 read, 1 unknown" in caplog.text
    check_spectra(out, made, ids)
    monkeypatch.setenv("SKYHARVEST_PATIENCE", "tries=1 base_s=0.01")
    before = out.read_bytes()
    with serve(made.root) as server:
        server.misbehave = lambda handler, _: handler.answer(503, b"") is None
        command[1] = server.url
        assert (
            cli.run(fetch_hetdex_detections.main, fetch_hetdex_detections.build_parser(), command) == cli.EXIT_TRY_AGAIN
        )
    assert out.read_bytes() == before
