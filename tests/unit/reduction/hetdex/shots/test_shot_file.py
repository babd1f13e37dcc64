"""The file of a shot: columns as HETDEX has them, rows of the multifits, and what was left out with its reason."""

import re
from pathlib import Path

import fitsio
import h5py
import numpy as np
import pytest
import write_shot as program

from hetdex_shot import AMPS, GRID, THROUGHPUT, Shot, images, spectra
from running import ROOT
from skyharvest.core import cli
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.reduction.hetdex.settings import ShotFile
from skyharvest.reduction.hetdex.shots import shot_tables
from skyharvest.reduction.hetdex.shots.shot_file import Inputs, write_shot

SCHEMAS = ROOT.parent / "shared/hetdex_reduction/schemas.md"
LOST = (2, "031_094_012_0200", "RL")


def options(shot: Shot, out: Path) -> list[str]:
    given = ["--shot", shot.name, "--out", str(out)]
    given += ["--multifits", *map(str, shot.all_science), "--full-sky", *map(str, shot.all_sky)]
    for step in ("astrometry", "stars", "throughput"):
        given += [f"--{step}", str(shot.of_shot(step))]
    return given


@pytest.fixture(scope="module")
def shot(tmp_path_factory) -> Shot:
    return Shot(tmp_path_factory.mktemp("shot"), expnums=(1, 2), failed=(LOST,)).write()


@pytest.fixture(scope="module")
def file(shot, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("out") / f"{shot.name}.h5"
    assert cli.run(program.main, program.build_parser(), options(shot, path)) == 0
    return path


@pytest.mark.skipif(not SCHEMAS.is_file(), reason="no schemas to compare with")
def test_columns_are_the_fields():
    text = SCHEMAS.read_text()
    kinds = {"/Shot": shot_tables.SHOT, "/Data/Fibers": shot_tables.FIBERS, "/Data/Images": shot_tables.IMAGES}
    for name, kind in (kinds | {"/Data/FiberIndex": shot_tables.FIBER_INDEX}).items():
        line = text[text.index(f"## {name} ") :].split("\n")[1]
        found = re.findall(r"(\w+) ([<|]\w+)(?:\[([\d, ]+)\])?", line)
        assert kind == np.dtype([(n, k, tuple(map(int, s.split(",")))) if s else (n, k) for n, k, s in found])


def test_rows_are_those_of_the_multifits(shot, file):
    with h5py.File(file) as found:
        fibers, index = found["Data/Fibers"][:], found["Data/FiberIndex"][:]
        failed = found["Data/FailedAmps"][:]
    assert len(fibers) == len(index) == 112 * (2 * 2 * 4 - 1)
    there = [(e, ifu, amp) for e in (1, 2) for ifu in shot.ifus for amp in AMPS if (e, ifu, amp) != LOST]
    for k, (expnum, ifu, amp) in enumerate(there):
        rows = fibers[112 * k : 112 * (k + 1)]
        specid, ifuslot, ifuid, contid = (part.encode() for part in ifu.split("_"))
        for name, value in (("specid", specid), ("ifuslot", ifuslot), ("ifuid", ifuid), ("contid", contid)):
            assert (rows[name] == value).all()
        assert (rows["expnum"] == expnum).all() and (rows["amp"] == amp.encode()).all()
        assert rows["fibidx"].tolist() == list(range(112)) and (rows["fibnum"] == rows["fibidx"] + 1).all()
        multiframe = f"multi_{ifu[:11]}_{amp}"
        assert rows["fiber_id"][41].decode() == f"20190103012_{expnum}_{multiframe}_042"
        assert (rows["multiframe"] == multiframe.encode()).all()
        truth = spectra(shot.ifus.index(ifu), amp, expnum)
        for name, values in truth.items():
            np.testing.assert_array_equal(rows["error1D" if name == "error1d" else name], values, err_msg=name)
        place = shot.position(ifu, amp, expnum).astype(np.float32)
        np.testing.assert_array_equal([rows[name] for name in ("ra", "dec", "fpx", "fpy")], place)
        np.testing.assert_allclose(np.stack([rows["ifux"], rows["ifuy"]], axis=1), shot.ifupos(amp), rtol=1e-6)
    for name in index.dtype.names:
        assert index[name].tobytes() == fibers[name].tobytes()
    assert failed["amp"].tolist() == [b"RL"] and failed["expnum"].tolist() == [2]
    assert failed["reason"].tolist() == [b"the member is cut short"]


def test_calibrated_spectra_have_the_light_that_came_in(shot, file):
    """A source of 400 counts in 2 Å in fiber 20 of each amplifier; sky of the amplifier is that of the field."""
    with h5py.File(file) as found:
        fibers = found["Data/Fibers"][:]
    inner = (GRID > 3600) & (GRID < 5400)
    for expnum in (1, 2):
        source = fibers[(fibers["fibidx"] == 20) & (fibers["expnum"] == expnum)]
        photons = 400 / THROUGHPUT / shot.norm[expnum]
        flux = photons * 6.62607015e-27 * 2.99792458e18 / GRID / (360 * 5e5) / 1e-17
        for name in ("calfib", "calfib_ffsky"):
            ratio = np.nanmean(source[name][:, inner], axis=0) / flux[inner]
            assert ratio.mean() == pytest.approx(1, abs=0.005)
        pull = (source["calfib"] - flux)[:, inner] / source["calfibe"][:, inner]
        assert np.nanstd(pull) == pytest.approx(0.78, abs=0.05)  # bins are means of two pixels; and the sky's error
    dead = fibers[fibers["fibidx"] == 7]
    assert np.isnan(dead["calfib"]).all() and np.isnan(dead["spectrum"]).all()
    for name in ("calfib", "calfibe", "calfib_counts", "calfibe_counts", "calfib_ffsky"):
        assert not (fibers[name] == 0).any()


def test_the_row_of_the_shot(file):
    with h5py.File(file) as found:
        row = found["Shot"][0]
        assert found.attrs["failed"] == "" and found.attrs["missing"] == "NaN"
        assert b"OBJECT  = DEXsp_0123" in found["Shot"].attrs["header_exp02"]
    assert (row["shotid"], row["date"], row["obsid"], row["datevobs"]) == (20190103012, 20190103, 12, b"20190103v012")
    assert (row["objid"], row["field"], row["time"], row["n_ifu"]) == (b"DEXsp_0123", b"dex-spring", b"0908076", 2)
    assert (row["ra"], row["dec"], row["pa"]) == (210.01234567, 52.7654321, 251.25)
    assert (row["trajcra"], row["trajcpa"], row["pressure"]) == (210.0, np.float32(250.5), np.float32(23.63))
    assert row["expnum"].tolist() == [1, 2, -1] and row["nstars_fit"].tolist() == [17, 17, -1]
    for name in ("exptime", "darktime", "mjd", "relflux_virus", "xditherpos", "xoffset", "xrms"):
        assert np.isfinite(row[name][:2]).all() and np.isnan(row[name][2]), name
    assert row["exptime"][0] == 367.5 and row["relflux_virus"].tolist()[:2] == [np.float32(1.05), np.float32(0.97)]
    assert (row["response_4540"], row["fwhm_virus"], row["nstars_fit_fwhm"]) == (np.float32(0.1299), np.float32(1.7), 9)


def test_pytables_reads_and_queries_it(shot, file):
    tables = pytest.importorskip("tables")
    with tables.open_file(str(file)) as found:
        fibers = found.root.Data.Fibers
        assert fibers.colnames == list(shot_tables.FIBERS.names) and fibers.nrows == 15 * 112
        chosen = fibers.read_where("(multiframe == b'multi_008_093_054_LL') & (expnum == 2) & (fibidx < 5)")
        assert chosen["fiber_id"].tolist() == [
            f"20190103012_2_multi_008_093_054_LL_{n:03d}".encode() for n in range(1, 6)
        ]
        ra = float(shot.position(shot.ifus[1], "LU", 1)[0, 50])
        near = found.root.Data.FiberIndex.get_where_list(f"(ra > {ra - 5e-5}) & (ra < {ra + 5e-5}) & (expnum == 1)")
        assert any(name.startswith(b"20190103012_1_multi_031_094_012_LU_05") for name in
                   fibers.read_coordinates(near, "fiber_id"))  # fmt: skip
        assert found.root.Shot.read()["datevobs"].tolist() == [b"20190103v012"]
        assert found.root.Calibration.Throughput.throughput.read_where("wavelength == 4540")["throughput"].size == 1
        assert found.root.FullSkyModel.exp02.read().shape == (2100, 2)
        assert found.root.Astrometry.QA.read()["nstars"].tolist() == [17, 17]
        assert found.root.Astrometry.CoaddImages.exp01.read().tolist() == np.arange(12.0).reshape(3, 4).tolist()


def inputs(shot: Shot) -> Inputs:
    paths = {step: shot.of_shot(step) for step in ("astrometry", "stars", "throughput")}
    return Inputs(shot=shot.name, science=shot.all_science, full_sky=shot.all_sky, **paths)


def test_images_and_one_exposure(tmp_path):
    shot = Shot(tmp_path, ifus=("008_093_054_0123",), expnums=(2,), with_images=True,
                failed=tuple((2, "008_093_054_0123", amp) for amp in ("LU", "RL", "RU"))).write()  # fmt: skip
    write_shot(inputs(shot), tmp_path / "s.h5", ShotFile(images=True, uncompressed=True))
    with h5py.File(tmp_path / "s.h5") as found:
        [row] = found["Data/Images"][:]
        assert found["Shot"][0]["expnum"].tolist() == [-1, 2, -1]
        assert len(found["Data/FailedAmps"]) == 3
    truth = images(0, "LL", 2)
    for column, name in (("image", "processed"), ("error", "error"), ("clean_image", "clean_image")):
        np.testing.assert_array_equal(row[column], truth[name])


def test_residual_maps_change_the_amplifiers_that_they_are_of(shot, file, tmp_path):
    ifu = shot.ifus[1]
    (tmp_path / ifu).mkdir()
    with fitsio.FITS(str(tmp_path / ifu / "residuals_cam031_LU.fits"), "rw") as maps:
        maps.write(None)
        maps.write(np.full((112, 1032), 0.1, np.float32), extname="SKY_RESIDUAL")
    given = Inputs(**(vars(inputs(shot)) | {"residuals": [tmp_path / ifu]}))
    write_shot(given, tmp_path / "s.h5", ShotFile())
    with h5py.File(file) as before, h5py.File(tmp_path / "s.h5") as after:
        old, new = before["Data/Fibers"][:], after["Data/Fibers"][:]
    changed = (old["ifuslot"] == b"094") & (old["amp"] == b"LU")
    less = (old["calfib_counts"] - new["calfib_counts"])[changed][:, 100:900]
    assert np.nanmean(less) == pytest.approx(0.1 * 157.5, rel=0.01)  # of a sky of 155 and 160
    wider = (new["calfibe_counts"] ** 2 - old["calfibe_counts"] ** 2)[changed][:, 100:900]
    assert np.nanmean(wider) == pytest.approx((0.06**2 - 0.03**2) * 157.5**2, rel=0.05)
    for name in ("calfib", "calfibe", "calfib_ffsky"):
        np.testing.assert_array_equal(new[name][~changed], old[name][~changed])


def test_a_shot_that_failed_before_says_why(shot, tmp_path):
    for step in ("astrometry", "stars", "throughput"):
        path = tmp_path / f"{step}.h5"
        path.write_bytes(shot.of_shot(step).read_bytes())
        with h5py.File(path, "a") as file:
            file.attrs["failed"] = f"too little for {step}"
        given = Inputs(**(vars(inputs(shot)) | {step: path}))
        write_shot(given, tmp_path / "s.h5", ShotFile())
        with h5py.File(tmp_path / "s.h5") as found:
            assert found.attrs["failed"] == f"too little for {step}" and list(found) == []
    lost = Shot(tmp_path / "lost", ifus=shot.ifus[:1], expnums=(1,), failed=tuple((1, shot.ifus[0], a) for a in AMPS))
    write_shot(inputs(lost.write()), tmp_path / "s.h5", ShotFile())
    with h5py.File(tmp_path / "s.h5") as found:
        assert found.attrs["failed"].startswith("none of its 4 amplifiers could be reduced; the first: the member")


def test_torn_inputs_are_named(tmp_path):
    shot = Shot(tmp_path, expnums=(1,)).write()
    out = tmp_path / "s.h5"
    path = shot.science(1, shot.ifus[0]) / f"{shot.multiframe(shot.ifus[0], 'LU')}.fits"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MalformedFile, match=r"multi_008_093_054_LU\.fits: found no multifits .* run again"):
        write_shot(inputs(shot), out, ShotFile())
    path.write_bytes(whole)
    (shot.all_sky[0] / "amp.dat").write_text("Spc\n008_093_054_LL 1.0 x\n")
    with pytest.raises(MalformedFile, match=r"amp\.dat"):
        write_shot(inputs(shot), out, ShotFile())
    wrong = Inputs(**(vars(inputs(shot)) | {"science": [tmp_path / "exp01/008"]}))
    with pytest.raises(InputError, match="expected a pairing"):
        write_shot(wrong, out, ShotFile())
    assert not out.exists()
