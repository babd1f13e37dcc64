import csv
from dataclasses import replace

import h5py
import numpy as np
import pytest
import tables
from astropy.table import Table

from hetdex_sources import AMPS, MIDDLE, Line, ifu_fibers
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.lines import find_lines as module
from skyharvest.reduction.hetdex.lines.find_lines import find_lines
from skyharvest.reduction.hetdex.lines.flux_limits import FluxLimits
from skyharvest.reduction.hetdex.source_settings import Detections

HOW = Detections(first_wave=4300.0, last_wave=4900.0, limit_step=4.0)
IFU = "020_106_055_0123"
LINES = [Line(-3.0, 1.0, 4400.0, 90.0), Line(3.0, -2.0, 4600.0, 60.0), Line(2.0, 4.0, 4800.0, 50.0)]
SHOTID = 20190103017
FIRST = SHOTID * 100_000 + 106 * 900
OF_MC = """wave wave_err flux flux_err linewidth linewidth_err continuum continuum_err sn sn_err chi2 chi2_err ra dec
    datevshot noise_ratio linewidth_fix chi2_fix chi2fib src_index multiname exp xifu yifu xraw yraw weight apcor sn_cen
    flux_noise_1sigma sn_3fib sn_3fib_cen dummy"""
OF_SPEC = """wave1d spec1d_nc spec1d_nc_err counts1d counts1d_err apsum_counts apsum_counts_err dummy apcor flag_pix
    src_index spec1d_nc_ffsky"""
MC, SPEC = OF_MC.split(), OF_SPEC.split()


class Shot:
    """Stands for a shot's files."""

    name = "20190103v017"

    def __init__(self, fibers=None, failed=""):
        self.failed, self._fibers = failed, fibers

    def read(self, ifu, more=()):
        assert (str(self._fibers.ifu), set(more) - set(self._fibers.more)) == (ifu, set())
        return self._fibers


def written(out, shot, how=HOW):
    find_lines(shot, IFU, how, out)
    return out


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    fibers = ifu_fibers(LINES, rows=8, columns=7, correlated=True, seed=1)
    return written(tmp_path_factory.mktemp("lines") / IFU, Shot(fibers)), fibers


def test_tables_are_queried_by_pytables(product):
    out, fibers = product
    with tables.open_file(str(out / "detections.h5")) as file:
        rows = file.root.Detections.read()
        assert list(rows["detectid"]) == [FIRST, FIRST + 1, FIRST + 2]
        (one,) = file.root.Detections.read_where(f"detectid == {FIRST + 1}")
        assert one["wave"] == pytest.approx(rows["wave"][1])
        spectrum = file.root.Spectra.read_where(f"detectid == {FIRST}")[0]
        of_fibers = file.root.Fibers.read_where(f"detectid == {FIRST}")
        assert file.root._v_attrs.failed == ""
    assert list(rows["sn"]) == sorted(rows["sn"], reverse=True)
    ra, dec = fibers.pointing.to_sky(
        *(np.array([getattr(line, axis) + middle for line in LINES]) for axis, middle in zip("xy", MIDDLE, strict=True))
    )
    for line, line_ra, line_dec in zip(LINES, ra, dec, strict=True):
        row = rows[np.argmin(np.abs(rows["wave"] - line.wave))]
        assert row["flux"] == pytest.approx(line.flux, abs=3.5 * float(row["flux_err"]))
        assert row["wave"] == pytest.approx(line.wave, abs=1.5)
        assert np.hypot((row["ra"] - line_ra) * np.cos(np.radians(line_dec)), row["dec"] - line_dec) * 3600 < 0.7
        assert row["sn"] == pytest.approx(row["flux"] / row["flux_noise_1sigma"], rel=0.12)
    best = of_fibers[np.argmax(of_fibers["weight"])]
    for name in ("multiframe", "fiber_id", "fibnum", "expnum", "amp", "x_raw", "y_raw", "x_ifu"):
        assert rows[name][0] == best[name]
    assert of_fibers["weight"].sum() == pytest.approx(1, abs=1e-5)
    bright = np.argmax(np.where(np.abs(spectrum["wave1d"] - rows["wave"][0]) < 30, spectrum["spec1d"], 0))
    assert spectrum["wave1d"][bright] == pytest.approx(rows["wave"][0], abs=3)
    np.testing.assert_allclose(spectrum["spec1d_nc"], spectrum["spec1d"] * spectrum["apcor"], rtol=1e-5)
    for name in rows.dtype.names:
        assert rows[name].dtype.kind == "S" or np.isfinite(rows[name]).all(), name
        assert (rows[name] != (b"" if rows[name].dtype.kind == "S" else -1)).all(), name


def test_the_search_is_told(product):
    out, _ = product
    with h5py.File(out / "detections.h5") as file:
        attributes = dict(file.attrs)
        histogram, edges = file["Search/histogram"][:], file["Search/edges"][:]
        assert file["Search/noise_ratio"].shape == (1036,)
        lines = file["Search/lines"][:]
    assert (attributes["shot"], attributes["ifu"], attributes["failed"]) == (Shot.name, IFU, "")
    assert (attributes["n_lines"], attributes["n_left_out"]) == (3, 0)
    assert attributes["n_candidates"] >= 3
    assert attributes["scatter"] == pytest.approx(1, abs=0.06)
    assert len(edges) == len(histogram) + 1
    assert histogram[edges[:-1] > 7].sum() > 0 == histogram[edges[1:] < -7].sum()
    assert list(lines["detectid"]) == [FIRST, FIRST + 1, FIRST + 2]
    assert (lines["x_err"] > 0).all()


def test_texts_are_read_as_h5tools_read_them(product):
    out, _ = product
    stem = f"{Shot.name}_020_106_055"
    with h5py.File(out / "detections.h5") as file:
        rows, spectra, fibers = (file[name][:] for name in ("Detections", "Spectra", "Fibers"))
    mc = Table.read(out / f"{stem}.mc", format="ascii.no_header", names=MC)
    assert len(stem) == 24  # by which they cut file names
    assert list(mc["src_index"]) == [0, 1, 2]
    for name in (*MC[:14], "noise_ratio", "weight", "apcor", "sn_cen", "flux_noise_1sigma", "sn_3fib", "sn_3fib_cen"):
        np.testing.assert_allclose(mc[name], rows[name], rtol=1e-3, err_msg=name)
    for one, row in zip(mc, rows, strict=True):
        assert one["multiname"][:20] == row["multiframe"].decode()
        assert int(one["multiname"][21:24]) == row["fibnum"]
        assert int(one["exp"][3:5]) == row["expnum"]
        assert row["inputid"].decode() == f"{stem}_{one['src_index']:03d}"
        assert (row["mc_file"].decode(), row["mc_file_idx"]) == (f"{stem}.mc", one["src_index"])
    spec = Table(np.loadtxt(out / f"{stem}.spec"), names=SPEC)
    of_second = spec[spec["src_index"] == 1]
    np.testing.assert_allclose(of_second["spec1d_nc"] / of_second["apcor"], spectra["spec1d"][1], rtol=1e-4)
    np.testing.assert_allclose(of_second["counts1d"], spectra["counts1d"][1], rtol=1e-5)
    of_list = Table.read(out / f"{stem}.list", format="ascii.no_header")
    assert len(of_list) == len(fibers)
    for one, row in zip(of_list, fibers, strict=True):
        assert FIRST + one["col16"] == row["detectid"]
        assert one["col5"] == f"{row['multiframe'].decode()}_{row['fibnum']:03d}.ixy"
        assert int(one["col6"][3:5]) == row["expnum"]
        assert int(str(one["col11"])[0:3]) == row["obsid"] == 17
        assert (one["col12"], one["col13"], one["col15"]) == (row["x_raw"], row["y_raw"], row["flag"])
        np.testing.assert_allclose([one["col1"], one["col2"]], [row["ra"], row["dec"]], atol=2e-5)
    with (out / f"{stem}.list").open() as file:
        assert {len(row) for row in csv.reader(file, delimiter=" ")} == {16}


def test_flux_limits_are_beside(product):
    out, _ = product
    limits = FluxLimits.read(out / "flux_limits.h5")
    with h5py.File(out / "detections.h5") as file:
        rows = file["Detections"][:]
    found = limits.limit(rows["ra"], rows["dec"], rows["wave"], linewidth=rows["linewidth"], sn=1.0)
    np.testing.assert_allclose(found, rows["flux_noise_1sigma"], rtol=0.15)


def test_the_same_is_written_again(product, tmp_path):
    out, fibers = product
    again = written(tmp_path / IFU, Shot(fibers))
    for path in out.glob("*.*[clt]"):
        assert path.read_bytes() == (again / path.name).read_bytes()
    with h5py.File(out / "detections.h5") as first, h5py.File(again / "detections.h5") as second:
        for name in ("Detections", "Spectra", "Fibers", "Search/lines"):
            assert first[name][:].tobytes() == second[name][:].tobytes()


def test_the_best_have_numbers_if_there_are_too_many(product, monkeypatch, tmp_path, caplog):
    _, fibers = product
    monkeypatch.setattr(module, "MOST_LINES", 2)
    out = written(tmp_path / IFU, Shot(fibers))
    with h5py.File(out / "detections.h5") as file:
        assert (file.attrs["n_lines"], file.attrs["n_left_out"]) == (2, 1)
        assert list(file["Detections"]["detectid"]) == [FIRST, FIRST + 1]
    assert "1 lines with less signal to noise than the best 2 are left out" in caplog.text


def test_an_ifu_without_lines_has_empty_tables(tmp_path):
    out = written(tmp_path / IFU, Shot(ifu_fibers(rows=4, columns=4, seed=1)))
    with tables.open_file(str(out / "detections.h5")) as file:
        assert len(file.root.Detections) == len(file.root.Spectra) == len(file.root.Fibers) == 0
        assert len(file.root.Detections.read_where("sn > 5")) == 0
    assert [path.stat().st_size for path in sorted(out.glob("2*"))] == [0, 0, 0]


@pytest.mark.parametrize(
    ("shot", "why"),
    [
        (Shot(failed="found 1 star; expected 4"), "found 1 star; expected 4"),
        (
            Shot(ifu_fibers(rows=3, columns=3, missing=[(e, amp) for e in (1, 2, 3) for amp in AMPS])),
            "no amplifier has fibers",
        ),
    ],
)
def test_what_failed_says_so(tmp_path, shot, why):
    out = written(tmp_path / IFU, shot)
    assert sorted(path.name for path in out.iterdir()) == ["detections.h5", "flux_limits.h5"]
    with h5py.File(out / "detections.h5") as file:
        assert (file.attrs["shot"], file.attrs["ifu"], file.attrs["failed"]) == (Shot.name, IFU, why)
    assert FluxLimits.read(out / "flux_limits.h5").failed == why


def test_an_ifu_whose_lines_have_no_numbers_says_so(tmp_path):
    fibers = ifu_fibers(rows=3, columns=3)
    fibers = replace(fibers, ifu=fibers.ifu._replace(ifuslot="111"))
    out = tmp_path / str(fibers.ifu)
    find_lines(Shot(fibers), out.name, HOW, out)
    with h5py.File(out / "detections.h5") as file:
        assert file.attrs["failed"] == "found ifuslot '111'; expected a number up to 110"


def test_a_wrong_name_is_an_error(tmp_path):
    with pytest.raises(InputError, match="expected a pairing"):
        find_lines(Shot(failed="no"), "106", HOW, tmp_path / "out")
    assert not (tmp_path / "out").exists()
