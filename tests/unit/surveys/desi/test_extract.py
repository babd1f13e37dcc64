"""Extracted rows against astropy's reading of the coadds, over every transport; and what becomes of bad files."""

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

import extract_desi_coadd
from range_server import serve
from skyharvest.archive.archive import Archive
from skyharvest.archive.download import downloaded
from skyharvest.archive.http.patience import Patience
from skyharvest.core import cli
from skyharvest.core.errors import Absent, ArchiveUnavailable, InputError, MalformedFile
from skyharvest.surveys.desi import extract, selection
from skyharvest.surveys.desi.batch import files_of
from skyharvest.surveys.desi.coadd import Coadd
from skyharvest.surveys.desi.wanted import Positions, Wanted
from small_release import ARCSEC, ARMS, RELEASE, coadd_files, edit, near, path_of, simulated, without_column, write

ROOT = Path(__file__).resolve().parents[4]
PIX = 27247
QUICK = Patience(tries=2, base_s=0.01, cap_s=0.02, connect_s=2, read_s=2)
DARK = simulated(5)
SHARED = DARK.sources.take([3])  # one object of the dark coadd is in the bright one, too
BRIGHT = simulated(
    4,
    "bright",
    seed=2,
    at=(
        [*SHARED.ra, *np.linspace(149.45, 149.55, 3)],
        [*SHARED.dec, *np.linspace(1.95, 1.97, 3)],
    ),
    targetid=[*SHARED.targetid.tolist(), 77, 39627_000_000_000_003, 5],
)
ABSENT = RELEASE.coadd("main", "backup", PIX)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """The dark and the bright coadd of a pixel; nobody writes here."""
    root = tmp_path_factory.mktemp("release")
    write(root, DARK, mask_dtype=np.uint32)
    write(root, BRIGHT, mask_dtype=np.int32, extra_columns={"NEW": np.ones((4, 2), np.float32)})
    return root


@pytest.fixture
def own(release, tmp_path):
    """A copy of the release, to be spoilt."""
    return Path(shutil.copytree(release, tmp_path / "own"))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(selection, "SECOND_READING_S", 0)


def positions(places, rows=None, targetid=None):
    ra, dec = np.array(places, float).reshape(-1, 2).T
    return Positions(np.arange(len(ra)) if rows is None else np.array(rows), ra, dec, targetid)


def matching(coadd, fibers, arcsec=0.3):
    return positions([near(coadd, fiber, arcsec) for fiber in fibers])


def run(root, coadds, out, targets=None, **how):
    """Extract, and return every dataset by its path."""
    archive = root if isinstance(root, Archive) else Archive(str(root))
    with archive:
        extract.extract(archive, coadd_files(coadds), out, Wanted(targets, **how))
    return contents(out)


def contents(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def same_bits(ours, theirs):
    return ours.dtype == theirs.dtype.newbyteorder("=") and ours.tobytes() == theirs.astype(ours.dtype).tobytes()


def texts(values):
    return [value.decode() for value in values]


# --- What is extracted -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coadd", [DARK, BRIGHT], ids=["uint32", "int32"])
def test_matched_rows_are_the_coadds_bit_for_bit(release, tmp_path, coadd):
    fibers = [3, 0, 2]
    found = run(release, [path_of(coadd)], tmp_path / "out.hdf5", matching(coadd, fibers))
    with fits.open(release / path_of(coadd)) as expected:
        for arm in ARMS:
            assert same_bits(found[f"{arm}/wavelength"], expected[f"{arm}_wavelength"].data)
            for kind in ("flux", "ivar", "mask", "resolution"):
                assert same_bits(found[f"{arm}/{kind}"], expected[f"{arm}_{kind}"].data[fibers]), (arm, kind)
        for name, hdu in (("fibermap", "FIBERMAP"), ("scores", "SCORES")):
            table = expected[hdu].data[fibers]
            assert {key.split("/")[1] for key in found if key.startswith(f"{name}/")} == set(table.names)
            for column in table.names:
                values = found[f"{name}/{column}"]
                if values.dtype.kind == "S":
                    assert values.tolist() == [text.encode() for text in table[column]]
                else:
                    assert same_bits(values, table[column]), column
    with fits.open(release / path_of(coadd, "redrock")) as expected:
        table = expected["REDSHIFTS"].data
        order = [table["TARGETID"].tolist().index(k) for k in coadd.sources.targetid[fibers]]
        assert order != fibers
        for column in ("TARGETID", "Z", "ZERR", "ZWARN", "DELTACHI2", "CHI2", "COEFF"):
            assert same_bits(found[f"redshifts/{column}"], table[column][order])
        assert texts(found["redshifts/SPECTYPE"]) == table["SPECTYPE"][order].tolist()
    assert found["targetid"].tolist() == coadd.sources.targetid[fibers].tolist()
    assert np.array_equal(found["ra"], coadd.sources.ra[fibers])
    assert np.array_equal(found["dec"], coadd.sources.dec[fibers])
    np.testing.assert_allclose(found["separation_arcsec"], 0.3, atol=1e-6)
    assert found["row"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(found["redshifts/Z"], coadd.sources.z[fibers], atol=1e-4)


def test_several_coadds_are_in_order_and_what_one_lacks_is_filled(release, tmp_path):
    # Row 40 is the object that both coadds have, rows 20 and 30 are in one of them each.
    targets = positions([near(DARK, 1, 0.2), near(BRIGHT, 2, 0.5), near(DARK, 3, 0.4)], rows=[20, 30, 40])
    paths = [path_of(DARK), ABSENT, path_of(BRIGHT)]
    found = run(release, paths, tmp_path / "out.hdf5", targets, record_missing=True)
    assert found["file"].tolist() == [0, 0, 2, 2]
    assert found["row"].tolist() == [20, 40, 30, 40]
    ids = DARK.sources.targetid[[1, 3]].tolist() + BRIGHT.sources.targetid[[2, 0]].tolist()
    assert ids[1] == ids[3]
    for name in ("targetid", "fibermap/TARGETID", "scores/TARGETID", "redshifts/TARGETID"):
        assert found[name].tolist() == ids
    assert texts(found["files/path"]) == paths
    assert texts(found["files/survey"]) == ["main"] * 3
    assert texts(found["files/program"]) == ["dark", "backup", "bright"]
    assert found["files/pix64"].tolist() == [PIX] * 3
    assert texts(found["files/status"]) == ["read", "absent", "read"]
    assert texts(found["files/beside"]) == ["read", "not read", "read"]
    assert found["files/n_searched"].tolist() == [5, 0, 4]
    assert found["targets/row"].tolist() == [20, 30, 40]
    assert found["targets/n_spectra"].tolist() == [1, 1, 2]
    for arm in ARMS:
        flux = np.concatenate([DARK.flux[arm][[1, 3]], BRIGHT.flux[arm][[2, 0]]])
        assert same_bits(found[f"{arm}/flux"], flux)
        mask = np.concatenate([DARK.mask[arm][[1, 3]], BRIGHT.mask[arm][[2, 0]]])
        assert np.array_equal(found[f"{arm}/mask"], mask)
    np.testing.assert_array_equal(found["fibermap/NEW"], [[np.nan] * 2] * 2 + [[1, 1]] * 2)
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert dict(file.attrs)["radius_arcsec"] == 1.0
        assert file["fibermap/TARGET_RA"].attrs["unit"] == "deg"
        assert file["b/flux"].attrs["unit"] == "10**-17 erg/(s cm2 Angstrom)"
        assert file["separation_arcsec"].attrs["unit"] == "arcsec"


def test_coadds_with_other_numbers_of_diagonals_are_padded(release, tmp_path):
    narrow = dataclasses.replace(
        DARK, program="backup", resolution=DARK.resolution | {"r": DARK.resolution["r"][:, 1:-1]}
    )
    shutil.copytree(release, tmp_path / "own")
    write(tmp_path / "own", narrow)
    found = run(tmp_path / "own", [path_of(narrow), path_of(DARK)], tmp_path / "out.hdf5", matching(DARK, [2]))
    assert same_bits(found["r/resolution"][0, 1:-1], DARK.resolution["r"][2, 1:-1])
    assert (found["r/resolution"][0, [0, -1]] == 0).all()
    assert same_bits(found["r/resolution"][1], DARK.resolution["r"][2])


def test_a_coadd_without_scores_among_others_keeps_the_rows_aligned(own, tmp_path):
    edit(own / path_of(DARK), lambda hdus: hdus.pop("SCORES"))
    targets = matching(DARK, [3, 1])
    found = run(own, [path_of(DARK), path_of(BRIGHT)], tmp_path / "out.hdf5", targets)
    assert found["file"].tolist() == [0, 0, 1]
    assert found["scores/TARGETID"].tolist() == found["targetid"].tolist()
    assert np.isnan(found["scores/TSNR2_LRG"]).tolist() == [True, True, False]


def test_one_fiber_may_have_two_targets_and_one_target_two_fibers(tmp_path):
    ra, dec = 149.5, 1.8
    north = np.array([0, 0.9, 2.6, 2000]) * ARCSEC
    coadd = simulated(4, at=(np.full(4, ra), dec + north), targetid=[40, 30, 20, 10])
    write(tmp_path, coadd)
    targets = positions([(ra, dec + y * ARCSEC) for y in (0.4, -0.5, 1.7, 50.0)], rows=[7, 3, 11, 12])
    found = run(tmp_path, [path_of(coadd)], tmp_path / "out.hdf5", targets)
    # 7: fibers at 0.4 and 0.5. 3: at 0.5. 11: fibers at 0.8 and 0.9. In the targets' order, then nearest first.
    assert found["row"].tolist() == [7, 7, 3, 11, 11]
    assert found["targetid"].tolist() == [40, 30, 40, 30, 20]
    np.testing.assert_allclose(found["separation_arcsec"], [0.4, 0.5, 0.5, 0.8, 0.9], atol=1e-7)
    assert same_bits(found["z/flux"], coadd.flux["z"][[0, 1, 0, 1, 2]])
    assert found["targets/row"].tolist() == [7, 3, 11, 12]
    assert found["targets/n_spectra"].tolist() == [2, 1, 2, 0]
    assert found["targets/n_within_report_radius"].tolist() == [3, 2, 3, 0]
    np.testing.assert_allclose(found["targets/nearest_arcsec"], [0.4, 0.5, 0.8, np.nan], atol=1e-7)
    wide = run(
        tmp_path, [path_of(coadd)], tmp_path / "out.hdf5", targets, radius_arcsec=0.45, report_radius_arcsec=0.45
    )
    assert wide["row"].tolist() == [7]
    assert wide["targets/n_within_report_radius"].tolist() == [1, 0, 0, 0]


def test_targetids_match_wherever_the_position_is(release, tmp_path):
    ids = [int(DARK.sources.targetid[4]), 12345, int(SHARED.targetid[0]), int(DARK.sources.targetid[4])]
    places = [near(DARK, 4, 7.5), near(DARK, 0, 0.0), near(DARK, 3, 0.5), near(DARK, 4, 0.0)]
    targets = positions(places, rows=[5, 6, 7, 8], targetid=np.array(ids))
    found = run(release, [path_of(DARK), path_of(BRIGHT)], tmp_path / "out.hdf5", targets)
    assert found["row"].tolist() == [5, 7, 8, 7]
    assert found["targetid"].tolist() == [ids[0], ids[2], ids[0], ids[2]]
    np.testing.assert_allclose(found["separation_arcsec"], [7.5, 0.5, 0, 0.5], atol=1e-6)
    assert found["targets/n_spectra"].tolist() == [1, 0, 2, 1]
    assert found["targets/n_within_report_radius"].tolist() == [0, 1, 2, 1]  # by position all the same


def test_without_targets_every_spectrum_is_extracted(release, tmp_path):
    found = run(release, [path_of(DARK), path_of(BRIGHT)], tmp_path / "out.hdf5")
    assert not {"row", "separation_arcsec", "targets/row"} & set(found)
    assert found["targetid"].tolist() == DARK.sources.targetid.tolist() + BRIGHT.sources.targetid.tolist()
    assert same_bits(found["r/ivar"], np.concatenate([DARK.ivar["r"], BRIGHT.ivar["r"]]))


def test_no_match_is_a_valid_file_with_no_rows(release, tmp_path):
    found = run(release, [path_of(DARK)], tmp_path / "out.hdf5", positions([near(DARK, 2, 1.5)], rows=[9]))
    assert found["z/resolution"].shape == (0, 11, 2881)
    assert found["b/mask"].dtype == np.uint32
    for name in ("row", "separation_arcsec", "targetid", "ra", "dec", "file", "fibermap/MORPHTYPE"):
        assert len(found[name]) == 0
    assert texts(found["files/beside"]) == ["not read"]
    assert found["targets/row"].tolist() == [9]
    assert found["targets/n_spectra"].tolist() == [0]
    assert found["targets/nearest_arcsec"] == pytest.approx([1.5], abs=1e-6)


def test_what_is_not_wanted_is_left_out(release, tmp_path):
    found = run(release, [path_of(DARK)], tmp_path / "out.hdf5", matching(DARK, [0]), resolution=False, redshifts=False)
    assert not any(name.endswith("resolution") or name.startswith("redshifts") for name in found)
    assert texts(found["files/beside"]) == ["not read"]


def test_a_name_that_tells_nothing_is_made_up_for_by_the_header(release, tmp_path):
    shutil.copy(release / path_of(DARK), tmp_path / "my.fits")
    found = run(tmp_path, ["my.fits"], tmp_path / "out.hdf5", redshifts=False)
    assert (texts(found["files/survey"]), texts(found["files/program"])) == (["main"], ["dark"])
    assert found["files/pix64"].tolist() == [PIX]


def test_batches_change_nothing(release, tmp_path, monkeypatch):
    paths = [path_of(DARK), path_of(BRIGHT)]
    whole = run(release, paths, tmp_path / "whole.hdf5", lsf=True)
    for rows in (1, 3):
        monkeypatch.setattr(extract, "BATCH_ROWS", rows)
        parts = run(release, paths, tmp_path / "parts.hdf5", lsf=True)
        assert parts.keys() == whole.keys()
        for name, values in whole.items():
            assert parts[name].tolist() == values.tolist() or same_bits(parts[name], values), name


# --- What is absent or bad -------------------------------------------------------------------------------------------


def truncate(path):
    path.write_bytes(path.read_bytes()[:-300_000])


def fewer_rows(hdus):
    hdus["Z_IVAR"].data = hdus["Z_IVAR"].data[:-1]


def shorten(hdus):
    for kind in ("WAVELENGTH", "FLUX", "IVAR", "MASK", "RESOLUTION"):
        hdus[f"R_{kind}"].data = hdus[f"R_{kind}"].data[..., :-10]


BAD = {
    "rows": (lambda path: edit(path, fewer_rows), r"\[Z_IVAR\]: has 3 rows, FIBERMAP has 4"),
    "no RA": (lambda path: edit(path, without_column("FIBERMAP", "TARGET_RA")), "column TARGET_RA is missing"),
    "truncated": (truncate, "it is truncated"),
    "HTML": (lambda path: path.write_text("<!DOCTYPE html><html>503</html>"), "found an HTML page"),
    "empty": (lambda path: path.write_bytes(b""), "the file is empty"),
    "another grid": (
        lambda path: edit(path, shorten),
        "its r wavelengths differ from those of",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_coadd_is_recorded_with_its_reason_and_the_others_are_used(own, tmp_path, case):
    spoil, message = BAD[case]
    first, second = (path_of(coadd) for coadd in (DARK, BRIGHT))
    spoil(own / second)
    targets = matching(DARK, [0, 3])
    found = run(own, [first, second], tmp_path / "out.hdf5", targets, record_missing=True)
    assert texts(found["files/status"]) == ["read", "unreadable"]
    reason = texts(found["files/reason"])[1]
    assert "main/bright/272/27247/" in reason
    assert str(tmp_path) not in reason  # it must not depend on the transport
    assert found["targetid"].tolist() == DARK.sources.targetid[[0, 3]].tolist()
    assert found["targets/n_spectra"].tolist() == [1, 1]
    with pytest.raises(MalformedFile, match=message) as raised:
        run(own, [first, second], tmp_path / "other.hdf5", targets)
    assert str(raised.value).replace(f"{own}/", "") == reason
    assert [path.name for path in tmp_path.glob("*.hdf5")] == ["out.hdf5"]


def test_nothing_readable_at_all_is_recorded_too(own, tmp_path):
    (own / path_of(DARK)).unlink()
    truncate(own / path_of(BRIGHT))
    paths = [path_of(DARK), path_of(BRIGHT)]
    found = run(own, paths, tmp_path / "out.hdf5", matching(DARK, [0, 1]), record_missing=True)
    assert texts(found["files/status"]) == ["absent", "unreadable"]
    assert texts(found["files/reason"])[0] == "not in the archive"
    assert found["targets/n_spectra"].tolist() == [0, 0]
    assert len(found["row"]) == 0
    with pytest.raises(Absent, match=r"coadd-main-dark-27247\.fits does not exist"):
        run(own, paths, tmp_path / "other.hdf5", matching(DARK, [0, 1]))
    assert not (tmp_path / "other.hdf5").exists()


def test_a_relative_root_does_not_spoil_the_reason(own, tmp_path, monkeypatch):
    truncate(own / path_of(BRIGHT))
    (tmp_path / "here").mkdir()
    for directory, root, prefix in (("own", ".", ""), ("here", "../own", ""), ("here", ".", "../own/")):
        monkeypatch.chdir(tmp_path / directory)
        path = prefix + path_of(BRIGHT)
        found = run(root, [path], tmp_path / "out.hdf5", matching(DARK, [0]), record_missing=True)
        assert texts(found["files/reason"])[0].startswith(f"{path}[")


@pytest.mark.parametrize("packed", ["coadd", "redrock"])
def test_files_that_a_mirror_has_compressed_are_not_called_absent(own, tmp_path, packed):
    """Whole coadds would be recorded as absent, thousands of them, or spectra be kept without their redshifts."""
    path = own / path_of(DARK).replace("coadd-", f"{packed}-")
    path.rename(path.with_name(f"{path.name}.gz"))
    (own / "tilepix.fits").write_bytes(b"x")
    with (
        Archive(str(own)) as archive,
        pytest.raises(InputError, match=rf"{path.name} is absent, but .*{path.name}\.gz is"),
    ):
        wanted = Wanted(
            matching(DARK, [0]),
            record_missing=True,
            redshifts=True,
            check_absence=archive.absence_check("tilepix.fits"),
        )
        extract.extract(archive, coadd_files([path_of(DARK)]), tmp_path / "out.hdf5", wanted)
    assert not (tmp_path / "out.hdf5").exists()


@pytest.mark.parametrize("record_missing", [True, False])
def test_a_coadd_that_is_good_on_the_second_reading_is_used(own, release, tmp_path, monkeypatch, record_missing):
    good = (own / path_of(DARK)).read_bytes()
    truncate(own / path_of(DARK))
    monkeypatch.setattr(extract.time, "sleep", lambda _: (own / path_of(DARK)).write_bytes(good))
    targets = matching(DARK, [0, 3])
    run(own, [path_of(DARK), path_of(BRIGHT)], tmp_path / "out.hdf5", targets, record_missing=record_missing)
    run(release, [path_of(DARK), path_of(BRIGHT)], tmp_path / "expected.hdf5", targets)
    assert (tmp_path / "out.hdf5").read_bytes() == (tmp_path / "expected.hdf5").read_bytes()


@pytest.mark.parametrize("failures", [1, 2])
def test_spectra_that_cannot_be_read_are_read_twice(release, tmp_path, monkeypatch, failures):
    real, count = Coadd.read_arms, []

    def read_arms(self, rows, wavelength):
        if "dark" in self.name:
            count.append(1)
            if len(count) <= failures:
                raise MalformedFile(f"{self.name}: the file ends before byte 9: it is truncated")
        return real(self, rows, wavelength)

    monkeypatch.setattr(Coadd, "read_arms", read_arms)
    targets, paths = matching(DARK, [0, 3]), [path_of(DARK), path_of(BRIGHT)]
    found = run(release, paths, tmp_path / "out.hdf5", targets, record_missing=True)
    if failures == 1:
        assert texts(found["files/status"]) == ["read", "read"]
        assert found["file"].tolist() == [0, 0, 1]
        return
    assert texts(found["files/status"]) == ["unreadable", "read"]
    assert texts(found["files/reason"])[0] == f"{paths[0]}: the file ends before byte 9: it is truncated"
    assert found["file"].tolist() == [1]
    assert found["targets/n_spectra"].tolist() == [0, 1]
    count.clear()
    with pytest.raises(MalformedFile, match="ends before byte 9"):
        run(release, paths, tmp_path / "other.hdf5", targets)


def test_spectra_without_a_redrock_file_are_kept(own, tmp_path):
    (own / path_of(DARK, "redrock")).unlink()
    paths = [path_of(DARK), path_of(BRIGHT)]
    found = run(own, paths, tmp_path / "out.hdf5", matching(DARK, [0, 3]))
    assert texts(found["files/beside"]) == ["absent", "read"]
    assert texts(found["files/status"]) == ["read", "read"]
    assert found["redshifts/ZWARN"][:2].tolist() == [-1, -1]
    assert np.isnan(found["redshifts/Z"]).tolist() == [True, True, False]
    bright = BRIGHT.sources.targetid.tolist().index(SHARED.targetid[0])
    assert found["redshifts/Z"][2] == pytest.approx(BRIGHT.sources.z[bright], abs=1e-4)
    assert texts(found["redshifts/SPECTYPE"][:2]) == ["", ""]
    assert found["redshifts/TARGETID"].tolist() == found["targetid"].tolist()


def test_a_redrock_row_that_nobody_asks_for_may_be_missing(own, tmp_path):
    missing = DARK.sources.targetid[1]
    edit(
        own / path_of(DARK, "redrock"),
        lambda hdus: setattr(
            hdus["REDSHIFTS"], "data", hdus["REDSHIFTS"].data[hdus["REDSHIFTS"].data["TARGETID"] != missing]
        ),
    )
    found = run(own, [path_of(DARK)], tmp_path / "out.hdf5", matching(DARK, [0, 3]))
    np.testing.assert_allclose(found["redshifts/Z"], DARK.sources.z[[0, 3]], atol=1e-4)


# --- Transports ------------------------------------------------------------------------------------------------------


def test_every_transport_gives_the_same_bytes(own, tmp_path):
    """A directory, HTTP, and files that were downloaded whole; one coadd is absent, one is bad, others lack a part."""
    for program, spoil in (("backup", fewer_rows), ("other", lambda hdus: hdus.pop("Z_IVAR"))):
        bad = dataclasses.replace(BRIGHT, program=program)
        write(own, bad)
        edit(own / path_of(bad), spoil)
        (own / RELEASE.checksums("main", program, PIX)).unlink()
    (own / path_of(BRIGHT, "redrock")).unlink()
    edit(own / path_of(bad, "redrock"), lambda hdus: hdus.pop("REDSHIFTS"))
    kinds = [("main", program, PIX) for program in ("dark", "none", "bright", "backup", "other")]
    paths = [RELEASE.coadd(*kind) for kind in kinds]
    how = {"targets": matching(DARK, [0, 3]), "record_missing": True}
    found = run(own, paths, tmp_path / "local.hdf5", **how)
    assert texts(found["files/status"]) == ["read", "absent", "read", "unreadable", "read"]
    assert texts(found["files/beside"]) == ["read", "not read", "absent", "not read", "unreadable"]
    assert texts(found["files/without"]) == ["", "", "redshifts", "", "arm z; redshifts"]
    with serve(own) as server:
        run(Archive(server.url, patience=QUICK), paths, tmp_path / "http.hdf5", **how)
        with (
            Archive(server.url, patience=QUICK) as archive,
            downloaded(archive, files_of(RELEASE, coadd_files(paths), redshifts=True), tmp_path / "fetched") as fetched,
        ):
            run(fetched, paths, tmp_path / "files.hdf5", **how)
    local = (tmp_path / "local.hdf5").read_bytes()
    assert (tmp_path / "http.hdf5").read_bytes() == local
    assert (tmp_path / "files.hdf5").read_bytes() == local


def test_an_archive_that_is_down_fails_the_job_and_leaves_nothing(release, tmp_path):
    with serve(release) as server:

        def busy(handler, _number):
            if "bright" in handler.path:
                handler.answer(503, b"later", {"Retry-After": "0"})
                return True
            return False

        server.misbehave = busy
        archive = Archive(server.url, patience=QUICK)
        with pytest.raises(ArchiveUnavailable, match="HTTP 503"):
            run(
                archive,
                [path_of(DARK), path_of(BRIGHT)],
                tmp_path / "out" / "x.hdf5",
                matching(DARK, [0]),
                record_missing=True,
            )
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# --- The program -----------------------------------------------------------------------------------------------------


def program(*arguments):
    return cli.run(extract_desi_coadd.main, extract_desi_coadd.build_parser(), [str(a) for a in arguments])


def test_the_program_takes_a_csv_or_a_parquet_table(release, tmp_path):
    places = np.array([near(DARK, 1, 0.4), near(DARK, 4, 2.0)])
    csv, parquet = (tmp_path / f"targets.{kind}" for kind in ("csv", "parquet"))
    csv.write_text("name,RA_DESI,DEC_DESI\n" + "".join(f"x,{ra!r},{dec!r}\n" for ra, dec in places.tolist()))
    pq.write_table(pa.table({"row": [0, 1], "ra": places[:, 0], "dec": places[:, 1]}), parquet)
    running = {}
    for targets in (csv, parquet):
        command = [sys.executable, str(ROOT / "scripts" / "extract_desi_coadd.py"), "--coadd", path_of(DARK)]
        command += ["--coadd", ABSENT, "--record-missing", "--archive", str(release)]
        command += ["--targets", str(targets), "--out", f"{targets}.hdf5"]
        running[targets] = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    for targets, process in running.items():
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert "1 spectra of 2 coadds (read, absent)" in said
        assert Path(f"{targets}.hdf5").read_bytes() == Path(f"{csv}.hdf5").read_bytes()
    found = contents(f"{csv}.hdf5")
    assert found["targets/nearest_arcsec"] == pytest.approx([0.4, 2.0], abs=1e-6)


def test_the_program_reads_a_csv_without_what_it_does_not_need(release, tmp_path):
    (ra, dec), csv = near(DARK, 1, 0.4), tmp_path / "targets.csv"
    csv.write_text(f"RA_DESI,DEC_DESI\n{ra!r},{dec!r}\n")
    heavy = {"astropy", "healpy", "pandas", "pyarrow", "scipy", "urllib3", "numba", "matplotlib"}
    code = "import sys, extract_desi_coadd as e; status = e.cli.run(e.main, e.build_parser()); "
    code += f"print(status, {heavy!r} & set(sys.modules))\n"
    code += "print(*[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])"
    command = [sys.executable, "-c", code, "--coadd", path_of(DARK), "--archive", str(release)]
    command += ["--targets", str(csv), "--out", str(tmp_path / "x.hdf5")]
    done = subprocess.run(command, cwd=ROOT / "scripts", capture_output=True, text=True, check=True)
    status, loaded, kilobytes = done.stdout.split()  # the most memory that it has had
    assert (status, loaded) == ("0", "set()"), done.stderr
    assert int(kilobytes) < 90_000


def test_the_workflows_jobs_start_without_what_they_do_not_need():
    heavy = {"astropy", "healpy", "pandas", "scipy", "urllib3", "numba"}
    code = f"import sys; sys.path.insert(0, 'scripts/desi'); import harvest_desi; print({heavy!r} & set(sys.modules))"
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--radius", "0"], 2, "--radius must be positive"),
        (["--radius", "5"], 2, "--report-radius not smaller"),
        (["--targets", "t.csv", "--ra", "RA"], 2, "no column 'RA' for RA"),
        (["--targets", "absent.csv"], 2, "absent.csv"),
        (["--coadd", ABSENT], 1, "coadd-main-backup-27247.fits does not exist"),
        (["--coadd", "coadd-torn.fits"], 1, r"coadd-torn.fits\[.*: it is truncated"),
        (["--archive", "nowhere"], 75, "nowhere is not a directory: mount it"),
    ],
)
def test_the_programs_errors_are_one_line_and_a_status(
    release, tmp_path, monkeypatch, capsys, arguments, status, message
):
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("RA_DESI,DEC_DESI\n1,2\n")
    Path("coadd-torn.fits").write_bytes((release / path_of(DARK)).read_bytes()[:400_000])
    given = [] if "--coadd" in arguments else ["--coadd", path_of(DARK)]
    root = [] if "--archive" in arguments or "coadd-torn.fits" in arguments else ["--archive", release]
    assert program("--out", "out.hdf5", *given, *root, *arguments) == status
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ")
    assert re.search(message, said), said
    assert not Path("out.hdf5").exists()
