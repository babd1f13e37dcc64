"""What a coadd or its redrock file lacks costs that alone: all else is what an undamaged archive gives, bit for bit."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits

from range_server import serve
from skyharvest.archive.archive import Archive
from skyharvest.archive.http.patience import Patience
from skyharvest.core.errors import ArchiveUnavailable
from skyharvest.surveys.desi import extract, selection
from skyharvest.surveys.desi.wanted import Positions, Wanted
from small_release import ARMS, coadd_files, edit, near, path_of, simulated, without_column, write

IDS = [40, 30, 20, 10, 70, 60, 50]
DARK = simulated(7, targetid=IDS)
BRIGHT = simulated(3, "bright", seed=2, at=(DARK.sources.ra[:3], DARK.sources.dec[:3]), targetid=[40, 30, 20])
FIBERS = [3, 0, 1]  # of the dark coadd are wanted; 0 and 1 of the bright one
N = len(FIBERS)
QUICK = Patience(tries=2, base_s=0.01, cap_s=0.02, connect_s=2, read_s=2)
PATHS = [path_of(DARK), path_of(BRIGHT)]
COADD, REDROCK = path_of(DARK), path_of(DARK, "redrock")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(selection, "SECOND_READING_S", 0)


def extracted(archive, out):
    """Extract, and return every dataset by its path."""
    ra, dec = np.transpose([near(DARK, fiber, 0.3) for fiber in FIBERS])
    wanted = Wanted(Positions(np.arange(N), ra, dec), record_missing=True)
    with archive:
        extract.extract(archive, coadd_files(PATHS), out, wanted)
    found = {}
    with h5py.File(out) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """The archive without flaws; nobody writes here."""
    root = tmp_path_factory.mktemp("release")
    write(root, DARK)
    write(root, BRIGHT)
    return root


@pytest.fixture(scope="module")
def whole(release, tmp_path_factory):
    return extracted(Archive(str(release)), tmp_path_factory.mktemp("whole") / "x.hdf5")


@pytest.fixture
def own(release, tmp_path):
    """A copy of the release, to be spoilt."""
    return Path(shutil.copytree(release, tmp_path / "own"))


# --- The flaws, each with what it costs ------------------------------------------------------------------------------


def drop(*names):
    return lambda path: edit(path, lambda hdus: [hdus.pop(name) for name in names])


def arm(letter):
    return drop(*(f"{letter}_{kind}" for kind in ("WAVELENGTH", "FLUX", "IVAR", "MASK", "RESOLUTION")))


def rows(table, choose):
    def change(hdus):
        hdus[table].data = choose(hdus[table].data)

    return lambda path: edit(path, change)


def without(targetid):
    return lambda data: data[data["TARGETID"] != targetid]


def other_id(before, after):
    def change(data):
        data["TARGETID"][data["TARGETID"] == before] = after
        return data

    return change


def no_column(table, column):
    return lambda path: edit(path, without_column(table, column))


def as_text(path):
    def change(hdus):
        data = hdus["REDSHIFTS"].data
        columns = [column for column in hdus["REDSHIFTS"].columns if column.name != "Z"]
        text = fits.Column("Z", "8A", array=np.full(len(data), "0.1"))
        hdus["REDSHIFTS"] = fits.BinTableHDU.from_columns([*columns, text], name="REDSHIFTS")

    edit(path, change)


def cut(n):
    return lambda path: path.write_bytes(path.read_bytes()[:-n])


def image(table):
    def change(hdus):
        hdus[table] = fits.ImageHDU(np.zeros((3, 3)), name=table)

    return lambda path: edit(path, change)


ALL = list(range(N))
OWN_COLUMNS = ("Z", "ZERR", "ZWARN", "SPECTYPE", "SUBTYPE", "DELTACHI2")
# What is spoilt, how, which datasets it costs and in which of the dark coadd's rows, files/without and files/beside.
FLAWS = {
    **{f"no arm {x}": (COADD, arm(x), [f"{x.lower()}/"], ALL, f"arm {x.lower()}", "read") for x in "BRZ"},
    "no flux b": (COADD, drop("B_FLUX"), ["b/"], ALL, "arm b", "read"),
    "no mask z": (COADD, drop("Z_MASK"), ["z/"], ALL, "arm z", "read"),
    "two arms": (COADD, lambda path: (arm("B")(path), arm("R")(path)), ["b/", "r/"], ALL, "arm b; arm r", "read"),
    "no resolution": (COADD, drop("R_RESOLUTION"), ["r/resolution"], ALL, "resolution r", "read"),
    **{
        flaw: (REDROCK, spoil, ["redshifts/"], ALL, "redshifts", "unreadable")
        for flaw, spoil in {
            "redrock truncated": lambda path: path.write_bytes(path.read_bytes()[:12_000]),
            "redrock in its header": lambda path: path.write_bytes(path.read_bytes()[:3000]),
            "redrock HTML": lambda path: path.write_text("<!DOCTYPE html><html>503</html>"),
            "redrock empty": lambda path: path.write_bytes(b""),
            "no REDSHIFTS": drop("REDSHIFTS"),
            "REDSHIFTS an image": image("REDSHIFTS"),
            "Z a text": as_text,
            "no redrock TARGETID": no_column("REDSHIFTS", "TARGETID"),
        }.items()
    },
    "redrock torn behind REDSHIFTS": (REDROCK, cut(9_000), [], [], "", "read"),
    "no redrock": (REDROCK, Path.unlink, ["redshifts/"], ALL, "redshifts", "absent"),
    "no ZWARN": (REDROCK, no_column("REDSHIFTS", "ZWARN"), ["redshifts/ZWARN"], ALL, "redshifts", "incomplete"),
    "a wanted redshift": (REDROCK, rows("REDSHIFTS", without(40)), ["redshifts/"], [1], "redshifts", "incomplete"),
    "a wrong TARGETID": (REDROCK, rows("REDSHIFTS", other_id(10, 11)), ["redshifts/"], [0], "redshifts", "incomplete"),
    "a redshift twice": (REDROCK, rows("REDSHIFTS", other_id(20, 30)), ["redshifts/"], [2], "redshifts", "incomplete"),
    "an unwanted redshift": (REDROCK, rows("REDSHIFTS", without(70)), [], [], "", "read"),
    "unwanted twice in redrock": (REDROCK, rows("REDSHIFTS", other_id(70, 60)), [], [], "", "read"),
    "unwanted SCORES": (COADD, rows("SCORES", without(70)), [], [], "", "read"),
    "unwanted SCORES twice": (COADD, rows("SCORES", other_id(70, 60)), [], [], "", "read"),
    "a wanted score": (COADD, rows("SCORES", without(30)), ["scores/"], [2], "scores", "read"),
    "no SCORES TARGETID": (COADD, no_column("SCORES", "TARGETID"), ["scores/"], ALL, "scores", "read"),
    "no SCORES": (COADD, drop("SCORES"), ["scores/"], ALL, "scores", "read"),
    "SCORES an image": (COADD, image("SCORES"), ["scores/"], ALL, "scores", "read"),
    "SCORES torn": (COADD, cut(6_000), ["scores/"], ALL, "scores", "unreadable"),
    "two stuck positioners": (
        COADD,
        rows("FIBERMAP", lambda data: other_id(60, -110432)(other_id(70, -110432)(data))),
        *([], [], "", "read"),
    ),
}  # fmt: skip


def is_blank(name, values):
    kind = name.split("/")[1]
    expected = {"ivar": 0, "mask": 256, "ZWARN": -1}.get(
        kind, np.nan if values.dtype.kind == "f" else values.dtype.type()
    )
    return np.array_equal(values, np.full_like(values, expected), equal_nan=values.dtype.kind == "f")


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_costs_what_it_spoils_and_no_more(own, whole, tmp_path, flaw):
    path, spoil, lost, of_rows, part, beside = FLAWS[flaw]
    spoil(own / path)
    found = extracted(Archive(str(own)), tmp_path / "x.hdf5")
    assert set(found) == set(whole)
    assert found["files/status"].tolist() == [b"read"] * 2
    assert found["files/without"].tolist() == [part.encode(), b""]
    assert found["files/beside"].tolist() == [beside.encode(), b"read"]
    assert bool(found["files/reason"][0]) == bool(part)
    assert str(own).encode() not in found["files/reason"][0]
    arms = " ".join(x for x in ARMS if f"arm {x}" not in part)
    assert found["files/arms"].tolist() == [arms.encode(), b"b r z"]
    assert whole["file"].tolist() == [0] * N + [1, 1]
    for name, values in whole.items():
        if name.startswith("files/"):
            continue
        spoilt = name.startswith(tuple(lost)) and not name.endswith(("TARGETID", "wavelength"))
        good = np.setdiff1d(np.arange(len(values)), of_rows if spoilt else [])
        assert found[name].dtype == values.dtype or values.dtype.kind == "S"
        assert found[name][good].astype(values.dtype).tobytes() == values[good].tobytes(), name
        if spoilt:
            assert is_blank(name, found[name][of_rows]), name


def test_wanted_fibers_that_share_a_targetid_keep_their_spectra(own, whole, tmp_path):
    """Which redshift is whose cannot be told; SCORES go by place."""
    for path, table in ((COADD, "FIBERMAP"), (COADD, "SCORES"), (REDROCK, "REDSHIFTS")):
        rows(table, other_id(40, 30))(own / path)
    found = extracted(Archive(str(own)), tmp_path / "x.hdf5")
    assert found["targetid"][:N].tolist() == [10, 30, 30]
    assert found["files/without"].tolist() == [b"redshifts", b""]
    assert b"30 is there more than once (2 of 3 targets)" in found["files/reason"][0]
    assert found["redshifts/ZWARN"][1:N].tolist() == [-1, -1]
    for name in ("b/flux", "r/ivar", "z/mask", "ra", "scores/TSNR2_LRG", "fibermap/FLUX_G"):
        assert found[name].tobytes() == whole[name].tobytes()
    assert found["redshifts/Z"][0] == whole["redshifts/Z"][0]


def test_a_pixel_whose_coadds_all_lack_an_arm_has_desis_grid_for_it(own, whole, tmp_path):
    for path in PATHS:
        arm("R")(own / path)
    found = extracted(Archive(str(own)), tmp_path / "x.hdf5")
    for name in ("r/wavelength", "b/flux", "z/resolution"):
        assert found[name].tobytes() == whole[name].tobytes()
    for kind in ("flux", "ivar", "mask", "resolution"):
        assert found[f"r/{kind}"].shape == whole[f"r/{kind}"].shape
        assert found[f"r/{kind}"].dtype == whole[f"r/{kind}"].dtype
        assert is_blank(f"r/{kind}", found[f"r/{kind}"])


@pytest.mark.parametrize("flaw", ["no arm Z", "redrock truncated", "a wanted redshift", "SCORES torn"])
def test_what_is_there_on_the_second_reading_is_used(own, release, tmp_path, monkeypatch, flaw):
    path, spoil, *_ = FLAWS[flaw]
    spoil(own / path)
    monkeypatch.setattr(selection.time, "sleep", lambda _: shutil.copy(release / path, own / path))
    extracted(Archive(str(own)), tmp_path / "x.hdf5")
    extracted(Archive(str(release)), tmp_path / "whole.hdf5")
    assert (tmp_path / "x.hdf5").read_bytes() == (tmp_path / "whole.hdf5").read_bytes()


@pytest.mark.parametrize(
    "answer", [(503, b"later", {}), (200, b"<html>busy</html>", {"Content-Type": "text/html"}), (429, b"", {})]
)
@pytest.mark.parametrize("kind", ["coadd-", "redrock-"])
def test_an_archive_that_does_not_answer_is_no_flaw(own, tmp_path, kind, answer):
    arm("Z")(own / COADD)  # found out before redrock is asked for
    with serve(own) as server:

        def busy(handler, _number):
            if f"{kind}main-dark" in handler.path:
                handler.answer(*answer)
                return True
            return False

        server.misbehave = busy
        with pytest.raises(ArchiveUnavailable):
            extracted(Archive(server.url, patience=QUICK), tmp_path / "x.hdf5")
    assert not (tmp_path / "x.hdf5").exists()


# --- Coadds that do not go together ----------------------------------------------------------------------------------


def shift_grid(hdus):
    hdus["Z_WAVELENGTH"].data = hdus["Z_WAVELENGTH"].data.astype(float) + 1e-10


def shorten(hdus):
    for kind in ("WAVELENGTH", "FLUX", "IVAR", "MASK", "RESOLUTION"):
        hdus[f"Z_{kind}"].data = hdus[f"Z_{kind}"].data[..., :-10]


def unsign(hdus):
    table = hdus["FIBERMAP"]
    at = table.columns.names.index("TARGETID")
    columns = [fits.Column(c.name, c.format, bzero=c.bzero, array=table.data[c.name]) for c in table.columns]
    columns[at] = fits.Column("TARGETID", "K", bzero=2**63, array=table.data["TARGETID"].astype("u8"))
    hdus["FIBERMAP"] = fits.BinTableHDU.from_columns(columns, name="FIBERMAP")


@pytest.mark.parametrize("change", [shift_grid, shorten, unsign])
def test_a_coadd_that_nothing_is_wanted_of_spoils_no_other(own, tmp_path, change):
    ra, dec = np.transpose([near(DARK, 6, 0.3)])  # the bright coadd has no fiber there
    wanted = Wanted(Positions(np.arange(1), ra, dec), record_missing=True)
    found = []
    for spoilt in (False, True):
        if spoilt:
            edit(own / PATHS[1], change)
        with Archive(str(own)) as archive:
            extract.extract(archive, coadd_files(PATHS[::-1]), tmp_path / "x.hdf5", wanted)
        with h5py.File(tmp_path / "x.hdf5") as file:
            names = ("targetid", "z/wavelength", "z/flux", "r/ivar", "files/status")
            found.append({name: file[name][:] for name in names})
    for name, values in found[0].items():
        np.testing.assert_array_equal(found[1][name], values)
        assert found[1][name].dtype == values.dtype


def test_the_rounding_of_wavelengths_is_no_difference(own, whole, tmp_path):
    edit(own / PATHS[1], shift_grid)
    found = extracted(Archive(str(own)), tmp_path / "x.hdf5")
    assert found["files/status"].tolist() == [b"read", b"read"]
    np.testing.assert_array_equal(found["z/flux"], whole["z/flux"])


def test_unsigned_targetids_are_the_same_numbers(own, whole, tmp_path):
    edit(own / PATHS[1], unsign)
    found = extracted(Archive(str(own)), tmp_path / "x.hdf5")
    assert found["targetid"].dtype == np.int64
    np.testing.assert_array_equal(found["targetid"], whole["targetid"])
    np.testing.assert_array_equal(found["redshifts/Z"], whole["redshifts/Z"])
