"""Cutouts out of bricks, against astropy's reading of the whole images and its WCS; and files that are bad, or away."""

import csv
import re
import shutil
from functools import cache
from pathlib import Path

import fitsio
import h5py
import harvest_legacysurvey
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from range_server import serve
from skyharvest.archive.archive import Archive
from skyharvest.archive.http.patience import Patience
from skyharvest.core import cli
from skyharvest.core.errors import ArchiveUnavailable, InputError
from skyharvest.formats import hdf5
from skyharvest.harvest.extracted import listed
from skyharvest.harvest.journal import read_journal
from skyharvest.simulate.legacysurvey.brick import MASKBITS, PIXEL, Stars, write_brick
from skyharvest.simulate.sha256sum import write_sha256sum
from skyharvest.surveys.legacysurvey import brick_images, extract
from skyharvest.surveys.legacysurvey.about import SURVEY as LEGACYSURVEY
from skyharvest.surveys.legacysurvey.extract import extract_brick, request_of
from skyharvest.surveys.legacysurvey.plan import IMAGE_DTYPE, TARGET_DTYPE
from skyharvest.surveys.legacysurvey.release import load_release
from skyharvest.surveys.legacysurvey.wanted_cutouts import WantedCutouts

RELEASE = load_release("demolegacysurvey")
KNOWN = RELEASE.bricks("south")
QUICK = Patience(tries=2, base_s=0.01, cap_s=0.01, connect_s=2, read_s=5)
PRODUCTS = ("image", "invvar", "maskbits")
FLOATS = ("image", "model", "psfsize")  # padded with NaN
PAD = dict.fromkeys(FLOATS, np.nan) | {"invvar": 0, "maskbits": -1, "nexp": -1}
SIZE = 200  # pixels: side of the small bricks' images
STEP = 170 * PIXEL / 3600  # degrees from one to the next: they overlap by 30 pixels
RNG = np.random.default_rng(61)
NOBODY = Stars(np.zeros(0), np.zeros(0), {band: np.zeros(0) for band in "griz"})


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(brick_images, "SECOND_READING_S", 0.0)


# --- Bricks, and what their pixels are by means of astropy -----------------------------------------------------------


def path_of(name: str, product: str, band: str = "") -> str:
    return RELEASE.product("south", name, product, band or None)


def make(root: Path, name: str, ra: float, dec: float, *, size=SIZE, bands="gr", **how) -> np.void:
    """Write a brick with noise of its own, and return its row of the plan."""
    directory = root / Path(path_of(name, "maskbits")).parent
    rng = np.random.default_rng(list(name.encode()))
    bits = rng.integers(0, 1 << 14, (size, size)) & ~(1 << MASKBITS["ALLMASK_R"]) & ~(1 << MASKBITS["ALLMASK_G"])
    how = {"maskbits": bits, "products": ("image", "invvar"), "stars": NOBODY} | how
    write_brick(directory, name, ra=ra, dec=dec, size=size, bands=bands, rng=rng, **how)
    checksums(root, name)
    row = np.zeros(1, IMAGE_DTYPE)
    row["region"], row["brickname"], row["ra"], row["dec"], row["bands"] = b"south", name, ra % 360, dec, bands
    return row[0]


def checksums(root: Path, name: str) -> None:
    directory = (root / path_of(name, "maskbits")).parent
    write_sha256sum(root / RELEASE.checksums("south", name), sorted(directory.glob("*.fits.fz")))


def rows_of(home: np.void, *others: np.void) -> np.ndarray:
    """Return the plan's rows: the home brick, then its neighbours by name."""
    rows = np.array([home, *sorted(others, key=lambda row: row["brickname"])], IMAGE_DTYPE)
    rows["home"] = home["brickname"]
    return rows


@cache
def whole(path: Path) -> tuple[np.ndarray, WCS]:
    with fits.open(path) as hdus:
        return hdus[1].data, WCS(hdus[1].header)


def sky_of(path: Path, x, y) -> np.ndarray:
    """Return RA and Dec, (n, 2), of pixels."""
    found = whole(path)[1].wcs_pix2world(np.column_stack([x, y]), 0)
    found[:, 0] %= 360
    return found


def targets_at(row: np.void, places) -> np.ndarray:
    made = np.zeros(len(places), TARGET_DTYPE)
    made["region"], made["brickname"] = row["region"], row["brickname"]
    made["row"] = 10 * np.arange(len(places)) + 3
    made["ra"], made["dec"] = np.transpose(places)
    return made


def expected(root: Path, rows: np.ndarray, target: np.void, size: int, band: str, products=("maskbits",)):
    """Return which of a cutout's pixels a brick has, and the products' pixels, one by one by the contract's words."""
    names = [row["brickname"].decode() for row in rows]
    there = [name for name, row in zip(names, rows, strict=True) if not band or band in row["bands"].decode()]
    at_home = root / path_of(names[0], "maskbits")
    (x, y), *_ = whole(at_home)[1].wcs_world2pix([[target["ra"], target["dec"]]], 0)
    across = np.arange(size) - size // 2
    xs, ys = (axis.ravel() for axis in np.meshgrid(np.floor(x + 0.5) + across, np.floor(y + 0.5) + across))
    places = sky_of(at_home, xs, ys)
    out = [np.full(size**2, float(PAD[product])) for product in products]
    have, taken = np.zeros((2, size**2), bool)
    for name in [names[0], *there]:
        wcs = whole(root / path_of(name, "maskbits"))[1]
        pixels = np.column_stack([xs, ys]) if name == names[0] else wcs.wcs_world2pix(places, 0)
        on_x, on_y = np.floor(pixels + 0.5).astype(int).T
        new = (on_x >= 0) & (on_x < SIZE) & (on_y >= 0) & (on_y < SIZE) & ~taken
        taken |= new  # also those of a home brick that lacks the band
        if name in there:
            have |= new
            for values, product in zip(out, products, strict=True):
                values[new] = whole(root / path_of(name, product, band))[0][on_y[new], on_x[new]]
    return have.reshape(size, size), *(values.reshape(size, size) for values in out)


def run(archive: Archive, rows, targets, out: Path, scratch: Path | None = None, known: bool = False, **how):
    wanted = WantedCutouts(**{"size": 60, "bands": ("g", "r"), "products": PRODUCTS} | how)
    if known:
        wanted = WantedCutouts(**vars(wanted) | {"check_absence": archive.absence_check(KNOWN)})
    request = request_of(rows, targets, wanted)
    scratch = scratch or out.parent / "scratch"
    return extract_brick(archive, RELEASE, rows, targets, out, wanted=wanted, request=request, scratch=scratch)


def states(path: Path) -> dict[str, str]:
    """Return 'brick product band' → status, and why: of all files that are not as they should be."""
    with hdf5.reading(path, check=True) as file:
        columns = [hdf5.text(file[f"files/{name}"][:]) for name in ("brickname", "product", "band")]
        status, reason = (hdf5.text(file[f"files/{name}"][:]) for name in ("status", "reason"))
        paths = hdf5.text(file["files/path"][:])
    for (*layer, text, state), path_ in zip(zip(*columns, reason, status, strict=True), paths, strict=True):
        assert path_ == path_of(*layer)
        assert (text == "") == (state == "read")
    found = zip(*columns, status, reason, strict=True)
    return {" ".join(layer).strip(): f"{state}: {text}" for *layer, state, text in found if state != "read"}


def read(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: item[:] for name, item in file.items() if isinstance(item, h5py.Dataset)}


# --- The same pixels -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> tuple[Path, np.void]:
    """An archive with one brick of 1,300 pixels in one band, in which single pixels have no data."""
    root = tmp_path_factory.mktemp("large")
    size = 1300
    gaps = RNG.random((size, size)) < 2e-4
    stars = Stars(np.array([150.0]), np.array([2.0]), {"r": np.array([400.0])})
    return root, make(root, "1500p020", 150.0, 2.0, size=size, bands="r", gaps={"r": gaps}, stars=stars)


@pytest.mark.parametrize(("size", "n_random"), [(160, 12), (161, 2), (512, 2), (1000, 1)])
def test_a_cutout_is_a_crop_of_the_whole_image(large, tmp_path, size, n_random):
    root, row = large
    last = 1299
    places = [(0.2, 0.3), (last + 0.4, last - 0.2), (650.49, -0.49), (last, 0), (size // 2, size // 2)]
    places = places[: 3 if size == 1000 else None]
    places += [(last - size // 2, 99.51), (649.51, 700.49), *RNG.uniform(0, last, (n_random, 2))]
    rows = rows_of(row)
    targets = targets_at(row, sky_of(root / path_of("1500p020", "maskbits"), *np.transpose(places)))
    with Archive(str(root)) as archive:
        made = run(archive, rows, targets, tmp_path / "a.hdf5", size=size, bands=("r",))
    assert made.status == "read" and made.rows == tuple(targets["row"])
    found = read(tmp_path / "a.hdf5")
    np.testing.assert_allclose(np.transpose([found["x"], found["y"]]), places, atol=1e-6)
    assert found["image"].shape == found["invvar"].shape == (len(places), 1, size, size)
    assert found["maskbits"].shape == (len(places), size, size)
    for product in PRODUCTS:
        band = "" if product == "maskbits" else "r"
        image, _ = whole(root / path_of("1500p020", product, band))
        padded = np.pad(image, size, constant_values=PAD[product])
        for k, (x, y) in enumerate(places):
            x0, y0 = (size + round(at) - size // 2 for at in (x, y))
            got = found[product][k, 0] if band else found[product][k]
            crop = padded[y0 : y0 + size, x0 : x0 + size]
            np.testing.assert_array_equal(got, crop, strict=True, err_msg=f"{product} at {places[k]}")
            if product == "image":
                assert found["coverage"][k, 0] == pytest.approx(np.isfinite(crop).mean(), abs=1e-12)
    whole_ones = [round(min(x, y)) >= size // 2 and round(max(x, y)) - size // 2 + size <= 1300 for x, y in places]
    assert any(whole_ones) and not all(whole_ones)
    np.testing.assert_array_equal(found["coverage"][:, 0] == 1, whole_ones)


def test_a_pixel_without_data_is_at_one_place_in_all_products(large, tmp_path):
    root, row = large
    bits, _ = whole(root / path_of("1500p020", "maskbits"))
    marked = np.argwhere(bits & 1 << MASKBITS["ALLMASK_R"])
    inside = marked[((marked > 90) & (marked < 1200)).all(axis=1)][:20]
    targets = targets_at(row, sky_of(root / path_of("1500p020", "image", "r"), inside[:, 1], inside[:, 0]))
    with Archive(str(root)) as archive:
        run(archive, rows_of(row), targets, tmp_path / "a.hdf5", size=160, bands=("r",))
    found = read(tmp_path / "a.hdf5")
    is_marked = found["maskbits"] & 1 << MASKBITS["ALLMASK_R"] > 0
    assert is_marked[:, 80, 80].all()
    assert is_marked.sum() > 3 * len(targets)
    np.testing.assert_array_equal(found["invvar"][:, 0] == 0, is_marked)
    np.testing.assert_array_equal(found["image"][:, 0] == 0, is_marked)


def test_one_cutout_moves_a_small_part_of_the_files(large, tmp_path):
    root, row = large
    targets = targets_at(row, [(150.01, 2.01)])
    total = sum(path.stat().st_size for path in root.rglob("*.fz"))
    with serve(root) as server, Archive(server.url, patience=QUICK, connections=3) as archive:
        run(archive, rows_of(row), targets, tmp_path / "a.hdf5", size=160, bands=("r",))
        assert 0 < server.sent < total / 5
        assert len(server.requests) <= 2 * 3, "a header, and the tiles, of three files"


# --- Stitching -------------------------------------------------------------------------------------------------------


def quartet(root: Path, dec: float, second: str = "gr") -> list[np.void]:
    """Write four bricks around RA 0: below, west and east, and above, shifted in RA as rows of bricks are."""
    made = []
    for name, east, north, bands in (
        ("3599p001", -0.5, -0.5, "gr"),
        ("0001p001", 0.5, -0.5, second),
        ("3599p002", -0.6, 0.5, "gr"),
        ("0001p002", 0.4, 0.5, "gr"),
    ):
        at = dec + north * STEP
        made.append(make(root, name, east * STEP / np.cos(np.radians(at)), at, bands=bands))
    return made


@pytest.mark.parametrize(("dec", "size"), [(0.0, 60), (84.0, 60), (-63.7, 60), (84.0, 360)])
def test_pixels_off_the_home_brick_are_the_nearest_of_the_first_that_has_them(tmp_path, dec, size):
    """Also where the first neighbour has not the band, the other one then."""
    bricks = quartet(tmp_path, dec, second="g")
    for k, home in enumerate(bricks if size == 60 else bricks[:2]):
        rows = rows_of(home, *bricks[:k], *bricks[k + 1 :])
        middle = np.array([99.3, 99.7])
        corner = whole(tmp_path / path_of(home["brickname"].decode(), "maskbits"))[1].wcs_world2pix([[0, dec]], 0)[0]
        places = [middle, np.clip(corner, 1.7, SIZE - 2.7), (2.2, 130.4), (196.7, 65.1)]
        sky = sky_of(tmp_path / path_of(home["brickname"].decode(), "maskbits"), *np.transpose(places))
        targets = targets_at(home, sky)
        with Archive(str(tmp_path)) as archive:
            made = run(archive, rows, targets, tmp_path / "a.hdf5", size=size)
        assert made.rows == tuple(targets["row"])
        found = read(tmp_path / "a.hdf5")
        for i, target in enumerate(targets):
            for j, band in enumerate("gr"):
                have, image, invvar = expected(tmp_path, rows, target, size, band, ("image", "invvar"))
                np.testing.assert_array_equal(found["image"][i, j], image, err_msg=f"{k} {i} {band}")
                np.testing.assert_array_equal(found["invvar"][i, j], invvar, err_msg=f"{k} {i} {band}")
                assert found["coverage"][i, j] == pytest.approx(have.mean(), abs=1e-12)
                assert size == 60 or 0.1 < have.mean() < 1
            _, bits = expected(tmp_path, rows, target, size, "")
            np.testing.assert_array_equal(found["maskbits"][i], bits)
        n_bricks = found["n_bricks"].tolist()
        assert n_bricks[:2] == [4, 4] if size == 360 else n_bricks[0] == 1 < n_bricks[1]
    # Nothing is asked of the neighbours if no cutout needs them.
    with Archive(str(tmp_path)) as archive:
        run(archive, rows, targets[:1], tmp_path / "b.hdf5", size=60)
    with h5py.File(tmp_path / "b.hdf5") as file:
        assert set(hdf5.text(file["files/brickname"][:])) == {home["brickname"].decode()}


def test_cutouts_that_are_held_one_by_one_are_the_same_also_with_other_types(tmp_path, monkeypatch):
    """The home brick's maskbits are 16-bit numbers here, the neighbour's, which come later, 32-bit ones."""
    home, other = make(tmp_path, "0001p001", 10.0, 5.0), make(tmp_path, "0001p002", 10.0, 5.0 + STEP)
    for name, dtype, more in (("0001p001", "i2", 0), ("0001p002", "i4", 1 << 20)):
        path = tmp_path / path_of(name, "maskbits")
        bits, header = fitsio.read(str(path), ext=1, header=True)
        path.unlink()
        fitsio.write(str(path), (bits + more).astype(dtype), header=header, compress="HCOMPRESS", tile_dims=(100, 100))
    targets = targets_at(home, [(10.0, 5.0), (10.001, 5.001), (10.0, 5.0 + STEP / 2), (10.0, 5.0)])
    found = []
    with Archive(str(tmp_path)) as archive:
        for held in (extract.HELD_BYTES, 1):
            monkeypatch.setattr(extract, "HELD_BYTES", held)
            run(archive, rows_of(home, other), targets, tmp_path / "a.hdf5", size=100)
            found.append(read(tmp_path / "a.hdf5"))
    assert found[0].keys() == found[1].keys()
    for name, values in found[0].items():
        np.testing.assert_array_equal(found[1][name], values, strict=True, err_msg=name)
    assert found[0]["maskbits"].dtype == np.int32
    assert found[0]["maskbits"][2].max() >= 1 << 20 > found[0]["maskbits"][0].max()


# --- Ways to the files -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Path, np.ndarray, np.ndarray]:
    """An archive with a brick and its northern neighbour, and targets in the middle and near the common edge."""
    root = tmp_path_factory.mktemp("pair")
    products = ("image", "invvar", "psfsize")
    home = make(root, "0100p050", 10.0, 5.0, products=products)
    other = make(root, "0100p052", 10.0, 5.0 + STEP, products=products)
    (root / KNOWN).write_bytes(b"x")
    return root, rows_of(home, other), targets_at(home, [(10.0, 5.0), (10.0, 5.0 + 0.49 * STEP), (10.003, 4.998)])


def test_bricks_that_a_mirror_has_unpacked_are_not_called_absent(pair, tmp_path):
    root, rows, targets = pair
    unpacked = shutil.copytree(root, tmp_path / "unpacked")
    for path in unpacked.rglob("*.fz"):
        path.rename(path.with_suffix(""))
    with Archive(str(unpacked)) as archive, pytest.raises(InputError, match="files are unpacked, and are read only as"):
        run(archive, rows, targets, tmp_path / "out.hdf5", known=True)


@pytest.fixture
def copy(pair, tmp_path) -> Path:
    return shutil.copytree(pair[0], tmp_path / "root")


def test_the_same_bytes_come_out_of_every_transport_and_nothing_stays(pair, tmp_path):
    root, rows, targets = pair
    with serve(root) as server:
        for name, at, files in (("local", str(root), True), ("rows", server.url, False), ("files", server.url, True)):
            with Archive(at, patience=QUICK, connections=2) as archive:
                made = run(archive, rows, targets, tmp_path / f"{name}.hdf5", tmp_path / "scratch", whole_files=files)
            assert (made.status, made.rows) == ("read", (3, 13, 23))
            if name == "rows":
                assert not any(server.count(f"/{RELEASE.checksums('south', n)}") for n in ("0100p050", "0100p052"))
    assert states(tmp_path / "local.hdf5") == {}
    assert (tmp_path / "local.hdf5").read_bytes() == (tmp_path / "rows.hdf5").read_bytes()
    assert (tmp_path / "local.hdf5").read_bytes() == (tmp_path / "files.hdf5").read_bytes()
    assert not (tmp_path / "scratch").exists()
    assert listed("b", tmp_path / "rows.hdf5")[:-1] == ("b", 3, 10, 0, 0, 0, 0)


def test_a_whole_file_is_compared_with_its_checksum(copy, pair, tmp_path):
    """A changed byte of Rice's stream would make other pixels, and no error."""
    _, rows, targets = pair
    path = copy / path_of("0100p050", "image", "g")
    data = bytearray(path.read_bytes())
    data[-5000] ^= 1
    path.write_bytes(data)
    with serve(copy) as server, Archive(server.url, patience=QUICK) as archive:
        run(archive, rows, targets, tmp_path / "a.hdf5", whole_files=True)
        assert server.count(f"/{path_of('0100p050', 'image', 'g')}") == 2
    ((layer, reason),) = states(tmp_path / "a.hdf5").items()
    assert layer == "0100p050 image g" and "unreadable: " in reason and "sha256 is" in reason


# --- Bad input -------------------------------------------------------------------------------------------------------


def table_of(path: Path) -> tuple[int, int, int]:
    """Return where the tile table starts, the bytes of a row, and where the heap starts, by astropy."""
    with fits.open(path, disable_image_compression=True) as hdus:
        header, start = hdus[1].header, hdus[1].fileinfo()["datLoc"]
        return start, header["NAXIS1"], start + header.get("THEAP", header["NAXIS1"] * header["NAXIS2"])


def point(path: Path, count: int, offset: int) -> None:
    """Let all rows of the tile table say that a tile is so long, and there."""
    start, row_bytes, heap = table_of(path)
    data = bytearray(path.read_bytes())
    with fits.open(path, disable_image_compression=True) as hdus:
        width = {"P": 8, "Q": 16}[hdus[1].header["TFORM1"].strip("1")[0]]
    for row in range(start, heap, row_bytes):
        data[row : row + width] = np.array([count, offset], f">i{width // 2}").tobytes()
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def page(path: Path) -> None:
    path.write_bytes(b"<!DOCTYPE html><html>down for maintenance</html>".ljust(9000))


def spoil_tiles(path: Path) -> None:
    *_, heap = table_of(path)
    path.write_bytes(path.read_bytes()[:heap].ljust(path.stat().st_size, b"\x55"))


def rewrite(path: Path, change=lambda data: data, **cards) -> None:
    """Write an image again, changed, with other cards."""
    data, header = fitsio.read(str(path), ext=1, header=True)
    for key, value in cards.items():
        header[key] = value
    path.unlink()
    compress = "RICE" if data.dtype.kind == "f" else "HCOMPRESS"
    fitsio.write(str(path), change(data), header=header, compress=compress, tile_dims=(100, 100))


BAD = {
    "missing": (Path.unlink, r"absent: not in the archive"),
    "truncated": (truncate, r"unreadable: .*it is truncated"),
    "HTML": (page, r"unreadable: .*HTML page"),
    "tiles beyond the file": (lambda path: point(path, 900, 10**8), r"unreadable: .*at byte 100,000,000 of the heap"),
    "tiles of no length": (lambda path: point(path, 0, 0), r"unreadable: .*no data in any of the columns"),
    "another shape": (lambda path: rewrite(path, lambda data: data[:150]), r"unreadable: .*\(150, 200\), are not"),
    "another place": (lambda path: rewrite(path, CRPIX1=101.0), r"unreadable: .*are not those of"),
    "turned": (lambda path: rewrite(path, CD1_1=0.0, CD1_2=-PIXEL / 3600, CD2_1=PIXEL / 3600, CD2_2=0.0), "not those"),
    "another brick": (lambda path: rewrite(path, CRVAL2=45.0), r"unreadable: .*centre, RA 10\.0+, Dec 5"),
    "other pixels": (lambda path: rewrite(path, CD1_1=-1e-4, CD2_2=1e-4), r"unreadable: .*0\.36″, expected 0\.262″"),
    "the other kind": (
        lambda path: rewrite(path, lambda data: data.astype("i4" if data.dtype.kind == "f" else "f4")),
        r"unreadable: .*, expected (floating-point|whole) numbers",
    ),
}


@pytest.mark.parametrize("layer", ["image g", "image r", "maskbits"])
@pytest.mark.parametrize("wrong", BAD)
def test_a_bad_file_costs_its_own_pixels_alone(pair, copy, tmp_path, wrong, layer):
    """Of the home brick, also if it is the first one that is read, and of the neighbour."""
    root, rows, targets = pair
    product, _, band = layer.partition(" ")
    damage, reason = BAD[wrong]
    with Archive(str(root)) as archive:
        run(archive, rows, targets, tmp_path / "good.hdf5")
    good = read(tmp_path / "good.hdf5")
    own = np.stack([expected(root, rows[:1], target, 60, "")[0] for target in targets])
    for brick, is_lost in (("0100p050", own), ("0100p052", ~own)):
        shutil.copytree(root, tmp_path / brick)
        damage(tmp_path / brick / path_of(brick, product, band))
        with Archive(str(tmp_path / brick)) as archive:
            made = run(archive, rows, targets, tmp_path / "a.hdf5", known=True)
        assert (made.status, made.rows) == ("read", tuple(targets["row"]))
        ((which, why),) = states(tmp_path / "a.hdf5").items()
        assert which == f"{brick} {layer}"
        assert re.search(reason, why), why
        assert str(tmp_path) not in why, "the same reason whatever the archive's root"
        found = read(tmp_path / "a.hdf5")
        with h5py.File(tmp_path / "a.hdf5") as file:  # weights alone are no image
            alone = product == "image" and brick == "0100p050"
            assert file["targets/n_bands"][:].tolist() == ([1, 2, 1] if alone else [2, 2, 2])
        for name in PRODUCTS:
            lost = good[name].copy()
            at = lost if name == "maskbits" else lost[:, "gr".index(band or "g")]
            if name == product:
                at[is_lost] = PAD[name]
            elif product == "image" and brick == "0100p052" and name == "invvar":
                at[is_lost] = 0  # no other brick's weights for pixels that it has not
            np.testing.assert_array_equal(found[name], lost, err_msg=f"{brick} {name}")
        of_bits = is_lost.any(axis=(1, 2)) & (product == "maskbits")
        np.testing.assert_array_equal(found["maskbits_read"], ~of_bits)
        with h5py.File(tmp_path / "a.hdf5") as file:
            assert file["targets/n_without_maskbits"][:].tolist() == of_bits.astype(int).tolist()
        for name in ("image", "invvar"):
            is_read = np.ones((3, 2), bool)
            if name == product and (brick == "0100p050" or name == "invvar"):  # of an image its pixels tell which brick
                is_read[is_lost.any(axis=(1, 2)), "gr".index(band)] = False
            np.testing.assert_array_equal(found[f"{name}_read"], is_read, err_msg=f"{brick} {name}")
        shutil.rmtree(tmp_path / brick)


@pytest.mark.parametrize("damage", [Path.unlink, truncate])
def test_no_file_that_lacks_reads_as_a_good_value(tmp_path, damage):
    """Every kind of file: its pixels have no value, its flag says so, and nothing else changes."""
    products = ("image", "invvar", "maskbits", "nexp", "psfsize", "model")
    row = make(tmp_path / "root", "0100p050", 10.0, 5.0, products=[one for one in products if one != "maskbits"])
    targets = targets_at(row, [(10.0, 5.0), (10.001, 5.001)])

    def made(*products: str) -> dict[str, np.ndarray]:
        with Archive(str(tmp_path / "root")) as archive:
            run(archive, rows_of(row), targets, tmp_path / "a.hdf5", products=products)
        return read(tmp_path / "a.hdf5")

    good = made(*products)
    assert all(good[f"{product}_read"].all() for product in products)
    assert {name for name in good if name.endswith("_read")} == {f"{product}_read" for product in products}
    for product in products:
        path = tmp_path / "root" / path_of("0100p050", product, "" if product == "maskbits" else "g")
        kept = path.read_bytes()
        damage(path)
        found = made(*products)
        for name, values in good.items():
            its = (slice(None),) if product == "maskbits" else (slice(None), 0)
            expected = values.copy()
            if name == product:
                expected[its] = PAD[product]
            elif name == f"{product}_read":
                expected[its] = False
            elif name == "coverage" and product == "image":
                expected[its] = 0
            np.testing.assert_array_equal(found[name], expected, err_msg=f"{name} without {product}")
        if product in ("nexp", "psfsize"):
            made(product, "maskbits")
            with h5py.File(tmp_path / "a.hdf5") as file:
                assert file["targets/n_bands"][:].tolist() == [1, 1], "what was not read is no data"
        path.write_bytes(kept)


def test_a_tile_that_is_bad_shows_while_it_is_read(pair, copy, tmp_path):
    """Streams of gzip (psfsize) and HCOMPRESS (maskbits) that are none; the rest is as without these products."""
    root, rows, targets = pair
    spoil_tiles(copy / path_of("0100p050", "psfsize", "r"))
    spoil_tiles(copy / path_of("0100p052", "maskbits"))
    products = (*PRODUCTS, "psfsize")
    for at, out in ((root, "good.hdf5"), (copy, "bad.hdf5")):
        with Archive(str(at)) as archive:
            run(archive, rows, targets, tmp_path / out, products=products)
    good, bad = read(tmp_path / "good.hdf5"), read(tmp_path / "bad.hdf5")
    found = states(tmp_path / "bad.hdf5")
    assert sorted(found) == ["0100p050 psfsize r", "0100p052 maskbits"]
    assert "gzip" in found["0100p050 psfsize r"] and "HCOMPRESS" in found["0100p052 maskbits"]
    for name in ("row", "x0", "coverage", "image", "invvar"):
        np.testing.assert_array_equal(bad[name], good[name], err_msg=name)
    np.testing.assert_array_equal(bad["psfsize"][:, 0], good["psfsize"][:, 0])
    assert np.isnan(bad["psfsize"][[0, 2], 1]).all()
    own = expected(root, rows[:1], targets[1], 60, "")[0]
    np.testing.assert_array_equal(bad["maskbits"][1], np.where(own, good["maskbits"][1], -1))
    assert bad["maskbits_read"].tolist() == [True, False, True]
    assert bad["psfsize_read"].tolist() == [[True, False]] * 3


def test_a_band_that_is_not_there_is_padded(pair, copy, tmp_path):
    _, rows, targets = pair
    for name in ("image", "invvar"):
        (copy / path_of("0100p050", name, "r")).unlink()
    with Archive(str(copy)) as archive:
        made = run(archive, rows, targets[[0, 2]], tmp_path / "a.hdf5", known=True, bands=("g", "r", "z"))
    assert made.rows == (3, 23)
    assert set(states(tmp_path / "a.hdf5")) == {"0100p050 image r", "0100p050 invvar r"}, "nobody said there was z"
    with h5py.File(tmp_path / "a.hdf5") as file:
        assert file["band"][:].tolist() == [b"g", b"r", b"z"]
        assert file["coverage"][:].tolist() == [[1, 0, 0]] * 2
        assert file["targets/n_bands"][:].tolist() == [1, 1]
        assert np.isnan(file["image"][:, 1:]).all() and (file["invvar"][:, 1:] == 0).all()
        assert np.isfinite(file["image"][:, 0]).all() and (file["invvar"][:, 0] > 0).all()
        assert file["image_read"][:].tolist() == file["invvar_read"][:].tolist() == [[True, False, False]] * 2
        assert file["maskbits_read"][:].all()


@pytest.mark.parametrize("http", [False, True])
def test_an_absent_brick_is_recorded_if_the_archive_has_others(pair, copy, tmp_path, http):
    _, rows, targets = pair
    shutil.rmtree((copy / path_of("0100p050", "maskbits")).parent)
    with serve(copy) as server, Archive(server.url if http else str(copy), patience=QUICK) as archive:
        made = run(archive, rows, targets, tmp_path / "a.hdf5", known=True, whole_files=http)
        assert (made.status, made.rows) == ("absent", ())
        assert set(states(tmp_path / "a.hdf5").values()) == {"absent: not in the archive"}
        assert listed("b", tmp_path / "a.hdf5")[:-1] == ("b", 0, 0, 5, 0, 0, 0)
        with h5py.File(tmp_path / "a.hdf5") as file:
            assert file["targets/row"][:].tolist() == [3, 13, 23]
            assert file["targets/n_spectra"][:].tolist() == file["targets/n_bands"][:].tolist() == [0, 0, 0]
            assert file["image"].shape == (0, 2, 60, 60) and file["maskbits"].shape == (0, 60, 60)
        (copy / KNOWN).unlink()
    with (
        serve(copy) as server,
        Archive(server.url if http else str(copy), patience=QUICK) as archive,
        pytest.raises(ArchiveUnavailable, match="moved, unmounted"),
    ):
        run(archive, rows, targets, tmp_path / "b.hdf5", known=True, whole_files=http)
    assert not (tmp_path / "b.hdf5").exists()


def test_a_brick_whose_files_are_all_bad_is_unreadable(pair, copy, tmp_path):
    _, rows, targets = pair
    for path in (copy / path_of("0100p050", "maskbits")).parent.glob("*.fz"):
        page(path)
    with serve(copy) as server, Archive(server.url, patience=QUICK) as archive:
        made = run(archive, rows, targets, tmp_path / "a.hdf5")
    assert (made.status, made.rows) == ("unreadable", ())
    reasons = states(tmp_path / "a.hdf5")
    assert len(reasons) == 5 and all("HTML page" in why and "127.0.0.1" not in why for why in reasons.values())


def test_images_that_do_not_hold_what_the_brick_does_are_not_believed(pair, tmp_path):
    root, rows, targets = pair
    beyond = targets.copy()
    beyond["dec"][1] += STEP
    with Archive(str(root)) as archive:
        made = run(archive, rows, beyond, tmp_path / "a.hdf5")
    assert (made.status, made.rows) == ("unreadable", ())
    assert all("holds a target that the image" in why for why in states(tmp_path / "a.hdf5").values())


def test_a_target_without_data_has_no_cutout(tmp_path):
    """Nothing was observed there: no image; next to it a single pixel was, in one band."""
    gap = np.zeros((SIZE, SIZE), bool)
    gap[:, 100:] = True
    one = gap.copy()
    one[50, 150] = False
    row = make(tmp_path, "0100p050", 10.0, 5.0, gaps={"g": gap, "r": one})
    places = sky_of(tmp_path / path_of("0100p050", "maskbits"), [40, 165, 165, 165], [50, 150, 80, 81])
    targets = targets_at(row, places)
    with Archive(str(tmp_path)) as archive:
        made = run(archive, rows_of(row), targets, tmp_path / "a.hdf5")
        assert made.rows == (3, 23)
        nothing = run(archive, rows_of(row), targets[[1, 3]], tmp_path / "b.hdf5")
        bits = run(archive, rows_of(row), targets, tmp_path / "c.hdf5", products=("maskbits",))
    with h5py.File(tmp_path / "a.hdf5") as file:
        assert file["row"][:].tolist() == [3, 23]
        assert file["targets/n_spectra"][:].tolist() == [1, 0, 1, 0]
        assert file["targets/n_bands"][:].tolist() == [2, 0, 1, 0]
        assert (file["invvar"][1] > 0).sum() == 1
    assert (nothing.status, nothing.rows) == ("read", ())
    assert bits.rows == (3, 13, 23, 33), "bits are there all the same"
    with h5py.File(tmp_path / "b.hdf5") as file:
        assert file["image"].shape == (0, 2, 60, 60)
    assert listed("b", tmp_path / "b.hdf5")[:-1] == ("b", 0, 5, 0, 0, 0, 0)


@pytest.mark.parametrize("size", [0, 10_000])
def test_a_cutout_of_no_pixels_or_too_many_is_refused(size):
    with pytest.raises(InputError, match=r"legacysurvey\.size"):
        WantedCutouts(size=size)


# --- The program -----------------------------------------------------------------------------------------------------


@pytest.fixture
def program(pair, tmp_path, monkeypatch):
    """Return what runs the program for one of the two bricks, or both, in a directory with their plan."""
    _, rows, targets = pair
    monkeypatch.setenv("SKYHARVEST_PATIENCE", "tries=2 base_s=0.01 cap_s=0.01")
    monkeypatch.chdir(tmp_path)
    back = targets_at(rows[1], [(10.0, 5.0 + 0.51 * STEP)])
    targets = np.concatenate([targets, back])
    np.save("plan_targets.npy", targets)
    np.save("plan_bricks.npy", np.concatenate([rows, rows_of(rows[1], rows[0])]))
    Path("plan.csv").write_text("region,brickname,n_targets,bands\nsouth,0100p050,3,gr\nsouth,0100p052,1,gr\n")
    Path("plan_pixels.csv").write_text("pix16,region,brickname,digest\n5,south,0100p050,ab\n6,south,0100p052,cd\n")
    columns = {name: targets[name].tolist() for name in ("row", "ra", "dec")}
    pq.write_table(pa.table(columns | {"pix16": [5, 5, 5, 6], "pix64": [80, 80, 80, 96]}), "targets.parquet")

    def run_program(root: str, batch: str, *more: str) -> int:
        words = ["--archive", root, "--release", "demolegacysurvey", "--targets", "targets.parquet"]
        words += ["--plan", "plan.csv", "--batch", batch, "--size", "60", "--bands", "g", "r", "--radii", "1"]
        words += ["--extracted", "extracted", "--assembled", "assembled", "--no-contact-sheets"]
        words += ["--list", "out.csv", "--journal", "journal.csv", "--known", KNOWN, *more]
        return cli.run(harvest_legacysurvey.main, harvest_legacysurvey.build_parser(), words)

    return run_program


BRICKS = "south_0100p050", "south_0100p052"
BATCH, ITS_BATCH = "4-5", "4-6"
OUT, ITS_OUT = (Path(f"extracted/010/{brick}.hdf5") for brick in BRICKS)


def test_a_server_that_is_down_leaves_nothing_but_a_line_in_the_journal(pair, program):
    """Also if one file of many is what it does not give."""
    root, _, _ = pair
    brick = BRICKS[0]
    with serve(root) as server:
        for failing in ("/", path_of("0100p050", "invvar", "r"), path_of("0100p052", "image", "g")):
            server.misbehave = lambda handler, _, what=failing: (
                what in handler.path and handler.answer(503, b"") is None
            )
            assert program(server.url, BATCH) == cli.EXIT_TRY_AGAIN
            assert not OUT.exists() and not Path("out.csv").exists()
            assert "HTTP 503" in read_journal(Path("journal.csv")).failed[brick].message
        server.misbehave = None
        assert program(server.url, BATCH, "--download", "downloads") == 0
        assert list(Path("downloads").iterdir()) == []
        journal = read_journal(Path("journal.csv"))
        line = journal.files[brick, *LEGACYSURVEY.kind]
        made = (journal.failed, line.status, line.n_searched, line.n_spectra, line.rows)
        assert made == ({}, "read", 3, 3, (3, 13, 23))
        assert line.bytes >= sum(path.stat().st_size for path in root.rglob("*.fz") if "psfsize" not in path.name)
        first = OUT.read_bytes()
        OUT.unlink()
        assert program(server.url, BATCH) == 0, "rows instead of files"
        assert OUT.read_bytes() == first
    assert program(str(root), BATCH, "--size", "0") not in (0, cli.EXIT_TRY_AGAIN)
    with Path("out.csv").open(newline="") as stream:
        (line_of_list,) = csv.DictReader(stream)
    assert list(line_of_list.values())[:7] == [brick, "3", "10", "0", "0", "0", "0"]


def test_jobs_of_neighbours_that_download_to_one_place_leave_each_others_files(pair, program):
    status = []
    with serve(pair[0]) as server:

        def meanwhile(handler, _) -> bool:
            if not status and handler.path.endswith("0100p052-maskbits.fits.fz"):  # the last file of the first job
                status.append(None)
                status[0] = program(server.url, ITS_BATCH, "--download", "downloads", "--list", "its.csv")
            return False

        server.misbehave = meanwhile
        assert program(server.url, BATCH, "--download", "downloads") == 0
    assert status == [0]
    assert states(OUT) == states(ITS_OUT) == {}
    assert (len(read(OUT)["row"]), len(read(ITS_OUT)["row"])) == (3, 1)


def test_bricks_with_a_bad_file_are_read_again_when_the_program_is_run_again(copy, program):
    """The file is of the one brick, and the other's neighbour."""
    path = copy / path_of("0100p050", "image", "r")
    kept = path.read_bytes()
    page(path)
    assert program(str(copy), "all") == 0
    assert set(states(OUT)) == set(states(ITS_OUT)) == {"0100p050 image r"}
    path.write_bytes(kept)
    assert program(str(copy), "all") == 0
    assert states(OUT) == states(ITS_OUT) == {}
    assert np.isfinite(read(OUT)["image"]).all() and np.isfinite(read(ITS_OUT)["image"]).all()
