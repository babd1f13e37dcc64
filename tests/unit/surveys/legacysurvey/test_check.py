"""A check of the Legacy Surveys' archive: each difference is seen and named, and what is said of the run is so."""

import os
import shutil

import fitsio
import numpy as np
import pytest
from numpy.lib import recfunctions

from range_server import serve
from skyharvest.archive.archive import Archive
from skyharvest.core.errors import MalformedFile
from skyharvest.harvest.check import ADAPTED, AS_ASSUMED, FAILS, NOTE
from skyharvest.simulate.legacysurvey.brick import Stars, write_brick
from skyharvest.simulate.sha256sum import write_sha256sum
from skyharvest.surveys.legacysurvey import brick_images
from skyharvest.surveys.legacysurvey.brick_images import BrickFiles, BrickImages
from skyharvest.surveys.legacysurvey.bricks import read_brick_table
from skyharvest.surveys.legacysurvey.check import QUESTIONS, work
from skyharvest.surveys.legacysurvey.check import bricks as check_bricks
from skyharvest.surveys.legacysurvey.plan import make_plan
from skyharvest.surveys.legacysurvey.release import load_release
from skyharvest.surveys.legacysurvey.wanted_cutouts import WantedCutouts
from small_bricks import around, table_of, write_table
from small_check import Case, ask, asking, check_case, one, own, set_card

RELEASE = load_release("dr9")
OWN, *_ = around(180, 40)
BRICK, RA, DEC = OWN["brickname"].decode(), float(OWN["ra"]), float(OWN["dec"])
FAR = around(10, -5, 1.5)
HALF = 0.005  # degrees of the box; the image is 2.5 arcsec larger on each side
SIZE = 160
BANDS = "grz"
TABLE = RELEASE.bricks("north")
IMAGE = RELEASE.product("north", BRICK, "image", "r")
WANTED = {"release": "dr9", "bands": list(BANDS), "size": 60}
NOBODY = Stars(np.zeros(0), np.zeros(0), {band: np.zeros(0) for band in BANDS})


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(brick_images, "SECOND_READING_S", 0.0)


def rows_of(region):
    """Return the rows of a region's table: a brick of a small box, and bricks elsewhere that have no files."""
    bricks = np.concatenate([[OWN], FAR])
    for name, edge in (("ra1", RA - HALF), ("ra2", RA + HALF), ("dec1", DEC - HALF), ("dec2", DEC + HALF)):
        bricks[name][0] = edge
    rows = table_of(bricks, **{f"nexphist_{band}": np.full((len(bricks), 11), 7, "i4") for band in BANDS})
    rows["survey_primary"] = (np.arange(len(bricks)) == 0) == (region == "north")
    return rows


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A release whose two regions have the same brick."""
    root = tmp_path_factory.mktemp("legacysurvey")
    for region in RELEASE.regions:
        write_table(root / RELEASE.bricks(region), rows_of(region))
        directory = (root / RELEASE.product(region, BRICK, "maskbits")).parent
        box = (RA - HALF, RA + HALF, DEC - HALF, DEC + HALF)
        how = {"stars": NOBODY, "bands": BANDS, "products": ("image", "invvar"), "box": box}
        write_brick(directory, BRICK, ra=RA, dec=DEC, size=SIZE, rng=np.random.default_rng(1), **how)
        write_sha256sum(root / RELEASE.checksums(region, BRICK), sorted(directory.glob("*.fits.fz")))
    return root


@pytest.fixture
def root(release, tmp_path):
    """A copy, to be spoilt: of links, which `own` replaces."""
    shutil.copytree(release, tmp_path / "copy", copy_function=os.link)
    return tmp_path / "copy"


def findings(root, **section):
    return ask(QUESTIONS, asking("legacysurvey", root, (RA, DEC), **WANTED | section))


# --- As it should be -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transfer", ["rows", "files"])
def test_a_release_as_it_is_described_gives_no_cause_for_concern(release, transfer):
    given = asking("legacysurvey", release, (RA, DEC), transfer=transfer, **WANTED)
    found = ask(QUESTIONS, given)
    assert {finding.verdict for finding in found} == {AS_ASSUMED}, found
    assert one(found, "bricks of the CSV's positions").seen == "1 position in 1 brick"
    assert one(found, "overlap of north and south").seen == "1 position in bricks of both"
    assert one(found, "region that counts, north").seen == f"so in {1 + len(FAR)} rows"
    planned = work(given)
    assert (planned.n_files, planned.rows) == (7, "1 CSV rows")
    assert not [finding for finding in found if "viewer" in finding.question]


def test_of_a_large_table_behind_a_server_the_first_rows_are_read(release, monkeypatch):
    """Then the brick's name is computed: it is one of the survey's division of the sky."""
    monkeypatch.setattr(check_bricks, "HEAD_BYTES", 1500)
    with serve(release) as server:
        given = asking("legacysurvey", server.url, (RA, DEC), **WANTED)
        found = ask(QUESTIONS, given)
        assert server.sent < 1_000_000
    assert f" of {1 + len(FAR)} rows" in one(found, "rows of the bricks, north").seen
    assert one(found, "division of the sky").verdict == AS_ASSUMED
    assert "if there are images everywhere" in one(found, "bricks of the CSV's positions").seen
    assert one(found, "files of a brick").verdict == AS_ASSUMED, found
    assert work(given).files.startswith("at most 7 files")


def test_a_position_that_has_no_brick_is_said_and_another_brick_asked_about(release):
    found = ask(QUESTIONS, asking("legacysurvey", release, (90.0, 60.0), **WANTED))
    assert one(found, "bricks of the CSV's positions").verdict == NOTE
    assert "nothing to harvest" in one(found, "bricks of the CSV's positions").means
    assert one(found, "tiles of the images").verdict == AS_ASSUMED


def test_a_mirror_of_some_bricks_is_asked_about_one_that_it_has(release):
    found = ask(QUESTIONS, asking("legacysurvey", release, [(10.1, -5.1), (10.1, -5.1), (RA, DEC)], **WANTED))
    files = one(found, "files of a brick")
    assert (files.verdict, files.seen) == (NOTE, "7 files, after 1 brick without any")
    assert one(found, "tiles of the images").verdict == AS_ASSUMED


# --- Injected differences --------------------------------------------------------------------------------------------


def table(change):
    """Change the rows of the north's table."""
    return lambda root: write_table(own(root / TABLE), change(rows_of("north")))


def with_value(name, value):
    def change(rows):
        rows[name] = value
        return rows

    return table(change)


def misnamed(rows):
    rows["brickname"][1] = b"nowhere"
    return rows


def numbered(rows):
    others = recfunctions.drop_fields(rows, "brickname")
    return recfunctions.append_fields(others, "brickname", np.arange(len(rows)), usemask=False)


def widened(rows):
    for name, sign in (("ra1", -1), ("ra2", 1), ("dec1", -1), ("dec2", 1)):
        rows[name] += sign * HALF
    return rows


def without(*names):
    return table(lambda rows: recfunctions.drop_fields(rows, names))


def bricks_of(root):
    return read_brick_table(root / TABLE, "north", BANDS)


def table_raises(root):
    with pytest.raises(MalformedFile):
        bricks_of(root)


def all_bands(root):
    assert set(bricks_of(root)["bands"]) == {b"grz"}


def no_images_in_z(root):
    targets = {name: np.array([value]) for name, value in (("row", 0), ("ra", RA), ("dec", DEC), ("pix16", 0))}
    plan = make_plan(bricks_of(root), targets, size=60, bands=BANDS, products=["image"])
    assert set(plan.bricks["bands"]) == {b"gr"}


def unpacked(root):
    write_table(root / TABLE.removesuffix(".gz"), rows_of("north"))
    (root / TABLE).unlink()


def read_by_other_path(root):
    assert len(read_brick_table(root / TABLE.removesuffix(".gz"), "north", BANDS)) == 1 + len(FAR)


def card(key, value, path=IMAGE):
    return lambda root: set_compressed(own(root / path), key, value)


def set_compressed(path, key, value):
    """Overwrite a card of the first compressed image."""
    set_card(path, fitsio.read_header(str(path), ext=1).get("EXTNAME", "").strip() or "", key, value)


def image(path=IMAGE, change=lambda pixels: pixels, **how):
    """Write an image anew, with the same header."""

    def spoil(root):
        with fitsio.FITS(str(root / path)) as file:
            pixels, header = file[1].read(), file[1].read_header()
        (root / path).unlink()
        header.clean()
        options = {"compress": "RICE", "qmethod": "SUBTRACTIVE_DITHER_2", "qlevel": -1e-4, "tile_dims": (100, 100)}
        pixels = change(pixels)
        options = options if pixels.dtype.kind == "f" else {"compress": "RICE", "tile_dims": (100, 100)}
        with fitsio.FITS(str(root / path), "rw", clobber=True) as file:
            file.write(pixels, header=header, **options | how)

    return spoil


def with_gap(pixels):
    pixels[:40] = 0
    return pixels


def gap_is_lost(root):
    with fitsio.FITS(str(root / RELEASE.product("north", BRICK, "invvar", "g"))) as file:
        assert (file[1][:40, :] != 0).any()


def gone(*paths):
    return lambda root: [(root / path).unlink() for path in paths]


def of_all(product):
    return [RELEASE.product("north", BRICK, product, band) for band in BANDS]


def status_of(layer, status):
    """Show what the run records of a file of the brick."""

    def so(root):
        brick = next(row for row in bricks_of(root) if row["brickname"] == BRICK.encode())
        wanted = WantedCutouts(size=60, bands=tuple(BANDS))
        files = BrickFiles(RELEASE, brick, wanted)
        with BrickImages(files, Archive(str(root)), wanted) as images:
            images.open()
            assert images.states[layer][0] == status

    return so


def cut_in_half(root):
    path = own(root / IMAGE)
    os.truncate(path, path.stat().st_size // 2)


def other_sums(change):
    def spoil(root):
        path = own(root / RELEASE.checksums("north", BRICK))
        path.write_text(change(path.read_text()))

    return spoil


UNREADABLE = status_of(("image", "r"), "unreadable")
CASES = {
    "table: column missing": Case(
        without("ra1"),
        "columns of the bricks, north",
        FAILS,
        ("column ra1 is missing", "nothing can be planned"),
        table_raises,
    ),
    "table: upper case": Case(
        table(lambda rows: recfunctions.rename_fields(rows, {name: name.upper() for name in rows.dtype.names})),
        "columns of the bricks, north",
        ADAPTED,
        ("BRICKNAME", "in any case"),
        all_bands,
    ),
    "table: not compressed": Case(
        unpacked,
        "columns of the bricks, north",
        FAILS,
        ("survey-bricks-dr9-north.fits is there", "paths: bricks: dr9/{region}/survey-bricks-dr9-{region}.fits"),
        read_by_other_path,
    ),
    "table: a page": Case(
        lambda root: own(root / TABLE).write_bytes(b"<!DOCTYPE html><html>"),
        "columns of the bricks, north",
        FAILS,
        ("found b'<!DOCTYPE html>", "expected the header of a FITS table"),
        table_raises,
    ),
    "table: bricknames are numbers": Case(
        table(numbered),
        "columns of the bricks, north",
        FAILS,
        ("column brickname holds int64", "expected text"),
        table_raises,
    ),
    "table: a row of no brick": Case(
        table(misnamed),
        "rows of the bricks, north",
        NOTE,
        (f"1 of {1 + len(FAR)} rows", "left out"),
    ),
    "table: no bands": Case(
        without(*(f"nexphist_{band}" for band in BANDS)),
        "bands of the bricks, north",
        ADAPTED,
        ("no column of any", "all bands"),
        all_bands,
    ),
    "table: a band less": Case(
        without("nexphist_z"),
        "bands of the bricks, north",
        FAILS,
        ("no brick would have images in z", "legacysurvey.bands: [g, r]"),
        no_images_in_z,
    ),
    "table: a band more": Case(
        table(lambda rows: recfunctions.append_fields(rows, "nexp_i", np.ones(len(rows), "i4"), usemask=False)),
        "bands of the bricks, north",
        NOTE,
        ("images in i are not asked for", "dr9: bands"),
    ),
    "table: primary elsewhere": Case(
        with_value("survey_primary", False),
        "region that counts, north",
        NOTE,
        ("otherwise in 1 of ",),
    ),
    "brick: not there": Case(
        lambda root: (root / IMAGE).parent.rename(root / "away"),
        "files of a brick",
        FAILS,
        ("no file, for 1 brick", "recorded as absent"),
        status_of(("image", "r"), "absent"),
    ),
    "brick: a file less": Case(
        gone(IMAGE), "files of a brick", NOTE, ("not there: image-r",), status_of(("image", "r"), "absent")
    ),
    "brick: a product less": Case(
        gone(*of_all("invvar")),
        "files of a brick",
        FAILS,
        ("invvar-g, invvar-r", "products: without invvar"),
        status_of(("invvar", "z"), "absent"),
    ),
    "image: no dither": Case(
        card("ZDITHER0", 0), "files of a brick", FAILS, ("image-r: ", "ZDITHER0 is 0, expected an integer"), UNREADABLE
    ),
    "image: other algorithm": Case(
        card("ZCMPTYPE", "PLIO_1"), "files of a brick", FAILS, ("ZCMPTYPE is 'PLIO_1'",), UNREADABLE
    ),
    "image: cut off": Case(cut_in_half, "files of a brick", FAILS, ("it is truncated", "no image-r"), UNREADABLE),
    "image: other pixels": Case(
        card("CD1_1", -1e-4), "files of a brick", FAILS, ("pixels of 0.36", "expected 0.262"), UNREADABLE
    ),
    "image: of another brick": Case(
        card("CRVAL1", 170.0), "files of a brick", FAILS, ("the brick's centre", "off (160, 160)"), UNREADABLE
    ),
    "image: larger tiles": Case(
        image(tile_dims=(160, 160)),
        "tiles of the images",
        ADAPTED,
        ("160 x 160", "1.9 times as many bytes"),
        status_of(("image", "r"), "read"),
    ),
    "image: dither that moves 0": Case(
        image(RELEASE.product("north", BRICK, "invvar", "g"), with_gap, qmethod="SUBTRACTIVE_DITHER_1", qlevel=-1.0),
        "compression and dither",
        FAILS,
        ("invvar RICE_1 SUBTRACTIVE_DITHER_1", "count as data"),
        gap_is_lost,
    ),
    "image: whole numbers": Case(
        image(change=lambda pixels: (pixels * 100).astype("i2")),
        "values of the images",
        FAILS,
        ("int16, not floating-point numbers", "unreadable"),
    ),
    "image: other byte order": Case(
        image(change=lambda pixels: pixels.byteswap(), compress="GZIP", qmethod=None, qlevel=0),
        "values of the images",
        FAILS,
        ("float32, typically", "another byte order"),
    ),
    "image: other units": Case(
        card("BUNIT", "Jy"), "units of the images", FAILS, ("BUNIT 'Jy'", "magnitudes would be wrong")
    ),
    "image: other zeropoint": Case(
        card("MAGZERO", 30.0), "units of the images", FAILS, ("MAGZERO 30.0", "magnitudes would be wrong")
    ),
    "image: other bands": Case(
        card("BANDS", "g,r", RELEASE.product("north", BRICK, "image", "g")),
        "bands of a brick",
        NOTE,
        ("g, r", "table's bands"),
    ),
    "image: smaller than its box": Case(
        table(widened),
        "images and boxes of bricks",
        FAILS,
        ("-15 arcsec beyond the box", "have no cutout"),
    ),
    "checksums: none": Case(
        gone(RELEASE.checksums("north", BRICK)), "checksums", NOTE, ("no such file", "nothing depends on them")
    ),
    "checksums: of another kind": Case(
        other_sums(lambda text: "\n".join(line[32:] for line in text.splitlines())),
        "checksums",
        NOTE,
        ("none for 7 of 7 files", "length that their headers imply", "paths: checksums"),
        None,
        {"transfer": "files"},
    ),
    "checksums: others": Case(
        other_sums(lambda text: "\n".join("0" * 64 + line[64:] for line in text.splitlines())),
        "checksum of a file",
        FAILS,
        ("recorded as unreadable", "another mirror"),
        None,
        {"transfer": "files"},
    ),
    "checksums: others, not verified": Case(
        other_sums(lambda text: "\n".join("0" * 64 + line[64:] for line in text.splitlines())),
        "checksum of a file",
        NOTE,
        ("it is not noticed",),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_difference_is_seen_and_what_it_means_is_so(root, case):
    check_case("Legacy Surveys", case, CASES[case], root, findings)
