"""Contact sheets: what a person would see on them, measured on the PNG."""

import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import contact_sheet
from skyharvest.core import cli
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.surveys.legacysurvey.contact_sheet import (
    GAP,
    HEADING,
    LABEL,
    MARK,
    MAX_SIDE,
    grid,
    make_sheet,
    shown_bands,
)

PIXSCALE = 0.262
NOISE = {"g": 0.0045, "r": 0.0075, "i": 0.011, "z": 0.017}  # nanomaggy a pixel, as of DR10
WHITE = np.array([0.55, 1.0, 1.3, 1.65])
AMBER = (240, 180, 84)
BRIGHT = (233, 236, 241)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def sky(n: int, size: int = 160, bands: str = "griz", seed: int = 1):
    """Return empty sky (n, band, size, size), nanomaggy."""
    sigma = np.array([NOISE[band] for band in bands])[:, None, None]
    return (sigma * np.random.default_rng(seed).normal(size=(n, len(bands), size, size))).astype(np.float32)


def star(x: float, y: float, flux, size: int = 160, sigma: float = 2.2):
    """Return a star (band, size, size) of one flux a band."""
    rows, columns = np.indices((size, size))
    shape = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    return (np.asarray(flux)[:, None, None] * shape).astype(np.float32)


def write(path: Path, image, bands: str = "griz", *, rows=None, at=None, name="chandra", magnitudes=None) -> Path:
    """Write an assembled file; the sources are in the middle, or at x, y of their cutouts."""
    n, _, size, _ = image.shape
    rng = np.random.default_rng(9)
    x0, y0 = rng.integers(0, 3000, (2, n))
    x, y = np.transpose(at) if at is not None else np.full((2, n), size // 2)
    with h5py.File(path, "w") as file:
        file.attrs.update({"healpix": 1234, "nside": 16, "ordering": "NESTED", "release": "dr10"})
        group = file.create_group("legacysurvey")
        group.attrs["pixscale"] = PIXSCALE
        group["image"] = image
        group["invvar"] = np.nan_to_num(0 * image + 1)
        group["band"] = np.array(list(bands), "S2")
        group["brickname"] = np.full(n, b"1501p022", "S8")
        group["ra"], group["dec"] = np.full(n, 150.1), np.full(n, -2.2)
        group["x0"], group["y0"] = x0, y0
        group["x"], group["y"] = x0 + x, y0 + y
        group["coverage"] = np.isfinite(image).mean(axis=(2, 3))
        if magnitudes is not None:
            group["aperture_magnitude"] = magnitudes
            group["aperture_radius"] = np.array([0.75, 1.5, 5.0])
        file.create_group(name)["row"] = np.arange(n) * 7 if rows is None else np.asarray(rows)
    return path


def draw(path: Path, **options):
    """Return the sheet's pixels (y, x, 3), and the thumbnails (n, side, side, 3)."""
    out = path.with_suffix(".png")
    n = make_sheet(path, out, **options)
    places = grid(n, options.get("thumbnail", 160))
    with Image.open(out) as opened:
        assert (opened.format, opened.mode, opened.size) == ("PNG", "RGB", (places.width, places.height))
        sheet = np.asarray(opened).astype(int)
    side = places.thumbnail
    corners = [places.corner(k) for k in range(n)]
    thumbnails = [sheet[top : top + side, left : left + side] for left, top in corners]
    return sheet, np.array(thumbnails).reshape(n, side, side, 3)


def is_color(pixels, color, tolerance: int = 40):
    return np.abs(pixels - np.array(color)).max(axis=-1) <= tolerance


def centroid(thumbnail, around, reach: int = 8):
    """Return x, y of the light near a place of a thumbnail, in pixels from its left and top edge."""
    left, top = (int(at) - reach for at in around)
    light = thumbnail[top : top + 2 * reach + 1, left : left + 2 * reach + 1].sum(axis=-1).astype(float)
    light = np.clip(light - 250, 0, None)
    rows, columns = np.indices(light.shape) + 0.5
    return left + (columns * light).sum() / light.sum(), top + (rows * light).sum() / light.sum()


def test_cutouts_are_in_row_order_with_north_up_and_east_left(tmp_path):
    """Each with a star in a direction of its own; in thumbnails as large as the cutouts, smaller, and larger."""
    steps = [(0, 1), (-1, 0), (0, -1), (1, 0), (-1, 1)]  # N, E, S, W, NE in pixels
    for size in (160, 401, 101):
        image = sky(5, size)
        places = [(size // 2 + dx * size // 4, size // 2 + dy * size // 4) for dx, dy in steps]
        for k, (x, y) in enumerate(places):
            image[k] += star(x, y, 40 * WHITE * (size / 160) ** 2, size, 2.2 * size / 160)
        _, thumbnails = draw(write(tmp_path / f"{size}.hdf5", image))
        for k, (x, y) in enumerate(places):
            expected = (x + 0.5) * 160 / size, 160 - (y + 0.5) * 160 / size
            np.testing.assert_allclose(centroid(thumbnails[k], expected), expected, atol=0.3, err_msg=f"{size} {k}")


def test_the_source_is_marked_where_it_is(tmp_path):
    at = [(80.2, 79.9), (42.0, 118.0), (120.4, 30.6), (np.nan, 20.0), (400.0, 20.0)]
    _, thumbnails = draw(write(tmp_path / "a.hdf5", sky(5), at=at))
    for k, (x, y) in enumerate(at):
        rows, columns = np.nonzero(is_color(thumbnails[k], MARK, 30))
        if k > 2:
            assert len(rows) == 0
            continue
        assert len(rows) >= 32
        assert (columns.min() + columns.max()) / 2 == pytest.approx(int(x + 0.5), abs=0.5)
        assert (rows.min() + rows.max()) / 2 == pytest.approx(int(160 - y - 0.5), abs=0.5)
        assert np.hypot(columns - x, rows - (159 - y)).min() > 6.5  # open: the source itself is seen


def test_colours_are_those_of_the_bands(tmp_path):
    image = sky(4)
    for k, color in enumerate(([0, 0, 1, 1], [0, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1])):
        image[k] += star(40, 110, 8 * WHITE * color)
    _, thumbnails = draw(write(tmp_path / "a.hdf5", image))
    red, green, blue, white = thumbnails[:, 46:53, 37:44].mean(axis=(1, 2))
    assert red[0] > 1.5 * red[1:].max()
    assert green[1] > 1.5 * green[[0, 2]].max()
    assert blue[2] > 1.5 * blue[:2].max()
    assert white.max() < 1.1 * white.min()


@pytest.mark.parametrize("scale", [1, 1000, 1e-3])
def test_faint_and_bright_sources_are_seen_whatever_the_noise(tmp_path, scale):
    image = sky(6)
    for k, magnitude in enumerate([23.5, 22.0, 20.0, 18.0, 15.0, 11.0]):
        image[k] += star(40, 110, 10 ** (0.4 * (22.5 - magnitude)) * WHITE)
    _, thumbnails = draw(write(tmp_path / "a.hdf5", image * np.float32(scale)))
    ground = thumbnails[0, :, 90:].reshape(-1, 3)
    assert (np.median(ground, axis=0) > 20).all()
    assert (np.median(ground, axis=0) < 50).all()
    assert np.ptp(np.median(ground, axis=0)) < 3  # grey
    assert 5 < ground.std() < 25
    peaks = thumbnails[:, 47:52, 38:43].mean(axis=(1, 2, 3))
    assert (np.diff(peaks[:5]) > 5).all()
    assert peaks[0] > ground.mean() + 10
    assert 100 < peaks[2] < 200
    assert peaks[3] < 252  # has structure yet
    assert peaks[5] > 250


def test_one_stretch_serves_all(tmp_path):
    """A bright star in one cutout changes no other; nor does another cutout's noise."""
    image = sky(7)
    image[3] += star(40, 110, 5 * WHITE)
    alone = draw(write(tmp_path / "a.hdf5", image))[1]
    image[5] += star(80, 80, 1e5 * WHITE)
    image[6] *= 5
    together = draw(write(tmp_path / "b.hdf5", image))[1]
    assert np.abs(alone[:5] - together[:5]).max() <= 5
    assert np.abs(alone[5] - together[5]).max() > 150


def test_what_is_missing_is_said(tmp_path):
    """Some bands, all of them, part of the cutout; by NaN, or by the zeros that the survey has where it has nothing."""
    image = sky(7)
    image += star(40, 110, 8 * WHITE) + star(130, 110, 8 * WHITE)
    image[1, 2] = np.nan
    image[2] = np.nan
    image[3, :, :, 100:] = np.nan
    image[4, 2] = 0
    image[5, 2, :, 100:] = np.nan
    image[6, 1:] = np.nan
    path = write(tmp_path / "a.hdf5", image)
    _, thumbnails = draw(path)
    n_amber = is_color(thumbnails, AMBER).sum(axis=(1, 2))
    assert (n_amber > 8).tolist() == [False, True, True, False, True, False, True]
    assert n_amber[0] == 0
    assert n_amber[6] > 1.3 * n_amber[1]  # three bands
    seen = thumbnails[:, 47:52, 38:43].mean(axis=(1, 2, 3))
    assert (seen[[0, 1, 3, 4, 5, 6]] > 120).all()  # with what there is
    assert seen[2] < 50
    assert is_color(thumbnails[2], MARK).sum() == 0
    grey = thumbnails[6]
    assert np.ptp(grey[20:70, 20:60], axis=-1).max() <= 1  # one band has no colour
    np.testing.assert_array_equal(thumbnails[3][:, 110:], thumbnails[2][:, 110:])  # hatched
    red, green, blue = thumbnails[5][48:51, 129:132].mean(axis=(0, 1))
    assert green > 120
    assert red == pytest.approx((green + blue) / 2, rel=0.1)  # no colour where a band is missing


@pytest.mark.parametrize("size", [320, 80])
def test_pixels_that_are_missing_darken_no_others(tmp_path, size):
    """Also where several pixels, some of them missing, make one of a thumbnail."""
    image = sky(2, size) + star(size / 4, size / 4, 8 * WHITE * (size / 160) ** 2, size, 2.2 * size / 160)
    image[1] = image[0]
    image[1, :, ::2, ::2] = np.nan
    _, (whole, holed) = draw(write(tmp_path / "a.hdf5", image))
    near = slice(114, 125), slice(35, 46)
    assert whole[near].mean() > 60
    assert holed[near].mean() == pytest.approx(whole[near].mean(), rel=0.08)


@pytest.mark.parametrize(
    ("bands", "expected"),
    [
        ("griz", "irg"),
        ("zrgi", "irg"),
        ("grz", "zrg"),
        ("gri", "irg"),
        ("riz", "zir"),
        ("gz", "zg"),
        ("zi", "zi"),
        ("r", "r"),
        ("", ""),
    ],
)
def test_bands_are_chosen_as_documented(bands, expected):
    assert "".join(shown_bands(list(bands))) == expected


def test_bands_of_wise_and_unknown_ones_are_shown_too():
    assert shown_bands(["W1", "W2"]) == ["W2", "W1"]
    assert shown_bands(["N540", "g"]) == ["N540", "g"]


@pytest.mark.parametrize("bands", ["r", "gz", "grz"])
def test_any_set_of_bands_makes_a_sheet(tmp_path, bands):
    image = sky(2, bands=bands) + star(40, 110, np.full(len(bands), 8.0))
    _, thumbnails = draw(write(tmp_path / "a.hdf5", image, bands))
    assert (thumbnails[:, 47:52, 38:43].mean(axis=(1, 2, 3)) > 100).all()
    assert is_color(thumbnails, AMBER).sum() == 0


def test_labels_say_row_and_magnitude(tmp_path):
    """They are below the cutout, and nothing else depends on them."""
    image, magnitudes = sky(3), np.full((3, 4, 3), 19.12)
    plain = draw(write(tmp_path / "a.hdf5", image, rows=[3, 1, 2]))[0]
    other = draw(write(tmp_path / "b.hdf5", image, rows=[3, 88_888, 2]))[0]
    left, top = grid(3).corner(1)
    rows, columns = np.nonzero((plain != other).any(axis=-1))
    assert len(rows) > 20
    assert (top + 160 <= rows.min(), rows.max() < top + 160 + LABEL) == (True, True)
    assert (left <= columns.min(), columns.max() < left + 80) == (True, True)
    with_magnitudes = draw(write(tmp_path / "c.hdf5", image, rows=[3, 1, 2], magnitudes=magnitudes))[0]
    magnitudes[1, 1, 1] = 21.77  # r within 1.5 arcsec
    another = draw(write(tmp_path / "d.hdf5", image, rows=[3, 1, 2], magnitudes=magnitudes))[0]
    rows, columns = np.nonzero((with_magnitudes != another).any(axis=-1))
    assert (top + 160 <= rows.min(), left + 80 < columns.min(), columns.max() < left + 160) == (True, True, True)
    magnitudes[1] = np.nan
    none = draw(write(tmp_path / "e.hdf5", image, rows=[3, 1, 2], magnitudes=magnitudes))[0]
    of_cutout = slice(top, top + 160 + LABEL), slice(left, left + 160)
    np.testing.assert_array_equal(none[of_cutout], plain[of_cutout])
    magnitudes[:, [0, 2, 3]] = magnitudes[:, :, [0, 2]] = 11.11  # what is not shown
    magnitudes[:, 1, 1] = np.nan
    assert (draw(write(tmp_path / "f.hdf5", image, rows=[3, 1, 2], magnitudes=magnitudes))[0] == plain).all()


@pytest.mark.parametrize(
    ("size", "thumbnail", "arcsec"), [(160, 160, 20), (512, 160, 60), (40, 160, 5), (160, 300, 20)]
)
def test_the_scale_bar_is_to_scale(tmp_path, size, thumbnail, arcsec):
    sheet, _ = draw(write(tmp_path / "a.hdf5", sky(2, size)), thumbnail=thumbnail)
    runs = []
    for line in is_color(sheet[:HEADING], BRIGHT, 5):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(int), [0]])))
        runs += (edges[1::2] - edges[::2]).tolist()
    pixel_arcsec = PIXSCALE * size / thumbnail
    assert (max(runs) - 1) * pixel_arcsec == pytest.approx(arcsec, abs=pixel_arcsec)


@pytest.mark.parametrize("thumbnail", [32, 160, 400])
def test_cutouts_lie_side_by_side(thumbnail):
    for n in (1, 2, 3, 7, 40, 300, 1111, 40_000):
        places = grid(n, thumbnail)
        assert max(places.width, places.height) <= MAX_SIDE
        assert places.thumbnail == thumbnail or n > 300
        corners = [places.corner(k) for k in range(n)]
        left, top = np.transpose(corners)
        assert corners == sorted(corners, key=lambda corner: corner[::-1])  # as one reads
        assert len(set(corners)) == n
        assert set(np.diff(np.unique(left))) <= {places.thumbnail + GAP}
        assert set(np.diff(np.unique(top))) <= {places.thumbnail + GAP + LABEL}
        assert left.min() > 0
        assert top.min() >= HEADING
        assert left.max() + places.thumbnail < places.width
        assert top.max() + places.thumbnail + LABEL <= places.height
        if n >= 300:
            assert 1 < places.width / places.height < 2


def test_a_pixel_without_sources_has_a_sheet(tmp_path):
    sheet, thumbnails = draw(write(tmp_path / "a.hdf5", sky(0)))
    assert len(thumbnails) == 0
    assert is_color(sheet, BRIGHT).sum() > 50  # the heading


def test_the_program_draws_any_group_of_csv_columns(tmp_path):
    path, out = write(tmp_path / "a.hdf5", sky(2), name="xmm"), tmp_path / "sub" / "a.png"
    arguments = [str(path), "--out", str(out), "--name", "xmm", "--thumbnail", "100"]
    assert cli.run(contact_sheet.main, contact_sheet.build_parser(), arguments) == 0
    with Image.open(out) as opened:
        assert opened.size == (grid(2, 100).width, grid(2, 100).height)
    assert [path.name for path in out.parent.iterdir()] == ["a.png"]


def without(key: str):
    def change(file):
        del file[key]

    return change


def with_shape(key: str, shape: tuple[int, ...]):
    def change(file):
        del file[key]
        file[key] = np.zeros(shape)

    return change


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (without("legacysurvey"), InputError, "crossmatch_legacysurvey.hdf5"),
        (without("legacysurvey/image"), InputError, "products"),
        (without("chandra"), InputError, "'chandra'"),
        (without("chandra/row"), MalformedFile, "row is not there"),
        (without("legacysurvey/band"), MalformedFile, "band"),
        (without("legacysurvey/x0"), MalformedFile, "x0 is not there"),
        (with_shape("legacysurvey/image", (3, 4, 160)), MalformedFile, r"\(3, 4, 160\)"),
        (with_shape("legacysurvey/image", (3, 3, 16, 16)), MalformedFile, "band"),
        (with_shape("legacysurvey/ra", (2,)), MalformedFile, r"ra is of shape \(2,\)"),
        (lambda file: file["legacysurvey"].attrs.modify("pixscale", 0.0), MalformedFile, "pixscale"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused(tmp_path, change, error, said):
    path, out = write(tmp_path / "a.hdf5", sky(3)), tmp_path / "a.png"
    out.write_bytes(b"the last one")
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(error, match=said) as raised:
        make_sheet(path, out)
    assert str(path) in str(raised.value)
    assert out.read_bytes() == b"the last one"


def test_a_torn_file_and_an_absurd_size_are_refused(tmp_path):
    path = write(tmp_path / "a.hdf5", sky(3))
    for size in (0, 31, 10_000):
        with pytest.raises(InputError, match=f"is {size} pixels"):
            make_sheet(path, tmp_path / "a.png", thumbnail=size)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(MalformedFile, match="remove it"):
        make_sheet(path, tmp_path / "a.png")
