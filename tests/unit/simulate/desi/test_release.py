"""The simulated release: its format against astropy, the real coadd and desispec; its truth against itself."""

import csv
import filecmp
import hashlib
import warnings
from pathlib import Path

import h5py
import healpy
import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits

import simulate_release
from skyharvest.core import cli
from skyharvest.simulate.desi import release

ROOT = Path(__file__).resolve().parents[4]
REAL = ROOT.parent / "shared" / "real" / "archive" / "spectro" / "redux" / "loa" / "healpix" / "special" / "dark"
REAL_COADD = REAL / "272" / "27247" / "coadd-special-dark-27247.fits"
REAL_REDROCK = REAL_COADD.with_name("redrock-special-dark-27247.fits")
needs_real = pytest.mark.skipif(not REAL_COADD.exists(), reason=f"no real coadd at {REAL_COADD}")

STATUSES = {"matched", "no_fiber", "coadd_absent", "not_selected", "not_covered", "rejected"}


@pytest.fixture(scope="module")
def healpix(demo_release):
    return demo_release / "spectro" / "redux" / "demo" / "healpix"


@pytest.fixture(scope="module")
def coadds(healpix):
    return sorted(healpix.rglob("coadd-*.fits"))


@pytest.fixture(scope="module")
def truth(demo_release):
    """Every dataset of truth.hdf5, by path; text as str."""
    found = {}
    with h5py.File(demo_release / "truth.hdf5") as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return {name: values.astype(str) if values.dtype.kind == "S" else values for name, values in found.items()}


@pytest.fixture(scope="module")
def rows(demo_release):
    with (demo_release / "targets.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def place(path):
    survey, program, pix64 = path.stem.split("-")[1:]
    return survey, program, int(pix64)


def files_under(folder):
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def test_files_are_valid_fits_with_right_checksums(healpix):
    files = sorted(healpix.rglob("*.fits"))
    assert len(files) == 21 * 2 + 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a wrong CHECKSUM or DATASUM is a warning to astropy
        for path in files:
            with fits.open(path, checksum=True) as hdus:
                hdus.verify("exception")
                if path.name.startswith("coadd"):
                    assert all({"CHECKSUM", "DATASUM"} <= set(hdu.header) for hdu in hdus)


def test_checksum_files_list_every_file(healpix):
    listed = {}
    for path in healpix.rglob("*.sha256sum"):
        parts = path.parent.relative_to(healpix.parents[1]).parts
        assert path.name == "_".join(["redux", *parts]) + ".sha256sum"
        for line in path.read_text().splitlines():
            digest, name = line.split("  ")
            listed[path.parent / name] = digest
    assert listed == {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in healpix.rglob("*.fits")}


def test_tilepix_lists_what_exists_and_more(healpix, coadds):
    with fits.open(healpix / "tilepix.fits") as hdus:
        header, table = hdus["TILEPIX"].header, hdus["TILEPIX"].data
        assert (header["HPXNSIDE"], header["HPXNEST"]) == (64, True)
        assert [header[f"TFORM{i}"] for i in range(1, 6)] == ["J", "7A", "6A", "I", "J"]
        listed = set(zip(table["SURVEY"], table["PROGRAM"], table["HEALPIX"].tolist(), strict=True))
    there = {place(path) for path in coadds}
    assert there < listed
    assert {survey for survey, _, _ in listed - there} == {"main", "sv3"}
    assert len({pix64 for *_, pix64 in there}) >= 12
    assert len({pix64 // 16 for *_, pix64 in there}) >= 3
    for survey, program, pix64 in there:
        folder = healpix / survey / program / str(pix64 // 100) / str(pix64)
        assert (folder / f"redrock-{survey}-{program}-{pix64}.fits").exists()


def test_coadd_format(coadds, truth):
    arms = {"B": 2751, "R": 2326, "Z": 2881}
    masks, without_exposures, orders, columns = set(), 0, set(), set()
    for path in coadds:
        survey, program, pix64 = place(path)
        with fits.open(path) as hdus:
            primary = hdus[0].header
            assert (primary["SURVEY"], primary["PROGRAM"], primary["HPXPIXEL"]) == (survey, program, pix64)
            assert (primary["SPGRPVAL"], primary["HPXNSIDE"], primary["HPXNEST"]) == (pix64, 64, True)
            assert "CONTINUE" in primary.tostring()
            fibermap = hdus["FIBERMAP"].data
            n = len(fibermap)
            assert 12 <= n <= 20
            where = (fibermap["TARGET_RA"], fibermap["TARGET_DEC"])
            assert (healpy.ang2pix(64, *where, nest=True, lonlat=True) == pix64).all()
            assert (hdus["SCORES"].data["TARGETID"] == fibermap["TARGETID"]).all()
            for arm, npix in arms.items():
                assert hdus[f"{arm}_WAVELENGTH"].data.dtype == ">f8"
                for kind in ("FLUX", "IVAR"):
                    assert hdus[f"{arm}_{kind}"].data.dtype == ">f4"
                    assert hdus[f"{arm}_{kind}"].shape == (n, npix)
                    assert np.isfinite(hdus[f"{arm}_{kind}"].data).all()
                assert hdus[f"{arm}_RESOLUTION"].shape == (n, 11, npix)
                ivar, mask = hdus[f"{arm}_IVAR"].data, hdus[f"{arm}_MASK"].data
                assert ((ivar == 0) == (mask != 0)).all()
                assert 0 < (mask != 0).sum() < 0.01 * mask.size
                assert mask.max() < 8
                masks.add((program, mask.dtype.kind + str(mask.dtype.itemsize), hdus[f"{arm}_MASK"].header["BITPIX"]))
            without_exposures += "EXP_FIBERMAP" not in hdus
            if "EXP_FIBERMAP" in hdus:
                counts = {
                    target: (hdus["EXP_FIBERMAP"].data["TARGETID"] == target).sum() for target in fibermap["TARGETID"]
                }
                assert [counts[target] for target in fibermap["TARGETID"]] == fibermap["COADD_NUMEXP"].tolist()
            orders.add(tuple(hdu.name for hdu in hdus if hdu.name != "EXP_FIBERMAP"))
            columns.add(tuple(fibermap.names))
            mine = (truth["spectra/pix64"] == pix64) & (truth["spectra/program"] == program)
            assert truth["spectra/targetid"][mine].tolist() == fibermap["TARGETID"].tolist()
    assert masks == {("dark", "u4", 32), ("bright", "i4", 32), ("backup", "i4", 32)}
    assert without_exposures == 1
    assert len(orders) == 2
    assert len(columns) == 2


def test_objects_have_one_targetid_that_needs_64_bits(truth):
    targetid = truth["spectra/targetid"]
    positions = dict(zip(targetid.tolist(), zip(truth["spectra/ra"], truth["spectra/dec"], strict=True), strict=True))
    assert len(set(positions.values())) == len(positions)  # one TARGETID, one place, in all programs
    assert len(positions) < len(targetid)  # some objects were observed in two programs
    assert (targetid.astype(float).astype(np.int64) != targetid).any()
    assert {target >> 42 for target in positions if target < 1 << 61} == {9010}  # RELEASE, as desitarget packs it
    assert any(str(target).startswith("2305843") for target in positions)


@needs_real
def test_like_the_real_files(healpix):
    made = healpix / "main" / "dark" / "272" / "27247" / "coadd-main-dark-27247.fits"
    with fits.open(REAL_COADD) as real, fits.open(made) as ours:
        assert [hdu.name for hdu in ours] == [hdu.name for hdu in real]
        for arm in "BRZ":
            assert ours[f"{arm}_WAVELENGTH"].data.tobytes() == real[f"{arm}_WAVELENGTH"].data.tobytes()
            for kind in ("WAVELENGTH", "FLUX", "IVAR", "RESOLUTION"):
                a, b = (file[f"{arm}_{kind}"].header for file in (ours, real))
                assert (a["BITPIX"], a.get("BUNIT"), a["NAXIS1"]) == (b["BITPIX"], b.get("BUNIT"), b["NAXIS1"])
        # loa has more columns than iron, and spells two units otherwise.
        for name in ("FIBERMAP", "EXP_FIBERMAP", "SCORES"):
            theirs = {column.name: (column.format, column.unit) for column in real[name].columns}
            for column in ours[name].columns:
                assert column.format == theirs[column.name][0], column.name
                if not column.name.startswith(("PM", "STD_FIBER")) and theirs[column.name][1] != "d":
                    assert column.unit == theirs[column.name][1], column.name
            new = set(theirs) - set(ours[name].columns.names)
            assert new <= {"DESINAME", "MIN_MJD", "MAX_MJD", "MEAN_MJD", "IN_COADD_B", "IN_COADD_R", "IN_COADD_Z"}
    with fits.open(REAL_REDROCK) as real, fits.open(made.with_name("redrock-main-dark-27247.fits")) as ours:
        assert [hdu.name for hdu in ours] == [hdu.name for hdu in real]
        theirs = {column.name: column.format for column in real["REDSHIFTS"].columns if column.name != "FITMETHOD"}
        assert {column.name: column.format for column in ours["REDSHIFTS"].columns} == theirs


def test_redrock_has_another_order_and_finds_the_truth(coadds, truth):
    for path in coadds:
        _, program, pix64 = place(path)
        mine = (truth["spectra/pix64"] == pix64) & (truth["spectra/program"] == program)
        z = dict(zip(truth["spectra/targetid"][mine].tolist(), truth["spectra/z"][mine], strict=True))
        with fits.open(path.with_name(path.name.replace("coadd", "redrock"))) as hdus:
            fit, order = hdus["REDSHIFTS"].data, fits.getdata(path, "FIBERMAP")["TARGETID"].tolist()
            assert (np.diff(fit["TARGETID"]) > 0).all()
            assert sorted(order) == fit["TARGETID"].tolist()
            assert order != fit["TARGETID"].tolist()
            for other in ("FIBERMAP", "TSNR2"):
                assert (hdus[other].data["TARGETID"] == fit["TARGETID"]).all()
            np.testing.assert_allclose(fit["Z"], [z[target] for target in fit["TARGETID"]], rtol=0, atol=3.1e-5)
            assert ((fit["ZWARN"] == 4) == (fit["DELTACHI2"] < 9)).all()
            scores = fits.getdata(path, "SCORES")
            score = dict(zip(scores["TARGETID"].tolist(), scores["TSNR2_LRG"].tolist(), strict=True))
            assert hdus["TSNR2"].data["TSNR2_LRG"].tolist() == [score[target] for target in fit["TARGETID"].tolist()]
    assert set(truth["spectra/spectype"]) == {"GALAXY", "QSO", "STAR"}
    assert (np.abs(truth["spectra/z"][truth["spectra/spectype"] == "STAR"]) < 1e-3).all()
    assert set(truth["spectra/zwarn"]) == {0, 4}
    assert 0 < (truth["spectra/zwarn"] == 4).mean() < 0.2


def test_flux_is_the_truth_with_the_noise_that_ivar_says(coadds, truth):
    start = {"B": 0, "R": 2700, "Z": 4900}
    pulls, masked = [], set()
    for path in coadds:
        _, program, pix64 = place(path)
        flux = truth["spectra/flux"][(truth["spectra/pix64"] == pix64) & (truth["spectra/program"] == program)]
        with fits.open(path) as hdus:
            bad = {arm: np.ones(flux.shape, bool) for arm in start}
            for arm, first in start.items():
                ivar = hdus[f"{arm}_IVAR"].data
                at = slice(first, first + ivar.shape[1])
                good = ivar > 0
                pulls.append(((hdus[f"{arm}_FLUX"].data - flux[:, at]) * np.sqrt(ivar))[good])
                bad[arm][:, at] = ~good
            for blue, red, at in (("B", "R", slice(2700, 2751)), ("R", "Z", slice(4900, 5026))):
                masked |= {(blue, *both) for both in zip(bad[blue][:, at].flat, bad[red][:, at].flat, strict=True)}
    pulls = np.concatenate(pulls)
    # In the overlaps the truth is the mean of two line-spread functions: a little more than noise.
    assert abs(pulls.mean()) < 0.01
    assert abs(pulls.std() - 1) < 0.01
    assert masked == {(arm, *both) for arm in "BR" for both in ((0, 0), (0, 1), (1, 0), (1, 1))}


def test_resolution_holds_the_true_line_spread_function(coadds, truth):
    offsets = np.arange(5, -6, -1)[:, None]
    for path in coadds[:4]:
        _, program, pix64 = place(path)
        mine = (truth["spectra/pix64"] == pix64) & (truth["spectra/program"] == program)
        for arm in "BRZ":
            resolution = fits.getdata(path, f"{arm}_RESOLUTION").astype(float)
            np.testing.assert_allclose(resolution.sum(axis=1), 1, atol=0.01)  # complete columns, also at the ends
            sigma = np.sqrt((resolution * offsets**2).sum(axis=1) / resolution.sum(axis=1))
            np.testing.assert_allclose(sigma, truth[f"spectra/lsf_sigma_{arm.lower()}"][mine], atol=0.01)
            assert 0.7 < sigma.min() < sigma.max() < 1.15
            assert np.ptp(sigma, axis=0).max() > 0.01  # fibers differ


def test_truth_covers_every_status_and_names_every_row(truth, rows):
    status = truth["rows/status"]
    assert 80 <= len(rows) == len(status)
    assert truth["rows/row"].tolist() == list(range(len(rows)))
    assert set(status) == STATUSES
    assert all(row["healpix"] for row, what in zip(rows, status, strict=True) if what != "rejected")
    for row, what in zip(rows, status, strict=True):
        if what != "rejected":
            ra, dec = float(row["RA_DESI"]), float(row["DEC_DESI"])
            assert int(row["healpix"]) == healpy.ang2pix(16, ra % 360, dec, nest=True, lonlat=True)
    assert ((truth["rows/n_spectra"] > 0) == (status == "matched")).all()
    assert np.isfinite(truth["rows/nearest_arcsec"][status == "matched"]).all()
    assert (np.isnan(truth["rows/nearest_arcsec"]) == (truth["rows/n_within_report_radius"] == 0)).all()
    missing = truth["rows/missing_coadds"]
    assert {what for what, n in zip(status, missing, strict=True) if n} == {"matched", "no_fiber", "coadd_absent"}
    nearest = truth["rows/nearest_arcsec"][status == "no_fiber"]
    assert ((nearest > 1) & (nearest < 3)).any()
    assert np.isnan(nearest).any()
    positions = [(row["RA_DESI"], row["DEC_DESI"]) for row in rows]
    assert len(set(positions)) < len(positions)
    assert any(row["RA_DESI"].startswith("-0.0") for row in rows)
    assert any(row["note"].count(",") for row in rows)
    assert any(row["flux_aper_b"] == "" for row in rows)


def test_truth_agrees_with_astropy_and_query_disc(truth, rows, coadds, healpix):
    """The expected ledger again, from the files, by other means."""
    files = [(*place(path)[1:], fits.getdata(path, "FIBERMAP")) for path in coadds]
    pixel = np.concatenate([np.full(len(table), pix64) for _, pix64, table in files])
    fibers = SkyCoord(
        *(np.concatenate([table[f"TARGET_{axis}"] for *_, table in files]) for axis in ("RA", "DEC")), unit="deg"
    )
    absent = [27333, 27333, 27246]
    listed = fits.getdata(healpix / "tilepix.fits", "TILEPIX")
    elsewhere = set(listed["HEALPIX"][listed["SURVEY"] != "main"].tolist())
    pairs = {}
    for i, row in enumerate(rows):
        if truth["rows/status"][i] == "rejected":
            continue
        ra, dec = float(row["RA_DESI"]), float(row["DEC_DESI"])
        assert truth["rows/pix64"][i] == healpy.ang2pix(64, ra, dec, nest=True, lonlat=True)
        # `fact` divides pixels into 0.01 arcsec: no false neighbours among these rows.
        vector = healpy.ang2vec(ra, dec, lonlat=True)
        touched = healpy.query_disc(64, vector, np.radians(1 / 3600), inclusive=True, fact=2**18, nest=True)
        distance = SkyCoord(ra, dec, unit="deg").separation(fibers).to_value(units.arcsec)
        distance[~np.isin(pixel, touched)] = np.inf
        missing = sum(pix64 in touched for pix64 in absent)
        if distance.min() <= 1:
            status = "matched"
        elif np.isin(pixel, touched).any():
            status = "no_fiber"
        else:
            status = "not_selected" if elsewhere & {*touched.tolist()} else "not_covered"
            status = "coadd_absent" if missing else status
        assert truth["rows/status"][i] == status, row
        assert truth["rows/missing_coadds"][i] == missing
        assert truth["rows/n_spectra"][i] == (distance <= 1).sum()
        assert truth["rows/n_within_report_radius"][i] == (distance <= 3).sum()
        if distance.min() <= 3:
            assert truth["rows/nearest_arcsec"][i] == pytest.approx(distance.min(), abs=1e-6)
        pairs |= {(i, j): distance[j] for j in np.flatnonzero(distance <= 1)}
    order = np.concatenate([table["TARGETID"] for *_, table in files])
    programs = np.concatenate([np.full(len(table), program) for program, _, table in files])
    found = {(i, order[j], programs[j]) for i, j in pairs}
    spectrum = truth["matches/spectrum"]
    matches = zip(
        truth["matches/row"], truth["spectra/targetid"][spectrum], truth["spectra/program"][spectrum], strict=True
    )
    assert set(matches) == found
    assert len(spectrum) == len(found)


def test_rows_meet_the_awkward_cases(truth, rows):
    at = {row["name"]: i for i, row in enumerate(rows)}

    def spectra(name):
        return truth["matches/spectrum"][truth["matches/row"] == at[name]]

    for name in ("across-pix64-edge", "across-pix16-edge", "across-pix16-edge-at-ra-0", "across-pix16-edge-at-dec-82"):
        (one,) = spectra(name)
        mine, theirs = truth["rows/pix64"][at[name]], truth["spectra/pix64"][one]
        assert mine != theirs
        assert (mine // 16 != theirs // 16) == ("pix16" in name)
        assert truth["rows/nearest_arcsec"][at[name]] < 0.8
    assert len(set(truth["spectra/targetid"][spectra("two-fibers")])) == 2
    assert truth["spectra/pix64"][spectra("fibers-on-both-sides")].tolist() == [19456, 19458]
    assert np.isnan(truth["rows/nearest_arcsec"][at["fiber-beyond-the-touched-pixels"]])

    def primary(name, *keys):
        two = spectra(name)
        assert len(set(truth["spectra/targetid"][two])) == 1
        best = max(two, key=lambda one: [sign * truth[f"spectra/{key}"][one] for sign, key in keys])
        return truth["spectra/program"][best]

    by_zwarn, by_tsnr2 = (-1, "zwarn"), (1, "tsnr2_lrg")
    for name in at:
        if name.startswith("primary-"):
            assert primary(name, by_zwarn, by_tsnr2) == name.split("-")[1]
    for name in ("primary-bright-by-zwarn", "primary-dark-by-zwarn"):  # TSNR2 alone would decide otherwise
        assert primary(name, by_tsnr2) != primary(name, by_zwarn)


def test_program_writes_the_same_bytes_again_and_replaces_what_was_there(demo_release, tmp_path):
    out = tmp_path / "demo"
    stale = out / "spectro/redux/demo/healpix/main/dark/273/27333/coadd-main-dark-27333.fits"
    stale.parent.mkdir(parents=True)
    stale.write_text("of an earlier run")
    (out / "targets.csv").write_text("of an earlier run")
    assert cli.run(simulate_release.main, simulate_release.build_parser(), ["--out", str(out), "--seed", "1"]) == 0
    assert files_under(out) == files_under(demo_release)
    for name in files_under(out):
        assert filecmp.cmp(out / name, demo_release / name, shallow=False), name
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_a_run_that_dies_leaves_nothing(tmp_path, monkeypatch):
    def dies(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(release, "_write_pixel", dies)
    with pytest.raises(KeyboardInterrupt):
        release.simulate(tmp_path / "demo")
    assert list(tmp_path.iterdir()) == []
