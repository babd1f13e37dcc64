"""Pieces of the detector's images, against pixels that say where they are."""

import numpy as np
import pytest

from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.amp_file import AmpResult
from skyharvest.reduction.hetdex.sources.cutouts import DetectorImages, Fiber, NotCut, places, raw_pixels, weighted_mean
from skyharvest.reduction.hetdex.spectra import amps_csv, multifits

IFU = "317_015_038_0211"
NAME = "multi_317_015_038_LL"
WIDTH, HEIGHT = 20, 9


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Pixels of clean_image are 2000 × row + column, those of error the negative; wavelengths are not even."""
    made = tmp_path_factory.mktemp("science") / "exp02" / IFU
    made.mkdir(parents=True)
    arrays = {name: np.zeros(shape) for name, shape in multifits.LAYOUT.items() if name}
    row, column = np.mgrid[:1032, :1032]
    arrays["clean_image"] = 2000.0 * row + column
    arrays["error"] = -arrays["clean_image"]
    x, fiber = np.arange(1032), np.arange(112)[:, None]
    arrays["wavelength"] = 3490 + 1.9 * x + 1e-4 * x**2 + 0.01 * fiber
    arrays["trace"] = 2.3 + 9.2 * fiber + 4 * ((x - 516) / 516) ** 2
    header = {"NAME0": "", **dict.fromkeys(multifits.COUNTS, 0)}
    multifits.write(made / f"{NAME}.fits", header, arrays)
    amps_csv.write(made, {"LL": AmpResult(), "LU": AmpResult(failed="it has no light")})
    return made


@pytest.mark.parametrize("wave", [3491.5, 3500.0, 4321.0, 5554.0])
@pytest.mark.parametrize("fibnum", [1, 60, 112])
def test_a_piece_has_the_pixels_around_the_fiber(directory, fibnum, wave):
    with DetectorImages([directory]) as images:
        piece = images.piece(Fiber(2, NAME, fibnum), wave, ["clean_image", "error"], width=WIDTH, height=HEIGHT)
    wavelength, trace = multifits.read(directory / f"{NAME}.fits", "wavelength", "trace")
    nearest = int(np.abs(wavelength[fibnum - 1] - wave).argmin())
    middle = round(float(np.interp(wave, wavelength[fibnum - 1], trace[fibnum - 1])))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            row, column = middle + y - HEIGHT // 2, nearest + x - WIDTH // 2
            there = 0 <= row < 1032 and 0 <= column < 1032
            expected = 2000 * row + column if there else np.nan
            np.testing.assert_equal(piece.images["clean_image"][y, x], expected)
            np.testing.assert_equal(piece.images["error"][y, x], -expected)
            if 0 <= column < 1032:
                assert piece.wave[x] == wavelength[fibnum - 1, column]
                assert middle - HEIGHT // 2 + piece.trace[x] == pytest.approx(trace[fibnum - 1, column], abs=1e-3)
            else:
                assert np.isnan(piece.wave[x]) and np.isnan(piece.trace[x])
    # The fiber and its wavelength are in the pixel in the middle.
    assert abs(piece.trace[WIDTH // 2] - HEIGHT // 2) < 0.51
    assert abs(piece.wave[WIDTH // 2] - wave) < 1.1


def test_raw_pixels_count_from_one(directory):
    wavelength, trace = multifits.read(directory / f"{NAME}.fits", "wavelength", "trace")
    wave = [wavelength[0, 0], wavelength[3, 500] + 0.4, wavelength[111, 1031], 3000.0]
    rows = [0, 3, 111, 5]
    column, row = places(wavelength[rows], trace[rows], np.array(wave))
    assert raw_pixels(column).tolist() == [1, 501, 1032, -1]
    assert raw_pixels(row).tolist() == [
        round(6.3) + 1,
        round(float(trace[3, 500])) + 1,
        round(float(trace[111, 1031])) + 1,
        -1,
    ]


def test_what_cannot_be_cut_says_why(directory):
    with DetectorImages([directory]) as images:
        for fiber, wave, why in [
            (Fiber(2, NAME, 1), 5700.0, "no 5700.0 Å"),
            (Fiber(1, NAME, 1), 4500.0, "no images in exp01"),
            (Fiber(2, NAME.replace("LL", "LU"), 1), 4500.0, "it has no light"),
            (Fiber(2, NAME.replace("LL", "RU"), 1), 4500.0, "no such file"),
        ]:
            with pytest.raises(NotCut, match=why):
                images.piece(fiber, wave, ["clean_image"], width=WIDTH, height=HEIGHT)
    with pytest.raises(InputError, match="it is not there"):
        DetectorImages([directory.parent.parent / "exp03" / IFU])


def test_masked_pixels_are_the_mean_of_other_fibers():
    pieces = [np.full((2, 2), 6.0, np.float32), np.full((2, 2), 1.0, np.float32), np.full((2, 2), 2.0, np.float32)]
    pieces[1][0, 0] = pieces[0][0, 1] = pieces[0][1, 1] = pieces[2][1, 1] = np.nan
    made = weighted_mean(pieces, np.array([0.6, 0.3, 0.3]))
    np.testing.assert_allclose(made, [[(3.6 + 0.6) / 0.9, 1.5], [(3.6 + 0.9) / 1.2, np.nan]], rtol=1e-6)
    assert np.isnan(weighted_mean(pieces, np.zeros(3))).all()
