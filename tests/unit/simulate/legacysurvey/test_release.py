"""The simulated bricks: what astropy and photutils read back, against the format, the truth, and other means."""

import csv
import filecmp
import subprocess
from itertools import combinations

import h5py
import numpy as np
import pytest
import simulate_survey
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from photutils.aperture import CircularAperture, aperture_photometry
from photutils.centroids import centroid_2dg, centroid_sources
from scipy.ndimage import map_coordinates

from skyharvest.core import cli
from skyharvest.simulate.legacysurvey import release as simulated
from skyharvest.simulate.legacysurvey.brick import FWHM, SIGMA, enclosed
from skyharvest.surveys.legacysurvey.release import load_release
from small_bricks import moffat

BANDS = "griz"
RELEASE = load_release("demolegacysurvey")
MADE = ("image", "invvar", "model", "nexp", "psfsize")
NPRIMARY, MEDIUM = 1, 2048
ALLMASK = {"g": 32, "r": 64, "z": 128, "i": 32768}


def run(csv_path, out, seed=1):
    arguments = ["legacysurvey", "--csv", str(csv_path), "--out", str(out), "--seed", str(seed)]
    return cli.run(simulate_survey.main, simulate_survey.build_parser(), arguments)


@pytest.fixture(scope="module")
def release(demo_release, tmp_path_factory):
    out = tmp_path_factory.mktemp("bricks") / "legacysurvey"
    assert run(demo_release / "targets.csv", out) == 0
    return out


@pytest.fixture(scope="module")
def truth(release):
    with h5py.File(release / "truth.hdf5") as file:
        assert file.attrs["bands"].tolist() == [band.encode() for band in BANDS]
        return {group: {name: data[:] for name, data in file[group].items()} for group in file}


@pytest.fixture(scope="module")
def rows(demo_release):
    """RA (0 to 360) and Dec of the CSV's rows, NaN where there is none; and the rows' names."""

    def number(text):
        try:
            return float(text)
        except ValueError:
            return np.nan

    with (demo_release / "targets.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    found = np.array([(number(line["RA_DESI"]), number(line["DEC_DESI"])) for line in lines])
    good = np.isfinite(found).all(axis=1) & (np.abs(found[:, 1]) <= 90) & (found[:, 0] >= -180) & (found[:, 0] <= 360)
    found[~good] = np.nan
    found[:, 0] %= 360
    return found, [line["name"] for line in lines]


def name_of(truth, k):
    return truth["bricks"]["region"][k].decode(), truth["bricks"]["brickname"][k].decode()


def bands_of(truth, k):
    return truth["bricks"]["bands"][k].decode()


def on_disk(truth):
    return np.flatnonzero(truth["bricks"]["on_disk"]).tolist()


def path_of(release, truth, k, product, band=None):
    return release / RELEASE.product(*name_of(truth, k), product, band)


def read(release, truth, k, product, band=None):
    return fits.getdata(path_of(release, truth, k, product, band), 1)


def wcs_of(release, truth, k, product="image", band="r"):
    return icrs(WCS(fits.getheader(path_of(release, truth, k, product, band), 1)))


def icrs(wcs):
    """Return a WCS in ICRS: as in the survey, headers have EQUINOX without RADESYS, which astropy takes for FK5."""
    wcs.wcs.radesys = "ICRS"
    return wcs


def files_of(release, truth, k):
    made = [path_of(release, truth, k, product, band) for product in MADE for band in bands_of(truth, k)]
    return [*made, path_of(release, truth, k, "maskbits")]


def test_there_are_the_bricks_that_a_harvest_must_meet(release, truth, rows):
    table, pairs = truth["bricks"], truth["pairs"]
    expected = {release / "truth.hdf5", *(release / RELEASE.bricks(region) for region in RELEASE.regions)}
    for k in on_disk(truth):
        expected |= {*files_of(release, truth, k), release / RELEASE.checksums(*name_of(truth, k))}
    found = {path for path in release.rglob("*") if path.is_file()}
    assert found == expected
    assert sum(path.stat().st_size for path in found) < 25e6
    assert (~table["on_disk"]).sum() == 1
    assert set(table["region"]) == {b"south", b"north"}
    assert set(table["bands"][table["region"] == b"south"]) == {b"griz", b"grz"}

    # Every CSV row in a box is there, with its star, which two rows at one place share.
    position, names = rows
    held = [(r, k) for r, (ra, dec) in enumerate(position) for k in range(len(table["ra"])) if holds(table, k, ra, dec)]
    assert list(zip(truth["rows"]["row"], truth["rows"]["brick"], strict=True)) == held
    assert len({r for r, _ in held}) == len(held)  # boxes do not overlap
    star = truth["rows"]["star"]
    assert np.array_equal(truth["stars"]["ra"][star], position[truth["rows"]["row"], 0])
    assert np.array_equal(truth["stars"]["dec"][star], position[truth["rows"]["row"], 1])
    assert len(set(star)) < len(star)
    at = {names[r]: (k, i) for (r, k), i in zip(held, star, strict=True)}
    assert len(held) < np.isfinite(position).all(axis=1).sum()  # some are outside every brick

    def pixel(name):
        k, i = at[name]
        (pair,) = np.flatnonzero((pairs["star"] == i) & (pairs["brick"] == k))
        assert pairs["home"][pair]
        return pairs["x"][pair], pairs["y"][pair]

    # Cutouts of 160 pixels: whole, stitched of two, of four, on a brick of the north partly beyond, on an absent one.
    size = 452
    inside = [80 <= axis <= size - 80 for axis in pixel("duplicate-row-0")]
    assert all(inside)
    x, y = pixel("ra-359.99")
    assert x < 80 and y > size - 80
    x, y = pixel("ra-360")
    assert x > size - 80 and 80 < y < size - 80
    assert {at[name][0] for name in ("ra-359.99", "ra-360", "ra-negative-too-far")} == {0, 2, 3}
    assert name_of(truth, at["match-12258-0"][0])[0] == "north"
    assert size - 80 < pixel("match-12258-0")[0] < size - 20
    assert not table["on_disk"][at["separation-0.99"][0]]
    apart = SkyCoord(truth["stars"]["ra"], truth["stars"]["dec"], unit="deg")
    apart = apart[:, None].separation(apart).to_value("arcsec") + 1e9 * np.eye(len(apart))
    assert apart.min() > 10


def holds(table, k, ra, dec):
    return table["ra1"][k] <= ra < table["ra2"][k] and table["dec1"][k] <= dec < table["dec2"][k]


def test_tables(release, truth, rows):
    bricks_of = truth["bricks"]
    for region in RELEASE.regions:
        with fits.open(release / RELEASE.bricks(region)) as hdus:
            hdus.verify("exception")
            table = hdus[1].data.copy()
            formats = {column.name: column.format for column in hdus[1].columns}
        assert list(formats)[:3] == ["brickname", "ra", "dec"]
        assert formats["brickname"] == "8A"
        assert {formats[name] for name in ("ra", "dec", "ra1", "ra2", "dec1", "dec2")} == {"D"}
        assert {formats[f"nexp_{band}"] for band in BANDS} == {"I"}
        assert {formats[f"nexphist_{band}"] for band in BANDS} == {"11J"}
        assert formats["survey_primary"] == "L"
        assert (np.sort(table["brickname"]) == table["brickname"]).all()
        assert len(set(table["brickname"])) == len(table)
        np.testing.assert_allclose(table["ra"], (table["ra1"] + table["ra2"]) / 2, rtol=1e-14)
        np.testing.assert_allclose(table["dec"], (table["dec1"] + table["dec2"]) / 2, rtol=1e-14)
        at = SkyCoord(table["ra"], table["dec"], unit="deg")
        north = (at.galactic.b > 0) & (table["dec"] > 32.375)
        assert (table["survey_primary"] == (north == (region == "north"))).all()
        assert table["survey_primary"].all()
        assert (table["nexp_i"] == 0).all() == (region == "north")

        mine = np.flatnonzero(bricks_of["region"] == region.encode())
        others = ~np.isin(table["brickname"], [name_of(truth, k)[1] for k in mine])
        csv_rows = SkyCoord(rows[0][np.isfinite(rows[0]).all(axis=1)], unit="deg")
        assert others.any()
        assert at[others][:, None].separation(csv_rows).min() > 0.1 * u.deg
        for k in mine:
            (row,) = table[table["brickname"] == name_of(truth, k)[1]]
            for name in ("ra", "dec", "ra1", "ra2", "dec1", "dec2"):
                assert row[name] == bricks_of[name][k]
            assert [band for band in BANDS if row[f"nexp_{band}"] > 0] == list(bands_of(truth, k))
            if bricks_of["on_disk"][k]:
                own = (read(release, truth, k, "maskbits") & NPRIMARY) == 0
                for band in bands_of(truth, k):
                    nexp = read(release, truth, k, "nexp", band)[own]
                    assert row[f"nexp_{band}"] == np.median(nexp)
                    assert row[f"nexphist_{band}"].tolist() == [(nexp == n).sum() for n in range(11)]
                    assert row[f"psfsize_{band}"] == np.float32(FWHM[band])


def test_headers(release, truth):
    pairs = truth["pairs"]
    for k in on_disk(truth):
        _, name = name_of(truth, k)
        mine = np.flatnonzero(pairs["brick"] == k)
        sky = SkyCoord(truth["stars"]["ra"], truth["stars"]["dec"], unit="deg")[pairs["star"][mine]]
        seen = set()
        for path in files_of(release, truth, k):
            with fits.open(path) as hdus:
                hdus.verify("exception")
                assert hdus[0].data is None
                header = hdus[1].header
            assert header["BRICK"] == name
            assert (header["NAXIS1"], header["NAXIS2"]) == (452, 452)
            assert [header[key] for key in ("RAMIN", "RAMAX", "DECMIN", "DECMAX")] == pytest.approx(
                [truth["bricks"][edge][k] for edge in ("ra1", "ra2", "dec1", "dec2")], rel=1e-14
            )
            wcs = icrs(WCS(header))
            seen.add(wcs.to_header_string())
            if header["IMTYPE"] == "maskbits":
                assert (header["EXTNAME"], header["MBIT_0"], header["MBIT_15"]) == ("MASKBITS", "NPRIMARY", "ALLMASK_I")
                continue
            assert path.name == f"legacysurvey-{name}-{header['IMTYPE']}-{header['FILTERX']}.fits.fz"
            unit = {"invvar": "1/nanomaggy^2", "nexp": None, "psfsize": "arcsec"}.get(header["IMTYPE"], "nanomaggy")
            assert header.get("BUNIT") == unit
            assert header.get("MAGZERO") == (22.5 if unit == "nanomaggy" else None)
        assert len(seen) == 1
        np.testing.assert_allclose(proj_plane_pixel_scales(wcs) * 3600, 0.262, rtol=1e-9)
        x, y = wcs.world_to_pixel(sky)
        np.testing.assert_allclose(x, pairs["x"][mine], rtol=0, atol=1e-6)
        np.testing.assert_allclose(y, pairs["y"][mine], rtol=0, atol=1e-6)
        middle, left, up = wcs.pixel_to_world([225.5, 125.5, 225.5], [225.5, 225.5, 325.5])
        assert (
            middle.separation(SkyCoord(*(truth["bricks"][axis][k] for axis in ("ra", "dec")), unit="deg")) < 1 * u.uas
        )
        assert middle.position_angle(left).to_value("deg") == pytest.approx(90, abs=0.1)
        assert middle.position_angle(up).wrap_at(180 * u.deg).to_value("deg") == pytest.approx(0, abs=0.1)
        # Every star that is on the image is a pair of it.
        x, y = wcs.world_to_pixel(SkyCoord(truth["stars"]["ra"], truth["stars"]["dec"], unit="deg"))
        near = (x > -0.5) & (x < 451.5) & (y > -0.5) & (y < 451.5)
        assert set(np.flatnonzero(near)) == set(pairs["star"][mine])


def test_files_are_compressed_as_the_survey_compresses_them(release, truth):
    exact = 0
    for k in on_disk(truth):
        for path in files_of(release, truth, k):
            with fits.open(path, disable_image_compression=True) as hdus:
                product = hdus[1].header["IMTYPE"]
                assert len(hdus) == (4 if product == "maskbits" else 2)
                header, table = hdus[1].header, hdus[1].data
                assert header["ZIMAGE"]
                assert [header[f"Z{key}"] for key in ("TILE1", "TILE2", "NAXIS1", "NAXIS2")] == [100, 100, 452, 452]
                assert len(table) == 25
                way = header["ZCMPTYPE"], header.get("ZQUANTIZ"), header["ZBITPIX"]
                lengths = {name: [len(row) for row in table[name]] for name in table.names if name.endswith("DATA")}
            if product in ("image", "model"):
                assert way == ("RICE_1", "SUBTRACTIVE_DITHER_2", -32)
                assert 1 <= header["ZDITHER0"] <= 10000
                quantized = np.array(lengths["COMPRESSED_DATA"]) > 0
                assert table["ZSCALE"][quantized] == pytest.approx(1e-4, rel=1e-6)
                assert quantized.all() or product == "model"
            elif product == "invvar":
                assert way == ("RICE_1", "NO_DITHER", -32)
                assert "ZDITHER0" not in header
                exact += np.count_nonzero(lengths.get("GZIP_COMPRESSED_DATA", []))
            elif product == "psfsize":
                assert way == ("GZIP_1", "NONE", -32)
            else:
                assert way == ("HCOMPRESS_1", None, 32 if product == "maskbits" else 16)
    assert exact > 50  # tiles that could not be quantized


def test_noise_is_what_invvar_says(release, truth):
    before = {}
    for k in on_disk(truth):
        for band in bands_of(truth, k):
            image, model, invvar = (read(release, truth, k, product, band) for product in ("image", "model", "invvar"))
            assert image.dtype == model.dtype == invvar.dtype == np.dtype(">f4").newbyteorder(image.dtype.byteorder)
            good = invvar > 0
            pull = ((image - model) * np.sqrt(invvar))[good]
            assert abs(pull.mean()) < 5 / np.sqrt(pull.size)
            assert pull.std() == pytest.approx(1, abs=0.008)
            assert (np.abs(pull) > 3).mean() == pytest.approx(0.0027, abs=6e-4)
            nexp = read(release, truth, k, "nexp", band)
            np.testing.assert_allclose(invvar[good], nexp[good] / SIGMA[band] ** 2, rtol=0.2)
            assert len(np.unique(nexp[good])) >= 3
            noise = np.where(good, image - model, 0)
            if band in before:  # every brick and band has its own
                assert abs(np.corrcoef(noise.ravel(), before[band].ravel())[0, 1]) < 0.02
            before[band] = noise


def test_what_was_not_observed_is_zero_and_said_to_be_masked(release, truth):
    flawed = np.flatnonzero(truth["bricks"]["flawed"])
    assert len(flawed) == 1
    for k in on_disk(truth):
        bits = read(release, truth, k, "maskbits")
        assert bits.dtype.kind == "i" and bits.dtype.itemsize == 4
        for band in BANDS:
            masked = bits & ALLMASK[band] != 0
            if band not in bands_of(truth, k):
                assert not masked.any()
                continue
            assert masked.any() == (k in flawed)
            for product in MADE:
                data = read(release, truth, k, product, band)
                if product != "model":
                    assert ((data == 0) == masked).mean() > 0.9999  # an image may be 0 by chance
                assert (data[masked] == 0).all()
            assert (read(release, truth, k, "invvar", band)[~masked] > 0).all()
            size = read(release, truth, k, "psfsize", band)[~masked]
            assert (size == np.float32(FWHM[band])).all()
        # NPRIMARY is what is outside the box.
        world = wcs_of(release, truth, k).pixel_to_world(*np.meshgrid(np.arange(452), np.arange(452)))
        ra, dec = world.ra.deg, world.dec.deg
        ra1, ra2, dec1, dec2 = (truth["bricks"][edge][k] for edge in ("ra1", "ra2", "dec1", "dec2"))
        own = (ra >= ra1) & (ra < ra2) & (dec >= dec1) & (dec < dec2)
        assert ((bits & NPRIMARY == 0) == own).all()
        assert 0.8 < own.mean() < 0.85
    (k,) = flawed
    masked = read(release, truth, k, "maskbits") & ALLMASK["z"] != 0
    assert masked.reshape(452, 452)[200:300, 300:400].all()  # a whole tile
    assert (read(release, truth, k, "maskbits") & MEDIUM != 0).any()


def test_the_good_share_of_circles(release, truth):
    pairs = truth["pairs"]
    csv_stars = np.isin(pairs["star"], truth["rows"]["star"])
    for k in range(len(truth["bricks"]["ra"])):
        for j, band in enumerate(BANDS):
            mine = np.flatnonzero(pairs["brick"] == k)
            if not truth["bricks"]["on_disk"][k] or band not in bands_of(truth, k):
                assert (pairs["good"][mine, j] == 0).all()
                continue
            good = (read(release, truth, k, "invvar", band) > 0).astype(float)
            circles = CircularAperture(np.column_stack([pairs["x"][mine], pairs["y"][mine]]), 3.5 / 0.262)
            found = aperture_photometry(good, circles, method="center")["aperture_sum"]
            whole = [CircularAperture(np.mod(at, 1) + 50, 3.5 / 0.262) for at in circles.positions]
            whole = [aperture_photometry(np.ones((101, 101)), one, method="center")["aperture_sum"][0] for one in whole]
            np.testing.assert_allclose(pairs["good"][mine, j], found / whole, atol=1e-12)
    assert ((pairs["good"][csv_stars, 1] > 0.5) & (pairs["good"][csv_stars, 1] < 1)).any()  # a trail over a source


def in_circle(at, radius, fwhm):
    """Return the share of a star's light that a circle on its pixels holds."""
    x, y = at % 1 + 15
    return aperture_photometry(moffat(x, y, fwhm, (31, 31), 5), CircularAperture((x, y), radius))["aperture_sum"][0]


def test_stars_have_their_magnitudes_and_places(release, truth):
    pairs = truth["pairs"]
    radius = 2.0
    pulls, moved = [], []
    for k in on_disk(truth):
        for j, band in enumerate(BANDS):
            mine = np.flatnonzero((pairs["brick"] == k) & (pairs["good"][:, j] == 1))
            if not len(mine):
                assert band not in bands_of(truth, k)
                continue
            image, invvar = (read(release, truth, k, product, band).astype(float) for product in ("image", "invvar"))
            bad = invvar == 0
            error = 1 / np.sqrt(np.where(bad, 1, invvar))
            at = np.column_stack([pairs["x"][mine], pairs["y"][mine]])
            found = aperture_photometry(image, CircularAperture(at, radius / 0.262), error=error, mask=bad)
            magnitude = truth["stars"]["magnitude"][pairs["star"][mine], j]
            share = np.array([in_circle(one, radius / 0.262, FWHM[band]) for one in at])
            np.testing.assert_allclose(share, enclosed(radius, FWHM[band]), rtol=2e-3)
            flux = found["aperture_sum"] / share
            pull = (flux - 10 ** ((22.5 - magnitude) / 2.5)) / (found["aperture_sum_err"] / share)
            pulls.extend(pull)
            bright = np.flatnonzero(magnitude < 19)
            off = np.abs(22.5 - 2.5 * np.log10(flux[bright]) - magnitude[bright])
            assert (off < 0.05).all()
            if not len(bright):
                continue
            x, y = centroid_sources(image, *at[bright].T, box_size=11, centroid_func=centroid_2dg)
            moved.extend(np.hypot(x - at[bright, 0], y - at[bright, 1]))
    np.testing.assert_allclose(truth["stars"]["flux"], 10 ** ((22.5 - truth["stars"]["magnitude"]) / 2.5), rtol=1e-12)
    assert len(pulls) > 200
    assert abs(np.mean(pulls)) < 4 / np.sqrt(len(pulls))
    assert np.std(pulls) == pytest.approx(1, abs=0.15)
    assert len(moved) > 50
    assert max(moved) < 0.1


def test_neighbours_show_the_same_sky(release, truth):
    """Each brick's model, interpolated to the other's pixels."""
    compared = lit = 0
    y, x = np.indices((452, 452))
    for k, other in combinations(on_disk(truth), 2):
        there = wcs_of(release, truth, other)
        at = there.world_to_pixel(wcs_of(release, truth, k).pixel_to_world(x, y))
        on = (at[0] >= 0) & (at[0] <= 451) & (at[1] >= 0) & (at[1] <= 451)
        if not on.any():
            continue
        compared += 1
        for band in set(bands_of(truth, k)) & set(bands_of(truth, other)):
            seen = on & (read(release, truth, k, "invvar", band) > 0)
            whole = map_coordinates((read(release, truth, other, "invvar", band) > 0).astype(float), at[::-1], order=1)
            seen &= whole > 0.999
            mine = read(release, truth, k, "model", band)
            theirs = map_coordinates(read(release, truth, other, "model", band).astype(float), at[::-1], order=5)
            # Where a gap's edge rings in the interpolation is not looked at.
            quiet = map_coordinates((read(release, truth, other, "invvar", band) == 0).astype(float), at[::-1], order=5)
            seen &= np.abs(quiet) < 1e-4
            assert seen.sum() > 500
            lit += mine[seen].max() > 0.01
            np.testing.assert_allclose(theirs[seen], mine[seen], rtol=0.02, atol=2e-3)
    assert compared == 6  # four bricks around a corner
    assert lit > 12


def test_checksums(release, truth):
    for k in on_disk(truth):
        path = release / RELEASE.checksums(*name_of(truth, k))
        assert len(path.read_text().splitlines()) == len(files_of(release, truth, k))
        subprocess.run(["sha256sum", "--check", "--strict", "--quiet", path.name], cwd=path.parent, check=True)


def test_the_same_seed_gives_the_same_bytes(demo_release, release, tmp_path):
    out = tmp_path / "legacysurvey"
    brick = out / "south" / "coadd" / "000" / "0000p006"
    brick.mkdir(parents=True)
    (brick / "legacysurvey-0000p006-image-i.fits.fz").write_text("of an earlier run")
    (out / "south" / "survey-bricks-demo-south.fits.gz").write_text("of an earlier run")
    assert run(demo_release / "targets.csv", out) == 0
    files = {path.relative_to(release) for path in release.rglob("*") if path.is_file()}
    assert {path.relative_to(out) for path in out.rglob("*") if path.is_file()} == files
    for name in files:
        assert filecmp.cmp(out / name, release / name, shallow=False), name


def test_another_seed_gives_other_stars_and_noise(demo_release, tmp_path, monkeypatch):
    drawn = []

    def instead(directory, *_, stars, rng, nexp, **__):
        directory.mkdir(parents=True, exist_ok=True)
        drawn.append((stars.flux["r"], rng.random()))
        return nexp

    monkeypatch.setattr(simulated, "write_brick", instead)
    for seed in (1, 2):
        simulated.simulate(demo_release / "targets.csv", tmp_path, seed)
    assert len(drawn) == 12
    for (flux, noise), (other_flux, other_noise) in zip(drawn[:6], drawn[6:], strict=True):
        assert (flux != other_flux).any()
        assert noise != other_noise


def test_a_run_that_dies_leaves_no_tables(demo_release, tmp_path, monkeypatch):
    def dies(*_, **__):
        raise KeyboardInterrupt

    for region in RELEASE.regions:
        (tmp_path / region).mkdir()
        (tmp_path / RELEASE.bricks(region)).write_text("of an earlier run")
    monkeypatch.setattr(simulated, "write_brick", dies)
    with pytest.raises(KeyboardInterrupt):
        simulated.simulate(demo_release / "targets.csv", tmp_path)
    assert list(tmp_path.rglob("*.fits.gz")) == []


@pytest.mark.parametrize("text", ["name,RA_DESI,DEC_DESI\na,1,2\n", "ra,dec\n1,2\n"])
def test_another_csv_is_refused(tmp_path, capsys, text):
    (tmp_path / "my.csv").write_text(text)
    assert run(tmp_path / "my.csv", tmp_path / "out") == 2
    assert "simulate_release.py" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
