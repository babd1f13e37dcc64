"""The Legacy Surveys' per-healpix files and ledger: stars of known place and light, from several bricks, by CSV row."""

import csv
import re
import shutil
from pathlib import Path

import h5py
import healpy
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io.fits import Header
from astropy.wcs import WCS
from photutils.aperture import CircularAperture, aperture_photometry
from photutils.centroids import centroid_2dg, centroid_sources

from skyharvest.archive.archive import Archive
from skyharvest.core.errors import MalformedFile
from skyharvest.harvest.ledger import account, show, summarise, write_ledger
from skyharvest.simulate.legacysurvey.brick import FWHM, PIXEL, Stars, enclosed, write_brick
from skyharvest.surveys.legacysurvey import brick_images
from skyharvest.surveys.legacysurvey.about import SURVEY as LEGACYSURVEY
from skyharvest.surveys.legacysurvey.assemble import assemble_legacysurvey as assemble
from skyharvest.surveys.legacysurvey.bricks import BRICK_DTYPE
from skyharvest.surveys.legacysurvey.contact_sheet import make_sheet
from skyharvest.surveys.legacysurvey.extract import extract_brick, request_of
from skyharvest.surveys.legacysurvey.plan import bricks_of_plan, make_plan, targets_of_brick, write_plan
from skyharvest.surveys.legacysurvey.release import load_release
from skyharvest.surveys.legacysurvey.wanted_cutouts import WantedCutouts
from skyharvest.targets.table import read_targets, write_targets

RELEASE = load_release("demolegacysurvey")
BANDS = "grz"
IMAGE, OVERLAP, CUTOUT = 440, 40, 60  # pixels
SIDE = (IMAGE - OVERLAP) * PIXEL / 3600  # degrees
RA, DEC = 150.0, 62.0  # of the corner that four bricks have in common
RADII = (1.5, 3.5, 7.0)  # arcsec
WANTED = WantedCutouts(size=CUTOUT, bands=tuple(BANDS))
NAMES = ("1499p619", "1501p619", "1499p621", "1501p621")
GONE, BAD = "1502p619", "1497p619"  # without files; with HTML pages for them
NOTHING = (150.0 - 0.02 / np.cos(np.radians(DEC)), DEC - 0.02)  # where nothing was observed


def bricks() -> np.ndarray:
    """Return the table: four bricks with images around a corner, one east and one west of them without."""
    made = np.zeros(6, BRICK_DTYPE)
    width = SIDE / np.cos(np.radians(DEC))
    at = [(-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (1.5, -0.5), (-1.5, -0.5)]
    for row, name, (east, north) in zip(made, (*NAMES, GONE, BAD), at, strict=True):
        ra, dec = RA + east * width, DEC + north * SIDE
        row["region"], row["brickname"], row["bands"] = b"south", name, b"gr" if name == NAMES[1] else b"grz"
        row["ra"], row["dec"], row["dec1"], row["dec2"] = ra, dec, dec - SIDE / 2, dec + SIDE / 2
        row["ra1"], row["ra2"] = ra - width / 2, ra + width / 2
    return np.sort(made, order="brickname")


def stars(rng: np.random.Generator) -> Stars:
    """Return stars all over the four bricks, 60 pixels from each other and more, near the bricks' edges and corner."""
    across = np.arange(-6, 7) * 61.0
    x, y = (axis.ravel() for axis in np.meshgrid(across, across))
    x, y = (axis + rng.uniform(-8, 8, len(x)) for axis in (x, y))
    x[np.argmin(np.hypot(x, y))] = y[np.argmin(np.hypot(x, y))] = 4.3
    dec = DEC + y * PIXEL / 3600
    ra = RA + x * PIXEL / 3600 / np.cos(np.radians(dec))
    far = np.hypot((ra - NOTHING[0]) * np.cos(np.radians(DEC)), dec - NOTHING[1]) > 60 * PIXEL / 3600
    flux = {band: 10 ** ((22.5 - rng.uniform(17, 20, far.sum())) / 2.5) for band in BANDS}
    return Stars(ra[far], dec[far], flux)


STARS = stars(np.random.default_rng(62))
ORDER = np.random.default_rng(63).permutation(len(STARS.ra))  # of the stars in the CSV: bricks come by turns


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A finished run."""
    root = tmp_path_factory.mktemp("run")
    width = SIDE / np.cos(np.radians(DEC))
    others = [NOTHING, (RA + 1.5 * width, DEC - SIDE / 2), (RA - 1.5 * width, DEC - SIDE / 2), (10.0, -5.0)]
    positions = [*zip(STARS.ra[ORDER].tolist(), STARS.dec[ORDER].tolist(), strict=True), *others]
    rows = [f"{float(ra)!r},{float(dec)!r},s{k},{k / 7}" for k, (ra, dec) in enumerate(positions)] + ["x,1,bad,"]
    (root / "list.csv").write_text("\n".join(["RA,DEC,name,value", *rows]) + "\n")
    targets = read_targets(root / "list.csv", "RA", "DEC")
    write_targets(targets, root / "targets")
    columns = {name: np.asarray(targets.table.column(name).to_numpy()) for name in ("row", "ra", "dec", "pix16")}
    table = bricks()
    plan = make_plan(table, columns, size=CUTOUT, bands=BANDS, products=WANTED.products)
    write_plan(plan, root / "legacysurvey", RELEASE, str(root / "archive"))
    for row in table:
        name = row["brickname"].decode()
        directory = root / "archive" / Path(RELEASE.product("south", name, "maskbits")).parent
        if name == GONE:
            directory.mkdir(parents=True)
        else:
            write(directory, row)
        for path in directory.iterdir() if name == BAD else ():
            path.write_text("<!DOCTYPE html><html>busy</html>".ljust(9000))
    extract(root, root / "legacysurvey/extracted")
    for pix16, found in LEGACYSURVEY.read_plan(root / "legacysurvey/plan.csv").searched.items():
        assembled(root, pix16, found)
    return root


def write(directory: Path, row: np.void) -> None:
    """Write a brick's images; the sky is the same in all, the noise is not."""
    name = row["brickname"].decode()
    gaps = {}
    if name == NAMES[0]:
        y, x = np.indices((IMAGE, IMAGE))
        dx = -(NOTHING[0] - row["ra"]) * np.cos(np.radians(NOTHING[1])) * 3600 / PIXEL
        dy = (NOTHING[1] - row["dec"]) * 3600 / PIXEL
        hole = np.hypot(x - IMAGE / 2 - dx, y - IMAGE / 2 - dy) < CUTOUT * 0.8
        gaps = dict.fromkeys(BANDS, hole)
    write_brick(
        directory,
        name,
        ra=row["ra"],
        dec=row["dec"],
        size=IMAGE,
        stars=STARS,
        bands=row["bands"].decode(),
        products=("image", "invvar"),
        gaps=gaps,
        box=tuple(row[key] for key in ("ra1", "ra2", "dec1", "dec2")),
        rng=np.random.default_rng(list(name.encode())),
    )


def extract(root: Path, out: Path, wanted: WantedCutouts = WANTED, names=(*NAMES, GONE, BAD)) -> None:
    with pytest.MonkeyPatch.context() as patch, Archive(str(root / "archive")) as archive:
        patch.setattr(brick_images, "SECOND_READING_S", 0.0)
        for name in names:
            plan = root / "legacysurvey"
            images = bricks_of_plan(plan / "plan_bricks.npy", "south", name)
            targets = targets_of_brick(plan / "plan_targets.npy", "south", name)
            how = {"wanted": wanted, "request": request_of(images, targets, wanted), "scratch": root / "scratch"}
            extract_brick(archive, RELEASE, images, targets, LEGACYSURVEY.path(out, f"south_{name}"), **how)


def assembled(root: Path, pix16: int, found, extracted: Path | None = None, out: Path | None = None) -> Path:
    out = out or LEGACYSURVEY.crossmatch(root / "legacysurvey_crossmatches", pix16)
    assemble(
        pix16,
        [LEGACYSURVEY.path(extracted or root / "legacysurvey/extracted", brick) for brick in found],
        out,
        targets=root / "targets/targets.parquet",
        name="chandra",
        attributes={"release": "demo"},
        radii_arcsec=RADII,
    )
    return out


PIX16 = int(healpy.ang2pix(16, RA, DEC, nest=True, lonlat=True))
ALL = [f"south_{name}" for name in NAMES]


@pytest.fixture(scope="module")
def cutouts(results):
    with h5py.File(LEGACYSURVEY.crossmatch(results / "legacysurvey_crossmatches", PIX16)) as file:
        group = file["legacysurvey"]
        made = {name: item[:] for name, item in group.items() if isinstance(item, h5py.Dataset)}
        made |= {"wcs": {name: item[:] for name, item in group["wcs"].items()}, "words": dict(group["wcs"].attrs)}
        made |= {f"csv {name}": item[:] for name, item in file["chandra"].items()}
        made["attributes"] = dict(file.attrs) | dict(group.attrs)
    return made


# --- Stars -----------------------------------------------------------------------------------------------------------


def test_stars_are_where_the_cutouts_wcs_says(cutouts):
    """To 0.1 pixel, by centroids; the WCS is astropy's, of ICRS, with all that the file has of it."""
    off, bright = [], []
    for k, star in enumerate(ORDER):
        header = Header({name: values[k] for name, values in cutouts["wcs"].items()} | cutouts["words"])
        wcs = WCS(header)
        assert wcs.wcs.radesys == "ICRS"
        x, y = wcs.world_to_pixel(SkyCoord(STARS.ra[star] * u.deg, STARS.dec[star] * u.deg, frame="icrs"))
        assert abs(x - CUTOUT // 2) <= 0.5 and abs(y - CUTOUT // 2) <= 0.5
        assert (x, y) == pytest.approx(
            (cutouts["x"][k] - cutouts["x0"][k], cutouts["y"][k] - cutouts["y0"][k]), abs=1e-6
        )
        for band, image in zip(BANDS, cutouts["image"][k], strict=True):
            if np.isfinite(image).all():
                found = np.ravel(centroid_sources(image, x, y, box_size=9, centroid_func=centroid_2dg))
                off.append((found[0] - x, found[1] - y))
                bright.append(STARS.flux[band][star] > 20)  # fainter than 19.2 mag, noise in z moves them by as much
    distance = np.hypot(*np.transpose(off))
    assert sum(bright) > 300
    assert distance[bright].max() < 0.1
    assert np.abs(np.mean(off, axis=0)).max() < 0.005, "nothing moves them all"


def test_magnitudes_are_the_stars_within_their_errors(cutouts):
    """Of the whole light, by the share of it that the circle holds."""
    np.testing.assert_array_equal(cutouts["aperture_radius"], RADII)
    pulls = []
    for j, band in enumerate(BANDS):
        for i, radius in enumerate(RADII):
            true = 22.5 - 2.5 * np.log10(STARS.flux[band][ORDER] * enclosed(radius, FWHM[band]))
            magnitude, error = (cutouts[f"aperture_magnitude{end}"][:, j, i] for end in ("", "_error"))
            there = cutouts["aperture_good"][:, j, i] > 0.9999
            assert np.isfinite(magnitude[there]).all()
            if band != "z":
                assert there.all()
            pulls.append(((magnitude - true) / error)[there])
    for pull, radius in zip(pulls, RADII * len(BANDS), strict=True):
        if radius > 3:  # within 1.5 arcsec the brightest depend on where in a pixel they are
            assert np.abs(pull).max() < 4.5
            assert 0.8 < pull.std() < 1.2 and abs(pull.mean()) < 0.35


def test_fluxes_are_those_of_photutils(cutouts):
    for k in range(0, len(ORDER), 10):
        at = cutouts["x"][k] - cutouts["x0"][k], cutouts["y"][k] - cutouts["y0"][k]
        for j in range(2):
            error = 1 / np.sqrt(cutouts["invvar"][k, j])
            for i, radius in enumerate(RADII):
                table = aperture_photometry(cutouts["image"][k, j], CircularAperture(at, radius / PIXEL), error=error)
                flux, flux_error = table["aperture_sum"][0], table["aperture_sum_err"][0]
                assert cutouts["aperture_flux"][k, j, i] == pytest.approx(flux, rel=1e-6)
                assert cutouts["aperture_flux_error"][k, j, i] == pytest.approx(flux_error, rel=1e-6)


# --- Rows ------------------------------------------------------------------------------------------------------------


def test_rows_of_several_bricks_are_in_the_csvs_order(results, cutouts):
    n = len(ORDER)
    assert cutouts["csv row"].tolist() == list(range(n))
    assert [name.decode() for name in cutouts["csv name"]] == [f"s{k}" for k in range(n)]
    np.testing.assert_allclose(cutouts["csv value"], np.arange(n) / 7)
    np.testing.assert_array_equal(cutouts["ra"], STARS.ra[ORDER])
    np.testing.assert_array_equal(cutouts["dec"], STARS.dec[ORDER])
    home = np.where(STARS.dec < DEC, np.where(STARS.ra < RA, *NAMES[:2]), np.where(STARS.ra < RA, *NAMES[2:]))[ORDER]
    np.testing.assert_array_equal(cutouts["brickname"].astype(str), home)
    assert set(home) == set(NAMES) and (home[1:] != home[:-1]).mean() > 0.5, "bricks come by turns"
    assert set(cutouts["region"]) == {b"south"}
    assert cutouts["band"].tolist() == [b"g", b"r", b"z"]
    assert cutouts["attributes"]["healpix"] == PIX16 and cutouts["attributes"]["pixscale"] == PIXEL
    assert cutouts["n_bricks"].max() == 4 and cutouts["n_bricks"].min() == 1
    is_central = (cutouts["n_bricks"] == 4) & (home != NAMES[1])
    assert is_central.any() and (cutouts["coverage"][is_central, :2] == 1).all()
    without_z = home == NAMES[1]
    assert (cutouts["coverage"][without_z, 2] < 1).all() and (cutouts["invvar"][without_z, 2] > 0).any(
        axis=(1, 2)
    ).any()
    np.testing.assert_array_equal(np.isfinite(cutouts["image"]).mean(axis=(2, 3)), cutouts["coverage"])


def test_chunks_are_copied_as_they_are(results, cutouts):
    """Byte for byte, without being decompressed: a row's images are those of its brick's file."""
    where = {name: k for k, name in enumerate(cutouts["csv row"].tolist())}
    with h5py.File(LEGACYSURVEY.crossmatch(results / "legacysurvey_crossmatches", PIX16)) as file:
        for brick in ALL:
            with h5py.File(LEGACYSURVEY.path(results / "legacysurvey/extracted", brick)) as of_brick:
                for at, row in enumerate(of_brick["row"][:].tolist()):
                    for place in ("image", "invvar"):
                        for k in range(3):
                            made = file[f"legacysurvey/{place}"].id.read_direct_chunk((where[row], k, 0, 0))
                            assert made == of_brick[place].id.read_direct_chunk((at, k, 0, 0))
                    made = file["legacysurvey/maskbits"].id.read_direct_chunk((where[row], 0, 0))
                    assert made == of_brick["maskbits"].id.read_direct_chunk((at, 0, 0))
                for name in ("image", "invvar", "maskbits"):
                    assert file["legacysurvey"][name].attrs.get("unit") == of_brick[name].attrs.get("unit")


def remade(path: Path, change) -> None:
    """Change an extracted file, which then has no seal any more."""
    with h5py.File(path) as old, h5py.File(path.with_suffix(".new"), "w") as new:
        new.attrs.update(old.attrs)
        for name in old:
            old.copy(name, new)
        change(new)
    path.with_suffix(".new").rename(path)


def test_images_of_another_type_are_promoted(results, cutouts, tmp_path):
    extracted = shutil.copytree(results / "legacysurvey/extracted", tmp_path / "extracted")

    def change(file: h5py.File) -> None:
        bits = file["maskbits"][:].astype("i2")
        del file["maskbits"]
        file.create_dataset("maskbits", data=bits, chunks=(1, CUTOUT, CUTOUT), compression="gzip")

    remade(LEGACYSURVEY.path(extracted, ALL[0]), change)
    with h5py.File(assembled(results, PIX16, ALL, extracted, tmp_path / "a.hdf5")) as file:
        np.testing.assert_array_equal(file["legacysurvey/maskbits"][:], cutouts["maskbits"], strict=True)
        np.testing.assert_array_equal(file["legacysurvey/image"][:], cutouts["image"])
    only = assembled(results, PIX16, ALL[:1], extracted, tmp_path / "b.hdf5")
    with h5py.File(only) as file:
        assert file["legacysurvey/maskbits"].dtype == np.int16


@pytest.mark.parametrize(
    "wanted", [{"size": 61}, {"bands": ("g", "r")}, {"bands": ("z", "r", "g")}, {"products": ("image", "maskbits")}]
)
def test_files_of_another_configuration_are_refused(results, tmp_path, wanted):
    extracted = shutil.copytree(results / "legacysurvey/extracted", tmp_path / "extracted")
    extract(results, extracted, WantedCutouts(**vars(WANTED) | wanted), NAMES[2:3])
    with pytest.raises(MalformedFile, match=re.escape(f"{NAMES[2]}.hdf5") + ".*remove both"):
        assembled(results, PIX16, ALL, extracted, tmp_path / "a.hdf5")
    assert not (tmp_path / "a.hdf5").exists()


def test_a_file_that_is_not_as_it_was_written_is_refused(results, tmp_path):
    extracted = shutil.copytree(results / "legacysurvey/extracted", tmp_path / "extracted")
    path = LEGACYSURVEY.path(extracted, ALL[1])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(MalformedFile, match=re.escape(str(path)) + ".*remove it"):
        assembled(results, PIX16, ALL, extracted, tmp_path / "a.hdf5")


def test_where_there_is_no_cutout_the_file_is_there_without_rows(results, tmp_path):
    """And a contact sheet can be made of it."""
    extracted = results / "legacysurvey/extracted"
    with h5py.File(
        assembled(results, PIX16, [f"south_{GONE}", f"south_{BAD}"], extracted, tmp_path / "a.hdf5")
    ) as file:
        group = file["legacysurvey"]
        shapes = {name: item.shape for name, item in group.items() if isinstance(item, h5py.Dataset)}
        assert shapes["image"] == shapes["invvar"] == (0, 3, CUTOUT, CUTOUT)
        assert shapes["maskbits"] == (0, CUTOUT, CUTOUT)
        assert shapes["aperture_flux"] == (0, 3, 3) and shapes["coverage"] == (0, 3)
        assert shapes["x"] == shapes["brickname"] == file["chandra/row"].shape == file["chandra/name"].shape == (0,)
        assert group["band"][:].tolist() == [b"g", b"r", b"z"]
    assert make_sheet(tmp_path / "a.hdf5", tmp_path / "a.png") == 0
    with h5py.File(assembled(results, PIX16, [f"south_{GONE}", *ALL], extracted, tmp_path / "b.hdf5")) as file:
        assert len(file["chandra/row"]) == len(ORDER)


def test_without_invvar_there_is_no_photometry(results, tmp_path):
    wanted = WantedCutouts(**vars(WANTED) | {"products": ("image",)})
    extract(results, tmp_path / "extracted", wanted, NAMES[:1])
    with h5py.File(assembled(results, PIX16, ALL[:1], tmp_path / "extracted", tmp_path / "a.hdf5")) as file:
        assert len(file["legacysurvey/image"]) > 20
        assert not [name for name in file["legacysurvey"] if name.startswith(("aperture", "invvar", "maskbits"))]


def accounted(root: Path):
    return account(
        targets=root / "targets/targets.parquet",
        rejected=root / "targets/rejected.csv",
        plan_targets=root / "legacysurvey/plan_targets.npy",
        extracted=root / "legacysurvey/extracted",
        crossmatches=root / "legacysurvey_crossmatches",
        name="chandra",
        survey=LEGACYSURVEY,
        config_hash="",
    )


def test_the_ledger_has_every_csv_row_once(results, tmp_path):
    made = accounted(results)
    write_ledger(made, tmp_path / "ledger.csv")
    with (tmp_path / "ledger.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    n = len(ORDER)
    rest = ["no_image", "brick_absent", "brick_unreadable", "not_covered", "rejected"]
    assert [line["status"] for line in lines] == ["matched"] * n + rest
    assert [line["n_images"] for line in lines] == ["1"] * n + ["0"] * 5
    n_bands = [int(line["n_bands"]) for line in lines]
    assert {*n_bands[:n]} == {2, 3} and n_bands[n:] == [0] * 5
    assert {line["n_without_maskbits"] for line in lines} == {"0"}
    shown = show(summarise(made, {"release": "demo"}), LEGACYSURVEY)
    assert "unreadable" in shown and "n_without_maskbits" not in shown


def test_cutouts_without_maskbits_are_told_from_clean_ones(results, cutouts, tmp_path):
    """Of one brick the file is absent, of another cut short: in the pixels, the file's columns, and the ledger."""
    root = Path(shutil.copytree(results, tmp_path / "run"))
    absent, short = (root / "archive" / RELEASE.product("south", name, "maskbits") for name in NAMES[1:3])
    absent.unlink()
    short.write_bytes(short.read_bytes()[:4000])
    extract(root, root / "legacysurvey/extracted")
    for pix16, found in LEGACYSURVEY.read_plan(root / "legacysurvey/plan.csv").searched.items():
        assembled(root, pix16, found)
    with h5py.File(LEGACYSURVEY.crossmatch(root / "legacysurvey_crossmatches", PIX16)) as file:
        group = file["legacysurvey"]
        bits, is_read, home = group["maskbits"][:], group["maskbits_read"][:], group["brickname"][:]
        assert group["maskbits"].attrs["not_read"] == -1 and bits.dtype == np.int32
        for name in ("image", "invvar", "image_read", "invvar_read", "coverage", "aperture_flux"):
            np.testing.assert_array_equal(group[name][:], cutouts[name], err_msg=name)
    lost = (bits == -1) & (cutouts["maskbits"] != -1)
    np.testing.assert_array_equal(bits, np.where(lost, -1, cutouts["maskbits"]))
    np.testing.assert_array_equal(is_read, ~lost.any(axis=(1, 2)))
    of_spoilt = np.isin(home, [name.encode() for name in NAMES[1:3]])
    assert lost[of_spoilt].any(axis=(1, 2)).all() and cutouts["maskbits_read"].all()
    assert (~is_read & ~of_spoilt).any() and is_read.any(), "of a neighbour, too, and not of all"
    made = accounted(root)
    write_ledger(made, tmp_path / "ledger.csv")
    with (tmp_path / "ledger.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert tuple(lines[0]) == LEGACYSURVEY.columns
    n = len(ORDER)
    assert [line["n_without_maskbits"] for line in lines] == [*np.where(is_read, "0", "1").tolist(), *["0"] * 5]
    assert [line["status"] for line in lines[:n]] == ["matched"] * n
    summary = summarise(made, {"release": "demo"})
    assert summary["n_without_maskbits"] == (~is_read).sum()
    assert re.search(rf"n_without_maskbits +{(~is_read).sum()}\n", show(summary, LEGACYSURVEY))
