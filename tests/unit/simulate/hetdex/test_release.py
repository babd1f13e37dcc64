"""The simulated HETDEX cubes: what astropy and cfitsio read back, against the format, the truth, and other means."""

import csv
import filecmp

import fitsio
import h5py
import numpy as np
import pytest
import simulate_survey
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from skyharvest.core import cli
from skyharvest.simulate.hetdex import release as simulated

SHAPE = (1036, 104, 104)
WAVE = np.linspace(3470, 5540, 1036)
BITS = {"MAIN": 1, "CHI2FIB": 4, "BADPIX": 8, "BADAMP": 16, "METEOR": 64, "BADFIB": 512, "BADCAL": 2048}


def run(csv_path, out, seed=1):
    arguments = ["hetdex", "--csv", str(csv_path), "--out", str(out), "--seed", str(seed)]
    return cli.run(simulate_survey.main, simulate_survey.build_parser(), arguments)


@pytest.fixture(scope="module")
def release(demo_release, tmp_path_factory):
    out = tmp_path_factory.mktemp("cubes") / "hetdex"
    assert run(demo_release / "targets.csv", out) == 0
    return out


@pytest.fixture(scope="module")
def truth(release):
    with h5py.File(release / "truth.hdf5") as file:
        return {group: {name: data[:] for name, data in file[group].items()} for group in file}


@pytest.fixture(scope="module")
def index(release):
    with fits.open(release / "ifu-index.fits") as hdus:
        hdus.verify("exception")
        return hdus[1].data.copy()


@pytest.fixture(scope="module")
def rows(demo_release):
    """RA and Dec of the CSV's rows, NaN where there is none."""

    def number(text):
        try:
            return float(text)
        except ValueError:
            return np.nan

    with (demo_release / "targets.csv").open(newline="") as stream:
        found = np.array([(number(row["RA_DESI"]), number(row["DEC_DESI"])) for row in csv.DictReader(stream)])
    good = np.isfinite(found).all(axis=1) & (np.abs(found[:, 1]) <= 90) & (found[:, 0] >= -180) & (found[:, 0] <= 360)
    return np.where(good[:, None], found, np.nan)


@pytest.fixture(scope="module")
def flawed(release, truth):
    (k,) = np.flatnonzero(truth["cubes"]["flawed"])
    with fits.open(path_of(release, truth, k)) as hdus:
        return {name: np.asarray(hdus[name].data) for name in ("DATA", "ERROR", "MASK")}


def path_of(release, truth, k):
    shotid, slot = truth["cubes"]["shotid"][k], truth["cubes"]["ifuslot"][k].decode()
    return release / "datacubes" / str(shotid) / f"dex_cube_{shotid}_{slot}.fits"


def on_disk(truth):
    return np.flatnonzero(truth["cubes"]["on_disk"]).tolist()


def sky(table, ra="ra", dec="dec"):
    return SkyCoord(np.asarray(table[ra], float), np.asarray(table[dec], float), unit="deg")


def distance(x, y):
    """Return (104, 104): of every spaxel's middle from a place, in spaxels."""
    return np.hypot(np.arange(104) - x, np.arange(104)[:, None] - y)


def test_there_are_the_cubes_that_a_harvest_must_meet(release, truth, rows):
    table, pairs = truth["cubes"], truth["pairs"]
    there = {path_of(release, truth, k) for k in on_disk(truth)}
    assert set(release.rglob("*.fits")) == there | {release / "ifu-index.fits"}
    assert len(there) == 5
    assert (~table["on_disk"]).sum() == 1
    assert (table["shotid"][table["on_disk"]] // 10**13 == 0).all()
    assert (table["shotid"][table["on_disk"]] < 20180101000).sum() == 1
    assert sum(path.stat().st_size for path in there) < 35e6

    sources = sky(truth["sources"])
    separation = sources[pairs["source"]].separation(sky(table)[pairs["cube"]]).to_value("arcsec")
    whole = np.isclose(pairs["fraction_on_cube"], pairs["fraction"], rtol=1e-6)
    off = pairs["fraction_on_cube"] == 0
    here = table["on_disk"][pairs["cube"]]
    assert ((separation <= 37) & off & here).sum() >= 2  # near a cube's center, but off the cube
    assert (~whole & ~off & here).any()  # on an edge
    epochs = np.bincount(pairs["source"][whole & here])
    assert (epochs == 2).any()
    on_a_cube = np.bincount(pairs["cube"][whole & here])
    assert (on_a_cube == 2).any()
    only_absent = set(pairs["source"][~here]) - set(pairs["source"][here])
    assert only_absent

    # Every pair is there, and every CSV row near a cube has its source, which it may share.
    near = sources[:, None].separation(sky(table)) <= 45 * units.arcsec
    assert set(zip(pairs["source"], pairs["cube"], strict=True)) == set(zip(*np.nonzero(near), strict=True))
    good = np.flatnonzero(np.isfinite(rows[:, 0]))
    close = SkyCoord(rows[good], unit="deg")[:, None].separation(sky(table)) <= 45 * units.arcsec
    assert truth["rows"]["row"].tolist() == good[close.any(axis=1)].tolist()
    at = SkyCoord(rows[truth["rows"]["row"]], unit="deg")
    assert at.separation(sources[truth["rows"]["source"]]).to_value("arcsec").max() < 1e-6
    assert len(set(truth["rows"]["source"])) == len(sources) < len(truth["rows"]["row"])
    apart = sources[:, None].separation(sources).to_value("arcsec") + 1e9 * np.eye(len(sources))
    assert apart.min() > 15  # no source in another's aperture


def test_index(release, truth, index, rows):
    formats = {column.name: column.format for column in index.columns}
    assert formats["shotid"] == "K"
    assert formats["ifuslot"] == "3A"
    assert formats["field"] == "12A"
    assert {formats[name] for name in ("date", "obsid", "n_ifu")} == {"J"}
    assert {formats[name] for name in ("ra_shot", "dec_shot", "pa", "mjd")} == {"D"}
    flags = [name for name in formats if name.startswith("flag")]
    assert flags == [
        "flag",
        *(f"flag_{of}" for of in ["badamp", "badfib", "meteor", "satellite", "shot", "throughput"]),
    ]
    floats = ["ra_cen", "dec_cen", "fwhm_virus", "fwhm_virus_err", "response_4540", "exptime", "fluxlimit_4600"]
    assert {formats[name] for name in flags + floats} == {"E"}
    keys = list(zip(index["shotid"].tolist(), index["ifuslot"], strict=True))
    assert len(set(keys)) == len(keys)
    assert keys == sorted(keys)
    assert all(len(slot) == 3 and slot.isdigit() for _, slot in keys)
    assert any(slot.startswith("0") for _, slot in keys)
    assert set(index["field"]) == {"dex-spring", "dex-fall"}
    for name in flags:
        assert ((index[name] >= 0) & (index[name] <= 1)).all()

    table = truth["cubes"]
    cubes_of = zip(table["shotid"].tolist(), table["ifuslot"].astype(str).tolist(), strict=True)
    listed = [keys.index(cube) for cube in cubes_of]
    for column, name in (("ra_cen", "ra"), ("dec_cen", "dec"), ("fwhm_virus", "fwhm"), ("pa", "pa")):
        assert (index[column][listed] == table[name].astype(index[column].dtype.newbyteorder("="))).all()
    assert (index["date"].astype(int) * 1000 + index["obsid"] == index["shotid"]).all()
    assert (index["mjd"][index["date"] == 20190301] // 1 == 58543).all()
    others = np.setdiff1d(np.arange(len(index)), listed)
    assert len(others) >= 6
    good = SkyCoord(rows[np.isfinite(rows[:, 0])], unit="deg")
    away = sky(index[others], "ra_cen", "dec_cen")[:, None].separation(good).to_value("arcsec")
    assert away.min() > 60
    assert not any(
        (release / f"datacubes/{keys[i][0]}/dex_cube_{keys[i][0]}_{keys[i][1]}.fits").exists() for i in others
    )


def test_headers_put_every_source_where_the_truth_says(release, truth):
    table, pairs = truth["cubes"], truth["pairs"]
    for k in on_disk(truth):
        with fits.open(path_of(release, truth, k)) as hdus:
            assert [hdu.name for hdu in hdus] == ["PRIMARY", "DATA", "ERROR", "MASK"]
            assert hdus[0].header["NAXIS"] == 0
            assert [hdu.header["BITPIX"] for hdu in hdus[1:]] == [-32, -32, 16]
            assert {hdu.shape for hdu in hdus[1:]} == {SHAPE}
            assert all(isinstance(hdu, fits.CompImageHDU) for hdu in hdus[1:])
            header = hdus["DATA"].header
        assert (header["CRPIX1"], header["CRPIX2"], header["CRPIX3"]) == (52, 52, 1)
        assert (header["CUNIT3"], header["CRVAL3"], header["CDELT3"], header["CTYPE3"]) == ("m", 3470, 2, "WAVE")
        shotid = int(table["shotid"][k])
        assert (header["SHOTID"], header["IFUSLOT"]) == (shotid, table["ifuslot"][k].decode())
        assert header["DATEVOBS"] == f"{str(shotid)[:8]}v{str(shotid)[8:]}"
        assert header["FWHM"] == table["fwhm"][k]
        wcs = WCS(header).celestial
        np.testing.assert_allclose(proj_plane_pixel_scales(wcs) * 3600, 0.5, rtol=1e-9)
        mine = pairs["cube"] == k
        x, y = wcs.world_to_pixel(sky(truth["sources"])[pairs["source"][mine]])
        np.testing.assert_allclose(x, pairs["x"][mine], rtol=0, atol=1e-5)
        np.testing.assert_allclose(y, pairs["y"][mine], rtol=0, atol=1e-5)
        center, up = wcs.pixel_to_world([51, 51], [51, 61])
        assert center.separation(SkyCoord(table["ra"][k], table["dec"][k], unit="deg")).to_value("arcsec") < 1e-6
        angle = (center.position_angle(up).to_value("deg") - table["pa"][k] + 180) % 360 - 180
        assert abs(angle) < 1e-4


def test_tiles_are_rice_compressed(release, truth):
    with fits.open(path_of(release, truth, 0), disable_image_compression=True) as hdus:
        for hdu in hdus[1:]:
            assert hdu.header["ZCMPTYPE"] == "RICE_1"
            assert [hdu.header[f"ZTILE{i}"] for i in (1, 2, 3)] == [104, 104, 1]
            assert [hdu.header[f"ZNAXIS{i}"] for i in (1, 2, 3)] == [104, 104, 1036]
        assert [hdu.header["ZBITPIX"] for hdu in hdus[1:]] == [-32, -32, 16]


def test_light_ends_at_the_rim_of_the_fibers(release, truth, flawed):
    lit = np.isfinite(flawed["DATA"][0])
    for name in ("DATA", "ERROR"):
        assert (np.isfinite(flawed[name]) == lit).all()
    assert (flawed["MASK"][:, ~lit] == 0).all()
    assert 0.9 < lit.mean() < 0.98
    assert lit[7:-7, 7:-7].all()
    for rim in (lit[:2], lit[-2:], lit[:, :2], lit[:, -2:]):
        assert 0 < rim.mean() < 1
    half = [k for k in on_disk(truth) if np.isfinite(fitsio.read(path_of(release, truth, k), "DATA")[0]).mean() < 0.6]
    assert len(half) == 3  # two amplifiers of four


def test_the_flawed_cube_has_bits_of_several_kinds_and_a_dead_fiber(truth, index, flawed):
    mask, lit = flawed["MASK"], np.isfinite(flawed["DATA"][0])
    assert mask.dtype == np.dtype("int16").newbyteorder(mask.dtype.byteorder)
    assert np.bitwise_or.reduce(mask, axis=None) == sum(BITS.values())
    lines = np.zeros(1036, bool)
    for first, last in ((3534, 3556), (5194, 5197), (5200, 5205), (5456, 5466)):
        lines |= (first <= WAVE) & (last >= WAVE)
    badcal = mask & BITS["BADCAL"] != 0
    assert (badcal == (lines[:, None, None] & lit)).all()
    for name in ("METEOR", "BADAMP", "BADFIB", "CHI2FIB"):
        where = mask & BITS[name] != 0
        assert (where == where[0]).all()
        assert 0 < where[0].sum() < 0.3 * lit.sum(), name
    assert 2000 < (mask & BITS["BADPIX"] != 0).sum() < 3000

    dead = (flawed["ERROR"][0] == 0) & lit
    assert 10 < dead.sum() < 30
    assert (flawed["ERROR"][:, dead] == 0).all()
    assert (flawed["DATA"][:, dead] == 0).all()
    assert (flawed["ERROR"][:, lit & ~dead] > 0).all()
    assert (np.abs(flawed["DATA"][:, lit & ~dead]) < 1e-8).sum() < 10  # they count as missing
    assert (mask[0][dead] == 0).any()

    # A dead fiber, the streak: in the source's circle, which all the same has most of its voxels.
    (pair,) = np.flatnonzero(truth["cubes"]["flawed"][truth["pairs"]["cube"]])
    circle = distance(truth["pairs"]["x"][pair], truth["pairs"]["y"][pair]) <= 7
    assert (dead & circle).any()
    assert ((mask[0] & BITS["METEOR"] != 0) & circle).any()
    assert 0.5 < ((mask[0] == 0) & ~dead)[circle].mean() < 0.95

    (row,) = index[(index["flag"] < 1) & (index["flag_meteor"] < 1)]
    for name in ("METEOR", "BADAMP", "BADFIB"):
        part = (mask[0] & BITS[name] != 0)[lit].mean()
        assert row[f"flag_{name.lower()}"] == pytest.approx(1 - part, abs=1e-6)


def test_noise_is_what_error_says(release, truth, flawed):
    table, pairs = truth["cubes"], truth["pairs"]
    for k in on_disk(truth):
        if table["flawed"][k]:
            data, error = flawed["DATA"], flawed["ERROR"]
            ignore = (np.bitwise_or.reduce(flawed["MASK"], axis=0) & ~np.int16(BITS["BADCAL"])) != 0
        else:
            data, error = (fitsio.read(path_of(release, truth, k), name) for name in ("DATA", "ERROR"))
            ignore = np.zeros((104, 104), bool)
        for x, y in zip(pairs["x"][pairs["cube"] == k], pairs["y"][pairs["cube"] == k], strict=True):
            ignore |= distance(x, y) < 24
        ignore |= ~(error[0] > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            pull = np.where(ignore, np.nan, data / error)
        del data
        n = (~ignore).sum()
        assert n > 1000
        flat = pull[:, ~ignore]
        assert abs(flat.mean()) < 5 / np.sqrt(flat.size)
        assert abs(flat.std() - 1) < 0.002
        assert abs(flat[:300].std() - 1) < 0.004  # blue, and red
        assert abs(flat[-300:].std() - 1) < 0.004
        assert (np.abs(flat) > 3).mean() == pytest.approx(0.0027, rel=0.05)
        some = pull[400:600]
        for one, next_one in ((some[1:], some[:-1]), (some[:, 1:], some[:, :-1]), (some[..., 1:], some[..., :-1])):
            assert abs(np.nanmean(one * next_one)) < 0.005
        assert np.ptp(error[:, ~ignore], axis=0).min() > 0.03  # it depends on wavelength


def test_a_circle_on_clean_cubes_holds_the_light_that_the_truth_says(release, truth):
    table, pairs = truth["cubes"], truth["pairs"]
    compared = 0
    for k in on_disk(truth):
        mine = np.flatnonzero(pairs["cube"] == k)
        data, error = (fitsio.read(path_of(release, truth, k), name) for name in ("DATA", "ERROR"))
        for i in mine:
            if table["flawed"][k] or pairs["fraction_on_cube"][i] < pairs["fraction"][i] - 1e-6:
                continue
            at = (np.arange(1040) + 0.5) / 10 - 0.5  # middles of sub-spaxels
            r = np.hypot(at - pairs["x"][i], at[:, None] - pairs["y"][i])
            weight = (r <= 7).reshape(104, 10, 104, 10).mean(axis=(1, 3))
            inside = weight > 0
            found = data[:, inside] @ weight[inside] / 2
            sigma = np.sqrt(error[:, inside].astype(float) ** 2 @ weight[inside] ** 2) / 2
            flux = truth["sources"]["flux"][pairs["source"][i]]
            alpha = table["fwhm"][k] / (2 * np.sqrt(2 ** (1 / 3) - 1))
            fraction = 1 - (1 + (3.5 / alpha) ** 2) ** -2
            assert pairs["fraction"][i] == pytest.approx(fraction, rel=1e-12)
            pull = (found - fraction * flux) / sigma
            assert abs(pull.mean()) < 0.15
            assert abs(pull.std() - 1) < 0.1
            assert (flux / sigma).mean() > 3  # there is something to see
            compared += 1
    assert compared >= 4


def test_spectra_are_what_the_truth_tells_of_them(truth):
    sources = truth["sources"]
    for i, flux in enumerate(sources["flux"].astype(float)):
        shape = (WAVE / 4500) ** sources["slope"][i]
        nu = (sources["ab_mag"][i] * units.ABmag).to("erg / (s cm2 AA)", units.spectral_density(4500 * units.AA))
        lines = flux - nu.to_value("1e-17 erg / (s cm2 AA)") * shape
        for wave, total, sigma in zip(*(sources[f"line_{name}"][i] for name in ("wave", "flux", "sigma")), strict=True):
            near = np.abs(WAVE - wave) < 6 * sigma
            assert lines[near].sum() * 2 == pytest.approx(total, rel=1e-3)
            assert (lines * WAVE)[near].sum() / lines[near].sum() == pytest.approx(wave, abs=0.05)
            lines[near] = 0
        assert np.abs(lines).max() < 1e-3 * flux.max()


def test_the_same_seed_gives_the_same_bytes(demo_release, release, tmp_path):
    out = tmp_path / "hetdex"
    absent = out / "datacubes" / "20220405009" / "dex_cube_20220405009_093.fits"
    absent.parent.mkdir(parents=True)
    absent.write_text("of an earlier run")
    (out / "ifu-index.fits").write_text("of an earlier run")
    assert run(demo_release / "targets.csv", out) == 0
    files = {path.relative_to(release) for path in release.rglob("*") if path.is_file()}
    assert {path.relative_to(out) for path in out.rglob("*") if path.is_file()} == files
    for name in files:
        assert filecmp.cmp(out / name, release / name, shallow=False), name


def test_another_seed_gives_other_sources_and_noise(demo_release, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        simulated, "write_cube", lambda *_, sources, rng, **__: drawn.append((sources.flux, rng.random()))
    )
    for seed in (1, 2):
        simulated.simulate(demo_release / "targets.csv", tmp_path, seed)
    assert len(drawn) == 10
    for (flux, noise), (other_flux, other_noise) in zip(drawn[:5], drawn[5:], strict=True):
        assert (flux != other_flux).any()
        assert noise != other_noise


def test_a_run_that_dies_leaves_no_index(demo_release, tmp_path, monkeypatch):
    def dies(*_, **__):
        raise KeyboardInterrupt

    (tmp_path / "ifu-index.fits").write_text("of an earlier run")
    monkeypatch.setattr(simulated, "write_cube", dies)
    with pytest.raises(KeyboardInterrupt):
        simulated.simulate(demo_release / "targets.csv", tmp_path)
    assert list(tmp_path.rglob("*.fits")) == []


@pytest.mark.parametrize("text", ["name,RA_DESI,DEC_DESI\na,1,2\n", "ra,dec\n1,2\n"])
def test_another_csv_is_refused(tmp_path, capsys, text):
    (tmp_path / "my.csv").write_text(text)
    assert run(tmp_path / "my.csv", tmp_path / "out") == 2
    assert "simulate_release.py" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
