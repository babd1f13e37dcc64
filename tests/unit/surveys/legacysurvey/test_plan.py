"""Which bricks are read for which targets, against brute force with the images' own WCS by astropy."""

import csv

import healpy
import numpy as np
import plan_legacysurvey
import pytest
from astropy.wcs import WCS

from skyharvest.archive.archive import Archive
from skyharvest.core import cli
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.harvest.not_selected import NotSelected, read_not_selected
from skyharvest.surveys.legacysurvey.about import SURVEY as LEGACYSURVEY
from skyharvest.surveys.legacysurvey.bricks import fetch_bricks, home_bricks
from skyharvest.surveys.legacysurvey.neighbours import neighbours
from skyharvest.surveys.legacysurvey.plan import (
    IMAGE_DTYPE,
    TARGET_DTYPE,
    bricks_of_plan,
    make_plan,
    summary,
    targets_of_brick,
    write_plan,
)
from skyharvest.surveys.legacysurvey.release import load_release
from skyharvest.targets.table import read_targets, write_targets
from small_bricks import N_ROWS, around, row_of, table_of, write_table

DR9, DR10 = load_release("dr9"), load_release("dr10")
ROOT = DR10.root("https")
PIXEL = 0.262  # arcsec


# --- Neighbours ------------------------------------------------------------------------------------------------------


def wcs_of(brick, side):
    """Return the WCS of a brick's image of so many pixels a side, as legacypipe makes it."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [brick["ra"], brick["dec"]]
    wcs.wcs.crpix = [side / 2 + 0.5] * 2
    wcs.wcs.cd = np.diag([-PIXEL, PIXEL]) / 3600
    wcs.wcs.lonpole = 180
    return wcs


def holders(bricks, home, place, size, side, margin=0):
    """Return the bricks whose image holds a pixel of the cutout that the home brick's image does not: all pixels.

    With a margin, images of the others are larger, and the home brick's smaller, by so many pixels on each side.
    """
    wcs = wcs_of(bricks[home], side)
    x0, y0 = (int(np.floor(axis + 0.5)) - size // 2 for axis in wcs.wcs_world2pix([place], 0)[0])
    across = np.unique(np.concatenate([np.arange(-margin, size + margin, 7), [size - 1 + margin]]))
    x, y = (axis.ravel() for axis in np.meshgrid(x0 + across, y0 + across))
    off = (np.minimum(x, y) < margin) | (np.maximum(x, y) >= side - margin)
    if not off.any():
        return set()
    ra, dec = wcs.wcs_pix2world(np.column_stack([x, y])[off], 0).T
    found = set()
    for k, brick in enumerate(bricks):
        toward = np.cos(np.radians(dec - brick["dec"])) > 0.9
        if k != home and brick["region"] == bricks["region"][home] and toward.any():
            pixels = wcs_of(brick, side).wcs_world2pix(np.column_stack([ra, dec])[toward], 0)
            if ((pixels >= -0.5 - margin) & (pixels < side - 0.5 + margin)).all(axis=1).any():
                found.add(k)
    return found


def near_edges(bricks, rng, n, reach):
    """Return positions in boxes within a reach (degrees) of a corner or an edge, and some in the middle."""
    brick = bricks[rng.integers(0, len(bricks), n)]
    shares = rng.uniform(0, 1, (2, n))
    off = rng.uniform(0, 1, (2, n)) ** 2 * reach
    width = np.array([brick["ra2"] - brick["ra1"], brick["dec2"] - brick["dec1"]])
    off[0] /= np.maximum(np.cos(np.radians(brick["dec"])), reach)
    on_edge = rng.random((2, n)) < 0.6
    low = rng.random((2, n)) < 0.5
    start = np.array([brick["ra1"], brick["dec1"]])
    places = start + np.where(on_edge, np.where(low, off, width - off), shares * width)
    places[0] %= 360
    return np.where(places[1] < 90, places, np.array([places[0], 180 - places[1]]))


def small_sky():
    """Return bricks of 0.03° that meet at RA 0, as simulated releases have, with a brick of the other region."""
    side = 0.03
    bricks = np.concatenate([around(0.1, 0.1, 0.6)[:4], around(0.1, 0.1, 0.6, "north")[:1]])
    for k, (ra1, dec1) in enumerate([(360 - side, 0.635), (0, 0.635), (360 - side, 0.605), (0, 0.605), (side, 0.605)]):
        bricks["ra1"][k], bricks["ra2"][k], bricks["dec1"][k], bricks["dec2"][k] = ra1, ra1 + side, dec1, dec1 + side
    bricks["ra"], bricks["dec"] = (bricks["ra1"] + bricks["ra2"]) / 2, (bricks["dec1"] + bricks["dec2"]) / 2
    return bricks


SKIES = {
    "equator, RA 0": (around(0, 0, 0.45), 3600),
    "middle": (around(200.3, 56.7, 0.45), 3600),
    "with gaps": (np.delete(around(120, -40, 0.45), np.s_[::5]), 3600),
    "far north": (around(359.9, 86.2, 0.45), 3600),
    "pole": (np.concatenate([row_of(720), row_of(719)]), 3600),
    "simulated": (small_sky(), round(0.03 * 3600 / PIXEL) + 40),
}


@pytest.mark.parametrize("size", [159, 160, 512, 1000])
@pytest.mark.parametrize("sky", SKIES)
def test_every_brick_that_a_cutout_runs_into_is_found(sky, size):
    """None is lacking; and none is found that is more than a few pixels away."""
    bricks, side = SKIES[sky]
    rng = np.random.default_rng(size)
    ra, dec = near_edges(bricks, rng, 40, size / 2 * PIXEL / 3600)
    home = home_bricks(bricks, ra, dec)
    assert (home >= 0).all()
    position, brick = neighbours(bricks, home, ra, dec, size)
    found = [set(brick[position == k].tolist()) for k in range(len(ra))]
    needed = [holders(bricks, home[k], (ra[k], dec[k]), size, side) for k in range(len(ra))]
    assert [k for k in range(len(ra)) if not needed[k] <= found[k]] == []
    if sky != "simulated":  # there the images' size is not known before
        near = [holders(bricks, home[k], (ra[k], dec[k]), size, side, margin=8) for k in range(len(ra))]
        assert [k for k in range(len(ra)) if not found[k] <= near[k]] == []
    assert size < 500 or sum(map(len, needed)) > 10


def test_cutouts_of_160_pixels_need_no_neighbours_but_in_corners_far_north():
    """The images overlap by 82 pixels on each side of the boxes."""
    rng = np.random.default_rng(2)
    sky = np.concatenate([row_of(row) for row in range(232, N_ROWS, 8)])
    sky = sky[rng.integers(0, len(sky), 3000)]
    ra, dec = near_edges(sky, rng, 20_000, 1e-3)
    home = home_bricks(sky, ra, dec)
    position, _ = neighbours(sky, home, ra, dec, 160)
    assert len(position) < 0.01 * len(ra)
    assert np.abs(dec[position]).min() > 20


# --- The plan --------------------------------------------------------------------------------------------------------


def targets_at(ra, dec):
    ra, dec = np.asarray(ra, float), np.asarray(dec, float)
    pix16 = healpy.ang2pix(16, ra, dec, nest=True, lonlat=True) if len(ra) else np.zeros(0, np.int64)
    return {"row": np.arange(len(ra))[::-1] * 2 + 1, "ra": ra, "dec": dec, "pix16": pix16}


WANTED = {"size": 512, "bands": ["r", "i", "z"], "products": ["image", "invvar", "maskbits"]}


@pytest.fixture(scope="module")
def sky():
    """Return bricks of both regions where these meet, some without a band or any, and targets on and off them."""
    south, north = around(180, 32.3, 0.6), around(180, 32.5, 0.6, "north", "grz")
    south["bands"][::3] = b"gz"
    south["bands"][1] = north["bands"][1] = b"g"  # which is not wanted
    away = around(300, -50)
    away["bands"][::4] = b"g"
    bricks = np.concatenate([south, north, away])
    rng = np.random.default_rng(4)
    ra = np.concatenate([180 + rng.uniform(-1.2, 1.2, 300), 300 + rng.uniform(-1.2, 1.2, 200)])
    dec = np.concatenate([32.4 + rng.uniform(-0.9, 0.9, 300), -50 + rng.uniform(-0.9, 0.9, 200)])
    return bricks, targets_at(ra, dec)


@pytest.fixture(scope="module")
def made(sky, tmp_path_factory):
    """Return the plan, in memory and on disk."""
    folder = tmp_path_factory.mktemp("legacysurvey")
    plan = make_plan(*sky, **WANTED)
    write_plan(plan, folder, DR10, ROOT)
    return plan, folder


def lines(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def expected_homes(bricks, targets):
    """Return row → number of its brick, by a walk over all; of two regions the north from Dec 32.375 on."""
    found = {}
    for row, ra, dec in zip(*(targets[name].tolist() for name in ("row", "ra", "dec")), strict=True):
        hits = [
            k
            for k, b in enumerate(bricks)
            if b["ra1"] <= ra < b["ra2"] and b["dec1"] <= dec < b["dec2"] and set(b["bands"].decode()) & set("riz")
        ]
        if hits:
            found[row] = max(hits, key=lambda k: (bricks["region"][k] == b"north") == (dec >= 32.375))
    return found


def test_every_target_is_planned_in_its_brick(sky, made):
    bricks, targets = sky
    plan, folder = made
    homes = expected_homes(bricks, targets)
    expected = sorted((bricks["region"][k], bricks["brickname"][k], row) for row, k in homes.items())
    assert [tuple(target)[:3] for target in plan.targets.tolist()] == expected
    at = {row: k for k, row in enumerate(targets["row"].tolist())}
    for target in plan.targets:
        assert (target["ra"], target["dec"]) == (targets["ra"][at[target["row"]]], targets["dec"][at[target["row"]]])
    in_g_alone = home_bricks(bricks[bricks["bands"] == b"g"], targets["ra"], targets["dec"]) >= 0
    lacking = [row for row in targets["row"][in_g_alone].tolist() if row not in homes]
    assert (plan.n_accepted, plan.n_covered) == (500, len(homes))
    assert 0 < len(lacking) < 500 - len(homes)
    assert plan.left_out == NotSelected({"bricks with g": sorted(lacking)}, {"legacysurvey.bands": ["g"]})
    assert read_not_selected(folder / "plan_not_selected.json") == plan.left_out

    planned = lines(folder / "plan.csv")
    names = sorted({(region.decode(), name.decode()) for region, name, _ in expected})
    assert [(line["region"], line["brickname"]) for line in planned] == names
    assert {region for region, _ in names} == {"north", "south"}
    bands = {(b["region"].decode(), b["brickname"].decode()): b["bands"].decode() for b in bricks}
    for line in planned:
        name = line["region"], line["brickname"]
        assert line["bands"] == "".join(band for band in "riz" if band in bands[name])
        assert int(line["n_targets"]) == sum((r.decode(), b.decode()) == name for r, b, _ in expected)
    assert {line["bands"] for line in planned} == {"riz", "rz", "z"}

    pixels = sorted({(int(targets["pix16"][at[row]]), r.decode(), b.decode()) for r, b, row in expected})
    needed = lines(folder / "plan_pixels.csv")
    assert [(int(line["pix16"]), line["region"], line["brickname"]) for line in needed] == pixels


def test_the_bricks_of_a_job_are_its_own_and_the_neighbours(sky, made):
    bricks = sky[0]
    plan, folder = made
    usable = bricks[[bool(set(bands.decode()) & set("riz")) for bands in bricks["bands"].tolist()]]
    n_neighbours = 0
    for line in lines(folder / "plan.csv"):
        name = line["region"], line["brickname"]
        images = bricks_of_plan(folder / "plan_bricks.npy", *name)
        assert images.dtype == IMAGE_DTYPE
        assert set(images["home"]) == {name[1].encode()}
        assert set(images["region"]) == {name[0].encode()}
        others = images["brickname"][1:].tolist()
        assert images["brickname"][0] == name[1].encode()
        assert others == sorted(set(others) - {name[1].encode()})
        assert (images["bands"] != b"").all()
        home = np.flatnonzero((usable["region"] == images["region"][0]) & (usable["brickname"] == images["home"][0]))
        targets = targets_of_brick(folder / "plan_targets.npy", *name)
        _, brick = neighbours(usable, np.repeat(home, len(targets)), targets["ra"], targets["dec"], WANTED["size"])
        assert set(others) == set(usable["brickname"][brick].tolist())
        n_neighbours += len(others)
        for image in images:
            (row,) = usable[(usable["region"] == image["region"]) & (usable["brickname"] == image["brickname"])]
            assert tuple(image)[2:-1] == tuple(row)[1:-1]
    assert n_neighbours > 20
    assert len(plan.images) == len(plan.bricks) + n_neighbours


def test_a_job_finds_its_targets(made):
    plan, folder = made
    for brick in plan.bricks[[0, 5, -1]]:
        name = brick["region"].decode(), brick["brickname"].decode()
        found = targets_of_brick(folder / "plan_targets.npy", *name)
        assert found.dtype == TARGET_DTYPE
        assert [tuple(row) for row in found.tolist()] == [
            row for row in plan.targets.tolist() if (row[0].decode(), row[1].decode()) == name
        ]
        assert len(found) > 0
    assert len(targets_of_brick(folder / "plan_targets.npy", "south", "0001p000")) == 0
    with pytest.raises(InputError, match=r"south_0001p000 is not in the plan: run `snakemake plan`"):
        bricks_of_plan(folder / "plan_bricks.npy", "south", "0001p000")
    with pytest.raises(MalformedFile, match=r"its columns are .* run `snakemake plan` again"):
        targets_of_brick(folder / "plan_bricks.npy", "south", "0001p000")


def test_the_workflow_reads_the_plan(made):
    plan, folder = made
    planned = LEGACYSURVEY.read_plan(folder / "plan.csv")
    units = [f"{b['region'].decode()}_{b['brickname'].decode()}" for b in plan.bricks]
    assert list(planned.files) == units
    assert list(planned.n_targets.values()) == plan.n_targets.tolist()
    with (folder / "plan.csv").open(newline="") as stream:
        bands = [line["bands"] for line in csv.DictReader(stream)]
    assert bands == [of_brick.decode() for of_brick in plan.bricks["bands"].tolist()]
    assert [(pix, units.index(unit)) for pix, at in planned.searched.items() for unit in at] == [
        tuple(pair) for pair in plan.needed.tolist()
    ]
    assert set(planned.digest) == set(units)
    assert sorted(planned.units(planned.searched)) == sorted(units)
    [first, *_] = planned.searched
    assert planned.units([first, first]) == planned.searched[first]
    extracted = folder / "extracted"
    unit = units[0]
    assert LEGACYSURVEY.path(extracted, unit) == extracted / unit[6:9] / f"{unit}.hdf5"


def test_a_bricks_digest_changes_with_its_own_targets_and_bricks_alone(sky, made, tmp_path):
    bricks, targets = sky
    plan, folder = made

    def digests(at):
        return {(line["region"], line["brickname"]): line["digest"] for line in lines(at / "plan_pixels.csv")}

    before = digests(folder)
    assert len(set(before.values())) == len(before) == len(plan.bricks)
    moved = {name: values.copy() for name, values in targets.items()}
    one = plan.targets[7]
    moved["ra"][targets["row"] == one["row"]] += 1e-9
    write_plan(make_plan(bricks, moved, **WANTED), tmp_path, DR10, ROOT)
    after = digests(tmp_path)
    changed = {brick for brick in before if before[brick] != after[brick]}
    assert changed == {(one["region"].decode(), one["brickname"].decode())}

    (neighbour,) = plan.images[plan.images["home"] != plan.images["brickname"]][:1]
    less = bricks.copy()
    less["bands"][(less["region"] == neighbour["region"]) & (less["brickname"] == neighbour["brickname"])] = b"z"
    write_plan(make_plan(less, targets, **WANTED), tmp_path, DR10, ROOT)
    after = digests(tmp_path)
    with_it = plan.images[plan.images["brickname"] == neighbour["brickname"]]
    with_it = with_it[with_it["region"] == neighbour["region"]]
    assert {brick for brick in before if before[brick] != after[brick]} == {
        (image["region"].decode(), image["home"].decode()) for image in with_it
    }


def test_the_urls_are_those_of_every_file_once(made, tmp_path):
    plan, folder = made
    urls = (folder / "urls.txt").read_text().splitlines()
    expected = set()
    for image in plan.images:
        region, brick = image["region"].decode(), image["brickname"].decode()
        start = f"{ROOT}/dr10/{region}/coadd/{brick[:3]}/{brick}/legacysurvey-{brick}-"
        expected |= {f"{start}{p}-{b}.fits.fz" for p in ("image", "invvar") for b in image["bands"].decode()}
        expected.add(f"{start}maskbits.fits.fz")
    assert len(urls) == len(expected)
    assert set(urls) == expected
    assert urls[0].rpartition("/")[0].endswith(plan.bricks["brickname"][0].decode())
    write_plan(plan, tmp_path, DR10, "/data", transfer="files")
    verified = (tmp_path / "urls.txt").read_text().splitlines()
    sums = {url for url in verified if url.endswith(".sha256sum")}
    assert {url.replace("/data", ROOT, 1) for url in set(verified) - sums} == expected
    assert len(sums) == len(np.unique(plan.images[["region", "brickname"]]))


@pytest.mark.parametrize("lacking", ["targets", "bricks", "coverage", "bands"])
def test_a_plan_of_nothing_is_a_plan(tmp_path, lacking):
    bricks = around(10, 4)[: 0 if lacking == "bricks" else 9]
    bricks["bands"] = b"g" if lacking == "bands" else b"griz"
    ra, dec = bricks["ra"][:1].tolist() or [10.0], bricks["dec"][:1].tolist() or [4.0]
    targets = targets_at(*{"targets": ([], []), "coverage": ([50.0], [4.0])}.get(lacking, (ra, dec)))
    plan = make_plan(bricks, targets, **WANTED)
    write_plan(plan, tmp_path, DR10, ROOT)
    assert (plan.n_accepted, plan.n_covered) == (int(lacking != "targets"), 0)
    assert len(plan.left_out.rows) == int(lacking == "bands")
    assert (tmp_path / "plan.csv").read_text() == "region,brickname,n_targets,bands\n"
    assert (tmp_path / "plan_pixels.csv").read_text() == "pix16,region,brickname,digest\n"
    assert (tmp_path / "urls.txt").read_text() == ""
    assert len(targets_of_brick(tmp_path / "plan_targets.npy", "south", "0001p000")) == 0
    assert np.load(tmp_path / "plan_bricks.npy").dtype == IMAGE_DTYPE
    assert "bricks to read            0" in summary(plan, ROOT)
    assert LEGACYSURVEY.read_plan(tmp_path / "plan.csv").files == {}


@pytest.mark.parametrize("size", [0, -1, 10_000])
def test_a_size_that_no_cutout_has_is_refused(sky, size):
    with pytest.raises(InputError, match=rf"a cutout of {size} pixels: expected 1 to 3600; correct legacysurvey\.size"):
        make_plan(*sky, **{**WANTED, "size": size})


def shown(plan, root, **how):
    return {line[:18].strip(): line[18:].split() for line in summary(plan, root, **how).splitlines()[:8]}


def megabytes(words):
    return float(words[1]) * {"MB": 1, "GB": 1e3, "TB": 1e6}[words[2].rstrip(",")]


def test_the_summary_says_what_will_move(made):
    """One source moves some tiles; a hundred in the same brick move fewer each; whole files are what they are."""
    bricks = around(10, 4)
    brick = bricks[len(bricks) // 2]
    wanted = {"size": 160, "bands": ["g", "r"], "products": ["image", "invvar", "maskbits"]}
    rng = np.random.default_rng(1)

    def moved(n, root=ROOT, **how):
        ra, dec = (brick[name] + rng.uniform(-0.1, 0.1, n) for name in ("ra", "dec"))
        plan = make_plan(bricks, targets_at(ra, dec), **wanted)
        assert shown(plan, root, **how)["files"] == ["5"]
        return shown(plan, root, **how)["bytes to move"]

    one, hundred, files = (megabytes(words) for words in (moved(1), moved(100), moved(1, transfer="files")))
    assert files == pytest.approx(2 * 10 + 2 * 10.5 + 0.5, abs=0.5)
    assert 0 < one < files / 50
    assert 10 * one < hundred < 0.5 * files
    assert moved(1, "/data") == ["none"]

    plan, _ = made
    table = [line.split() for line in summary(plan, ROOT).splitlines()]
    assert ["region", "bricks", "targets", "r", "i", "z"] in table
    north = plan.bricks["region"] == b"north"
    row = next(line for line in table if line[:1] == ["north"])
    assert row == ["north", str(north.sum()), str(plan.n_targets[north].sum()), str(north.sum()), "0", str(north.sum())]


# --- The program -----------------------------------------------------------------------------------------------------


def test_the_program_plans_and_shows_the_table(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("RA_DESI,DEC_DESI\n180.0,32.5\nx,1\n10,80\n180.0,31.9\n180.01,32.5\n")
    write_targets(read_targets(tmp_path / "t.csv"), tmp_path)
    exposed = {f"nexp_{band}": np.full(99, 2, "i2") for band in "grz"}
    for region, bricks in (("north", around(180, 32.5, region="north")), ("south", around(180, 32.2))):
        columns = {name: values[: len(bricks)] for name, values in exposed.items()}
        write_table(tmp_path / DR9.bricks(region), table_of(bricks, "f4", **columns))
    with Archive(str(tmp_path)) as archive:
        fetch_bricks(archive, DR9, tmp_path / "bricks.npy")
    options = ["--targets", str(tmp_path / "targets.parquet"), "--release", "dr9", "--out-dir", str(tmp_path / "out")]
    command = [*options, "--archive", str(tmp_path), "--bricks", str(tmp_path / "bricks.npy")]
    made = plan_legacysurvey.build_parser()
    assert cli.run(plan_legacysurvey.main, made, [*command, "--bands", "z", "r"]) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["bricks", "to", "read", "2"] in table
    assert ["north", "1", "2", "1", "1"] in table
    plan = (tmp_path / "out/plan.csv").read_text().splitlines()
    assert plan[0] == "region,brickname,n_targets,bands"
    assert [line.split(",")[0] for line in plan[1:]] == ["north", "south"]
    assert [line.split(",")[2:] for line in plan[1:]] == [["2", "zr"], ["1", "zr"]]
    name = plan[1].split(",")[1]
    assert (tmp_path / "out/urls.txt").read_text().splitlines()[0] == (
        f"{tmp_path}/dr9/north/coadd/{name[:3]}/{name}/legacysurvey-{name}-image-z.fits.fz"
    )
    assert cli.run(plan_legacysurvey.main, made, [*command, "--bands", "i"]) == 2
    assert "release dr9 has no band 'i'; it has g, r, z: correct legacysurvey.bands" in capsys.readouterr().err
