"""Maps of pixels over a month: numpy's medians, and pixels that were planted."""

import csv
import warnings

import fitsio
import map_residuals as program
import numpy as np
import pytest

from hetdex_shot import Shot, images, spectra
from skyharvest.core import cli
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.reduction.hetdex.calibration.pixel_mask import read_boxes
from skyharvest.reduction.hetdex.settings import ResidualMaps
from skyharvest.reduction.hetdex.spectra.pixel_statistics import median, scatter
from skyharvest.reduction.hetdex.spectra.residual_maps import maps_of, read_sky_residual, write_residual_maps

IFU = "311_093_054_0123"
EXPOSURES = (1, 2, 3, 4, 5, 6)


@pytest.fixture(scope="module")
def month(tmp_path_factory) -> Shot:
    """Six exposures; of LL pixels are bad in three of them, of LU one exposure is lost and of RU four."""
    failed = ((1, IFU, "LU"), *((expnum, IFU, "RU") for expnum in (1, 2, 3, 4)))
    everything = dict.fromkeys(EXPOSURES, 1.0)
    shot = Shot(
        tmp_path_factory.mktemp("month"), (IFU,), EXPOSURES, failed=failed, with_images=True, norm=everything
    ).write()
    for expnum in (2, 4, 5):
        with fitsio.FITS(str(shot.science(expnum, IFU) / f"{shot.multiframe(IFU, 'LL')}.fits"), "rw") as file:
            for name, value in (("processed", np.nan), ("error", np.nan)):
                image = file[name].read()
                image[736:755, 537:556] = value
                image[1031, 1031] = value
                if name == "processed" and expnum != 4:
                    image[900, 100] = 1e5  # in two: by chance one in 10 000 pixels
                if name == "processed":
                    image[300, 200] = 1e5  # 10 σ and more
                file[name].write(image)
    return shot


@pytest.fixture(scope="module")
def written(month, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / IFU
    given = ["--multifits", *map(str, month.all_science), "--out", str(out), "--memory-mb", "60"]
    assert cli.run(program.main, program.build_parser(), given) == 0
    return out


def test_planted_pixels_are_listed(written):
    boxes = read_boxes(written / "bad_pixels.txt")  # as the flats' step reads a user's
    assert boxes == {"311LL": [(201, 201, 301, 301), (538, 556, 737, 755), (1032, 1032, 1032, 1032)]}
    with (written / "amps.csv").open() as stream:
        states = {row["amp"]: row for row in csv.DictReader(stream)}
    assert states["LL"]["n_bad"] == str(19 * 19 + 2) and states["RL"]["n_bad"] == "0"
    assert (states["LU"]["state"], states["LU"]["n_frames"]) == ("done", "5")
    assert states["RU"]["reason"] == "2 frames, fewer than residual_maps.min_frames = 5"
    assert states["RU"]["state"] == "left_out"
    assert not list(written.glob("*RU*")) and len(list(written.glob("*.fits"))) == 3
    assert float(states["RL"]["chi2"]) == pytest.approx(1, abs=0.15)  # the median of six is a little larger


def test_maps_are_numpys_medians(written):
    pulls = []
    for expnum in EXPOSURES:
        found = images(0, "RL", expnum)
        pulls.append((found["processed"] - found["model2d"]) / found["error"])
    stack = np.array(pulls)
    with fitsio.FITS(str(written / "residuals_cam311_RL.fits")) as file:
        assert file[0].read_header()["NFRAMES"] == 6
        maps = {name: file[name].read() for name in ("RESIDUAL", "CHI2", "FLAGGED", "FIBER_CHI2", "ERROR_RATIO")}
    np.testing.assert_allclose(maps["RESIDUAL"], np.median(stack, axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(maps["CHI2"], np.median(stack**2, axis=0) / 0.454936, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(maps["FLAGGED"], (stack**2 > 10).mean(axis=0), atol=1e-6)
    fibers = [spectra(0, "RL", expnum) for expnum in EXPOSURES]
    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
        chi2 = np.nanmedian([one["chi2"] for one in fibers], axis=0)
        sky = np.nanmedian([one["sky_subtracted"] / one["sky_spectrum"] for one in fibers], axis=0)
    np.testing.assert_allclose(maps["FIBER_CHI2"], chi2, rtol=1e-5)
    np.testing.assert_allclose(read_sky_residual(written, "311", "RL"), sky, rtol=1e-4)
    assert read_sky_residual(written, "311", "RU") is None
    assert np.isnan(maps["FIBER_CHI2"][7]).all()  # a dead fiber
    assert np.nanmedian(maps["ERROR_RATIO"]) == pytest.approx(0.85, abs=0.1)  # of six values


def test_memory_changes_nothing(month, written):
    paths = [month.science(expnum, IFU) / f"{month.multiframe(IFU, 'LL')}.fits" for expnum in EXPOSURES]
    maps = maps_of(paths, ResidualMaps(memory_mb=900))
    with fitsio.FITS(str(written / "residuals_cam311_LL.fits")) as file:
        for name, values in vars(maps).items():
            np.testing.assert_array_equal(file[name.upper()].read(), values, err_msg=name)


def test_what_cannot_be_read(month, tmp_path):
    other = Shot(tmp_path / "a", ("008_093_054_0123",), (1,)).write()
    with pytest.raises(InputError, match="spectrographs 008, 311"):
        write_residual_maps([*month.all_science, *other.all_science], tmp_path / "out", ResidualMaps())
    torn = tmp_path / "multi_008_093_054_LL.fits"
    torn.write_bytes(b"SIMPLE")
    with pytest.raises(MalformedFile, match=r"multi_008_093_054_LL\.fits: found no multifits"):
        maps_of([torn] * 5, ResidualMaps())
    assert not (tmp_path / "out").exists()


def test_median_and_scatter():
    random = np.random.default_rng(5)
    stack = random.normal(3, 2, (41, 6, 200)).astype(np.float32)
    stack[random.random(stack.shape) < 0.3] = np.nan
    stack[:, 2, 5] = np.nan
    with warnings.catch_warnings(action="ignore"):
        expected = np.nanmedian(stack, axis=0)
        spread = np.nanmedian(np.abs(stack - expected), axis=0) * 1.4826
    np.testing.assert_array_equal(median(stack.copy()), expected)
    np.testing.assert_allclose(scatter(stack.copy()), spread, rtol=1e-5)
