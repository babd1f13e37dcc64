"""Which HETDEX cubes are read for which targets, against brute force with astropy, and on real detections."""

import csv
from pathlib import Path

import healpy
import numpy as np
import plan_hetdex
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord, search_around_sky
from astropy.io import fits

from skyharvest.core import cli
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.harvest.not_selected import NotSelected, read_not_selected
from skyharvest.surveys.hetdex.index import CUBE_DTYPE, read_index
from skyharvest.surveys.hetdex.plan import (
    TARGET_DTYPE,
    cube_of_plan,
    epoch_groups,
    make_plan,
    summary,
    targets_of_cube,
    write_plan,
)
from skyharvest.surveys.hetdex.release import load_release
from skyharvest.targets.table import read_targets, write_targets
from small_index import listed, write_index

REAL = Path(__file__).resolve().parents[4].parent / "shared" / "real" / "hetdex"
RELEASE = load_release("pdr1")
ROOT = RELEASE.root("https")
REACH, SAME_SOURCE = 37.0, 1.5  # arcsec
PLACES = [(0.0, 0.3), (359.999, -1.0), (195.2, 51.0), (270.0, 66.0), (10.0, 89.998), (200.0, -90.0), (22.5, 90.0)]


def around(place, rng, n, reach_arcsec):
    """Return n positions within a reach of a place."""
    moved = SkyCoord(*place, unit="deg").directional_offset_by(
        rng.uniform(0, 360, n) * u.deg, reach_arcsec * np.sqrt(rng.uniform(0, 1, n)) * u.arcsec
    )
    return moved.ra.deg, moved.dec.deg


def cubes_at(ra, dec, **columns):
    """Return an index of cubes at these centres, as `read_index` gives it: repeated shots, some of 2017."""
    number = np.arange(len(ra))
    rows = listed(20170301004 + 10_000_000 * (number % 7) + number // 50, number % 50, ra, dec, **columns)
    rows["ifuslot"] = [b"%03d" % slot for slot in (number % 50).tolist()]
    index = np.zeros(len(rows), CUBE_DTYPE)
    for name in set(CUBE_DTYPE.names) & set(rows.dtype.names):
        index[name] = rows[name]
    return index[np.lexsort((index["ifuslot"], index["shotid"]))]


def targets_at(ra, dec):
    ra, dec = np.asarray(ra, float), np.asarray(dec, float)
    pix16 = healpy.ang2pix(16, ra, dec, nest=True, lonlat=True) if len(ra) else np.zeros(0, np.int64)
    return {"row": np.arange(len(ra)) * 2 + 1, "ra": ra, "dec": dec, "pix16": pix16}


def separations(first, second):
    """Return all separations in arcsec, by astropy."""
    one, other = (SkyCoord(*places, unit="deg") for places in (first, second))
    return one[:, None].separation(other[None]).arcsec


def groups_by_hand(row, distance, radius):
    """Return the smallest row of the friends of friends of each, walking from one to the next."""
    found = {}
    for start in np.argsort(row).tolist():
        to_visit = [start]
        while to_visit:
            at = to_visit.pop()
            if at not in found:
                found[at] = int(row[start])
                to_visit += np.flatnonzero(distance[at] <= radius).tolist()
    return [found[k] for k in range(len(row))]


@pytest.fixture(scope="module")
def sky():
    """Return cubes round the poles, RA 0 and other places, and targets on, beside and far from them."""
    rng = np.random.default_rng(11)
    centres = np.concatenate([around(place, rng, 9, 60) for place in PLACES], axis=1)
    places = np.concatenate([around(place, rng, 60, 90) for place in PLACES] + [[[100.0], [20.0]]], axis=1)
    again = np.concatenate([around(place, rng, 1, 2.5) for place in places.T[::6]] + [places[:, ::20]], axis=1)
    ra, dec = np.concatenate([places, again], axis=1)
    order = rng.permutation(len(ra))
    ra = np.where(rng.random(len(ra)) < 0.02, 0.0, ra % 360)
    index = cubes_at(*centres.astype(np.float32))
    return index, targets_at(ra[order], dec[order])


@pytest.fixture(scope="module")
def made(sky, tmp_path_factory):
    """Return the plan, in memory and on disk."""
    folder = tmp_path_factory.mktemp("hetdex")
    plan = make_plan(*sky)
    write_plan(plan, folder, RELEASE, ROOT)
    return plan, folder


def lines(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_plan_is_that_of_brute_force(sky, made):
    index, targets = sky
    plan, folder = made
    distance = separations((targets["ra"], targets["dec"]), (index["ra_cen"], index["dec_cen"]))
    assert np.abs(distance - REACH).min() > 1e-6
    expected = [
        (int(cube["shotid"]), cube["ifuslot"].decode(), int(targets["row"][t]))
        for c, cube in enumerate(index)
        for t in np.flatnonzero(distance[:, c] <= REACH)
    ]
    assert len(expected) > 500
    found = [(int(p["shotid"]), p["ifuslot"].decode(), int(p["row"])) for p in plan.targets]
    assert found == sorted(expected)
    by_row = {row: k for k, row in enumerate(targets["row"].tolist())}
    by_cube = {(int(cube["shotid"]), cube["ifuslot"]): c for c, cube in enumerate(index)}
    for pair in plan.targets:
        t, c = by_row[int(pair["row"])], by_cube[int(pair["shotid"]), pair["ifuslot"]]
        assert (pair["ra"], pair["dec"]) == (targets["ra"][t], targets["dec"][t])
        assert pair["separation_arcsec"] == pytest.approx(distance[t, c], abs=1e-6)
    assert (plan.n_accepted, plan.n_covered) == (len(by_row), len({row for *_, row in found}))
    assert plan.n_covered < plan.n_accepted

    planned = lines(folder / "plan.csv")
    assert list(planned[0]) == ["shotid", "ifuslot", "n_targets", "in_2017"]
    cubes = sorted({(shotid, ifuslot) for shotid, ifuslot, _ in found})
    assert [(int(line["shotid"]), line["ifuslot"]) for line in planned] == cubes
    for line in planned:
        assert int(line["n_targets"]) == sum(f"{s}_{i}" == f"{line['shotid']}_{line['ifuslot']}" for s, i, _ in found)
        assert int(line["in_2017"]) == line["shotid"].startswith("2017")
    assert {line["in_2017"] for line in planned} == {"0", "1"}
    assert (folder / "urls.txt").read_text().splitlines() == [
        f"http://web.corral.tacc.utexas.edu/hetdex/HETDEX/pdr/pdr1/datacubes/{shotid}/dex_cube_{shotid}_{ifuslot}.fits"
        for shotid, ifuslot in cubes
    ]


def test_epochs_are_friends_of_friends_of_all_targets(sky, made):
    _, targets = sky
    place = targets["ra"], targets["dec"]
    distance = separations(place, place)
    assert np.abs(distance - SAME_SOURCE).min() > 1e-6
    expected = groups_by_hand(targets["row"], distance, SAME_SOURCE)
    assert epoch_groups(targets["row"], *place).tolist() == expected
    assert len(set(expected)) < len(expected) - 20
    group = dict(zip(targets["row"].tolist(), expected, strict=True))
    assert [group[row] for row in made[0].targets["row"].tolist()] == made[0].targets["epoch_group"].tolist()


@pytest.mark.parametrize("step", [1.499, 1.501])
def test_a_long_row_of_friends_is_one_group_whatever_their_order(step):
    rng = np.random.default_rng(3)
    row = rng.permutation(3000) + 5
    group = epoch_groups(row, np.full(3000, 12.0), (row - 1500) * step / 3600)
    assert (group == (5 if step < SAME_SOURCE else row)).all()


def test_positions_across_ra_0_and_repeated_ones_are_one_source():
    ra = [0.0, 359.9999, 360.0, 0.0001, 0.0, 180.0]
    assert epoch_groups(np.array([9, 8, 7, 6, 5, 4]), np.array(ra), np.zeros(6)).tolist() == [5, 5, 5, 5, 5, 4]
    many = epoch_groups(np.arange(20_000), np.full(20_000, 3.0), np.full(20_000, -3.0))
    assert (many == 0).all()


def test_a_pixel_needs_every_cube_of_its_targets_groups(sky, made):
    _, targets = sky
    plan, folder = made
    pix16 = dict(zip(targets["row"].tolist(), targets["pix16"].tolist(), strict=True))
    cubes_of: dict[int, set] = {}
    pixels_of: dict[int, set] = {}
    for pair in plan.targets:
        cubes_of.setdefault(int(pair["epoch_group"]), set()).add((int(pair["shotid"]), pair["ifuslot"].decode()))
        pixels_of.setdefault(int(pair["epoch_group"]), set()).add(pix16[int(pair["row"])])
    expected = {(pix, *cube) for group, pixels in pixels_of.items() for pix in pixels for cube in cubes_of[group]}
    found = [(int(line["pix16"]), int(line["shotid"]), line["ifuslot"]) for line in lines(folder / "plan_pixels.csv")]
    assert found == sorted(expected)


def test_a_source_on_a_pixels_edge_is_counted_on_both_sides():
    """Two positions 1.2 arcsec apart, in two pixels, each with a cube that the other does not reach."""
    (ra,), (dec,) = (angle[:1] for angle in healpy.vec2ang(healpy.boundaries(16, 1000, step=4, nest=True).T[5:6], True))
    one, other = (SkyCoord(ra, dec, unit="deg").directional_offset_by(a * u.deg, 0.6 * u.arcsec) for a in (90, 270))
    targets = targets_at([one.ra.deg, other.ra.deg, ra], [one.dec.deg, other.dec.deg, dec + 1])
    assert targets["pix16"][0] != targets["pix16"][1]
    centres = [
        one.directional_offset_by(90 * u.deg, 36.5 * u.arcsec),
        other.directional_offset_by(270 * u.deg, 36.5 * u.arcsec),
    ]
    index = cubes_at([c.ra.deg for c in centres], [c.dec.deg for c in centres])
    for name in ("ra_cen", "dec_cen"):  # without the rounding of float32
        index[name] = [getattr(c, name.partition("_")[0]).deg for c in centres]
    plan = make_plan(index, targets)
    assert plan.targets["row"].tolist() == [1, 3]
    assert plan.targets["epoch_group"].tolist() == [1, 1]
    pixels = sorted(targets["pix16"][:2].tolist())
    assert plan.needed.tolist() == [[pix, cube] for pix in pixels for cube in (0, 1)]


def test_a_job_finds_its_cube_and_targets(sky, made):
    plan, folder = made
    for cube in plan.cubes[[0, 5, -1]]:
        name = int(cube["shotid"]), cube["ifuslot"].decode()
        found = targets_of_cube(folder / "plan_targets.npy", *name)
        assert found.dtype == TARGET_DTYPE
        here = (plan.targets["shotid"] == name[0]) & (plan.targets["ifuslot"] == name[1].encode())
        assert found.tobytes() == plan.targets[here].tobytes()
        assert len(found) > 0
        row = cube_of_plan(folder / "plan_cubes.npy", *name)
        assert row == sky[0][(sky[0]["shotid"] == name[0]) & (sky[0]["ifuslot"] == cube["ifuslot"])][0]
    assert len(targets_of_cube(folder / "plan_targets.npy", 20990101001, "001")) == 0
    with pytest.raises(InputError, match=r"20990101001_001 is not in the plan: run `snakemake plan`"):
        cube_of_plan(folder / "plan_cubes.npy", 20990101001, "001")
    with pytest.raises(MalformedFile, match=r"its columns are .* run `snakemake plan` again"):
        targets_of_cube(folder / "plan_cubes.npy", 20990101001, "001")


def test_a_cubes_digest_changes_with_its_own_targets_alone(sky, made, tmp_path):
    index, targets = sky
    plan, folder = made
    alone = next(pair for pair in plan.targets if (plan.targets["epoch_group"] == pair["epoch_group"]).sum() == 1)
    moved = {name: values.copy() for name, values in targets.items()}
    moved["ra"][targets["row"] == alone["row"]] += 1e-9
    write_plan(make_plan(index, moved), tmp_path, RELEASE, ROOT)
    before, after = (
        {(line["shotid"], line["ifuslot"]): line["digest"] for line in lines(at / "plan_pixels.csv")}
        for at in (folder, tmp_path)
    )
    assert {cube for cube in before if before[cube] != after[cube]} == {
        (str(alone["shotid"]), alone["ifuslot"].decode())
    }
    assert len(before) == len(plan.cubes) < 2 * len(set(before.values()))
    # A cube that was made again, of a release of one's own.
    remade = index.copy()
    of_cube = (index["shotid"] == alone["shotid"]) & (index["ifuslot"] == alone["ifuslot"])
    remade["content"][of_cube] = b"0123456789abcdef"
    write_plan(make_plan(remade, targets), tmp_path, RELEASE, ROOT)
    again = {(line["shotid"], line["ifuslot"]): line["digest"] for line in lines(tmp_path / "plan_pixels.csv")}
    assert {cube for cube in before if before[cube] != again[cube]} == {
        (str(alone["shotid"]), alone["ifuslot"].decode())
    }
    # How far the targets are from the index's centre is no matter of theirs.
    nudged = index.copy()
    nudged["dec_cen"] += 1e-12
    write_plan(make_plan(nudged, targets), tmp_path, RELEASE, ROOT)
    assert (tmp_path / "plan_pixels.csv").read_bytes() == (folder / "plan_pixels.csv").read_bytes()


def test_a_cut_on_flag_keeps_what_equals_it_and_nothing_unknown():
    flag = np.array([1.0, 0.9, 0.89, np.nan, 0.0], np.float32)
    index = cubes_at(np.full(5, 3.0), np.full(5, 4.0), flag=flag)
    target = targets_at([3.0], [4.0])
    assert len(make_plan(index, target).cubes) == 5
    kept = make_plan(index, target, min_flag=0.9)
    assert sorted(kept.cubes["flag"].tolist()) == sorted(flag[:2].tolist())
    assert (len(kept.targets), kept.n_left_out) == (2, 3)
    assert "cubes left out            3" in summary(kept, ROOT)
    assert len(make_plan(index, target, min_flag=0).cubes) == 4


def test_fields():
    index = cubes_at(np.full(3, 3.0), np.full(3, 4.0), field=[b"dex-fall", b"cosmos", b"dex-spring"])
    target = targets_at([3.0], [4.0])
    plan = make_plan(index, target, fields=["cosmos", "dex-fall"])
    assert sorted(plan.cubes["field"].tolist()) == [b"cosmos", b"dex-fall"]
    assert plan.left_out == NotSelected()  # what else is there is not needed: the row is planned
    with pytest.raises(InputError, match=r"hetdex\.fields: found nep, dex-fal, of which .* has cosmos, dex-fall"):
        make_plan(index, target, fields=["cosmos", "nep", "dex-fal"])
    index["field"] = b""
    with pytest.raises(InputError, match="its column field is missing or empty"):
        make_plan(index, target, fields=["cosmos"])


def test_what_fields_and_flags_leave_out_is_not_uncovered(tmp_path):
    ra = np.array([10.0, 20, 30, 40, 50, 60])  # the last one has no cube
    field = [b"dex-fall", b"dex-fall", b"goods-n", b"goods-n", b""]
    flag = np.array([0.95, 0.625, 0.95, 0.5, 0.95], np.float32)
    index, targets = cubes_at(ra[:5], np.full(5, 4.0), field=field, flag=flag), targets_at(ra, np.full(6, 4.0))
    rows = targets["row"].tolist()

    def left_out(**how):
        plan = make_plan(index, targets, **how)
        write_plan(plan, tmp_path, RELEASE, ROOT)
        assert read_not_selected(tmp_path / "plan_not_selected.json") == plan.left_out
        assert f"  not covered     {1:>9}" in summary(plan, ROOT).splitlines()
        return dict(plan.left_out.where), dict(plan.left_out.change), summary(plan, ROOT).splitlines()[-1]

    assert left_out()[:2] == ({}, {})
    assert left_out(min_flag=0.9) == (
        {"dex-fall of smaller flag": [rows[1]], "goods-n of smaller flag": [rows[3]]},
        {"hetdex.min_flag": 0.5},
        "2 more rows are in dex-fall of smaller flag (1), goods-n of smaller flag (1): set hetdex.min_flag to 0.5",
    )
    named = ["dex-fall", "goods-n"]
    assert left_out(fields=named)[:2] == ({"cubes without a field": [rows[4]]}, {"hetdex.fields": None})
    index["field"][4] = b"cosmos"
    assert left_out(fields=["dex-fall"], min_flag=0.6)[:2] == (
        {"cosmos": [rows[4]], "goods-n": [rows[2]], "goods-n of smaller flag": [rows[3]]},
        {"hetdex.fields": ["cosmos", "goods-n"], "hetdex.min_flag": 0.5},
    )
    index["flag"][1] = np.nan
    assert left_out(min_flag=0.1)[:2] == ({"dex-fall of smaller flag": [rows[1]]}, {"hetdex.min_flag": None})


@pytest.mark.parametrize("lacking", ["targets", "cubes", "coverage"])
def test_a_plan_of_nothing_is_a_plan(tmp_path, lacking):
    index = cubes_at([3.0], [4.0])[: 0 if lacking == "cubes" else 1]
    targets = targets_at(*(([], []) if lacking == "targets" else ([10.0], [4.0])))
    plan = make_plan(index, targets)
    write_plan(plan, tmp_path, RELEASE, ROOT)
    assert (plan.n_accepted, plan.n_covered) == (int(lacking != "targets"), 0)
    assert (tmp_path / "plan.csv").read_text() == "shotid,ifuslot,n_targets,in_2017\n"
    assert (tmp_path / "plan_pixels.csv").read_text() == "pix16,shotid,ifuslot,digest\n"
    assert (tmp_path / "urls.txt").read_text() == ""
    assert len(targets_of_cube(tmp_path / "plan_targets.npy", 20170301004, "000")) == 0
    assert np.load(tmp_path / "plan_cubes.npy").dtype == CUBE_DTYPE
    assert "cubes to read             0" in summary(plan, ROOT)


def test_the_summary_says_what_will_move_and_how_many_cubes_are_of_2017(made):
    plan, _ = made
    shown = summary(plan, ROOT).splitlines()
    n_2017 = sum(str(shotid).startswith("2017") for shotid in plan.cubes["shotid"].tolist())
    assert f"targets           {plan.n_accepted:>9,}" in shown
    assert [line.split() for line in shown][4:6] == [
        ["cubes", "to", "read", str(len(plan.cubes))],
        ["of", "2017", str(n_2017)],
    ]
    assert 0 < n_2017 < len(plan.cubes)
    assert f"bytes to move     about {19 * len(plan.cubes) / 1000:.1f} GB, none of which is kept" in shown
    assert "bytes to move     none" in summary(plan, "/corral-repl/pdr1").splitlines()
    assert shown[-1].split() == ["dex-spring", str(len(plan.cubes)), str(plan.n_covered)]


# --- Real detections -------------------------------------------------------------------------------------------------


def real(name):
    path = REAL / name
    if not path.is_file():
        pytest.skip(f"no real HETDEX tables in {REAL}")
    return fits.getdata(path)


def test_real_detections_are_found_in_their_own_cubes(tmp_path):
    """An index of the cubes that hold them, each at the middle of its detections."""
    detections = real("lae_examples.fits")
    ra, dec = (np.asarray(detections[name], float) for name in ("ra", "dec"))
    unit = np.stack([np.cos(np.radians(dec)) * np.cos(np.radians(ra)), np.cos(np.radians(dec)) * np.sin(np.radians(ra)),
                     np.sin(np.radians(dec))])  # fmt: skip
    names = np.rec.fromarrays([detections["shotid"], detections["ifuslot"].astype("S3")])
    cubes, own = np.unique(names, return_inverse=True)
    mean = np.array([np.bincount(own, axis) for axis in unit])
    centre = SkyCoord(*mean, representation_type="cartesian").spherical
    rows = listed(cubes["f0"], cubes["f1"], centre.lon.deg, centre.lat.deg)
    index = read_index(write_index(tmp_path / "ifu-index.fits", rows[np.random.default_rng(1).permutation(len(rows))]))
    assert index["shotid"].tolist() == cubes["f0"].tolist()
    assert index["ifuslot"].tolist() == cubes["f1"].tolist()

    targets = targets_at(ra, dec)
    plan = make_plan(index, targets)
    positions = SkyCoord(ra, dec, unit="deg")
    t, c, distance, _ = search_around_sky(
        positions, SkyCoord(index["ra_cen"], index["dec_cen"], unit="deg"), REACH * u.arcsec
    )
    assert np.abs(distance.arcsec - REACH).min() > 1e-7
    expected = sorted(zip(index["shotid"][c].tolist(), index["ifuslot"][c].tolist(), targets["row"][t].tolist(),
                          strict=True))  # fmt: skip
    assert [pair[:3] for pair in plan.targets.tolist()] == expected
    in_own = {(int(names["f0"][k]), bytes(names["f1"][k]), 2 * k + 1) for k in range(len(ra))} & set(expected)
    assert len(in_own) > 0.99 * len(ra)


def test_real_quasars_are_grouped_like_their_names():
    """A name has one position, and is there once for each observation."""
    quasars = real("dr16q_hdr5.fits")
    name, ra, dec = (quasars[column] for column in ("sdss_name", "ra", "dec"))
    group = epoch_groups(np.arange(len(ra)), np.asarray(ra, float), np.asarray(dec, float))
    _, first, same = np.unique(name, return_index=True, return_inverse=True)
    assert len(first) < len(name)
    assert group.tolist() == first[same].tolist()


# --- The program -----------------------------------------------------------------------------------------------------


def test_the_program_plans_and_shows_the_table(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("RA_DESI,DEC_DESI\n195.2,51.0\nx,1\n10,80\n195.205,51.0\n")
    write_targets(read_targets(tmp_path / "t.csv"), tmp_path)
    shots = [20171231999, 20180101000, 20180101000]
    rows = listed(shots, ["034", "104", "013"], [195.2, 195.2, 100], [51.0] * 3, flag=[1, 0.5, 1])
    index = write_index(tmp_path / "ifu-index.fits", rows)
    options = ["--targets", "targets.parquet", "--index", index, "--release", "demohetdex", "--out-dir", "out"]
    command = [str(tmp_path / word) if word in ("targets.parquet", "out") else str(word) for word in options]
    command += ["--archive", str(tmp_path)]
    assert cli.run(plan_hetdex.main, plan_hetdex.build_parser(), command) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["cubes", "to", "read", "2"] in shown
    assert ["of", "2017", "1"] in shown
    assert ["not", "covered", "1"] in shown
    assert ["dex-spring", "2", "2"] in shown
    assert (tmp_path / "out/plan.csv").read_text() == (
        "shotid,ifuslot,n_targets,in_2017\n20171231999,034,2,1\n20180101000,104,2,0\n"
    )
    assert (tmp_path / "out/urls.txt").read_text().splitlines()[0] == (
        f"{tmp_path}/datacubes/20171231999/dex_cube_20171231999_034.fits"
    )
    assert cube_of_plan(tmp_path / "out/plan_cubes.npy", 20180101000, "104")["flag"] == 0.5
    strict = [*command, "--min-flag", "0.9", "--fields", "dex-spring"]
    assert cli.run(plan_hetdex.main, plan_hetdex.build_parser(), strict) == 0
    assert (tmp_path / "out/plan.csv").read_text().splitlines()[1:] == ["20171231999,034,2,1"]
    assert cli.run(plan_hetdex.main, plan_hetdex.build_parser(), [*command, "--fields", "none"]) == 2
    assert "hetdex.fields: found none, of which the release lists no cube; it has dex-spring" in capsys.readouterr().err


def test_the_maps_line_comes_from_a_column_of_the_csv(tmp_path, capsys):
    lines_ = ["RA_DESI,DEC_DESI,z,name", "195.2,51.0,2.5,a", "195.201,51.0,,b", "195.202,51,-999,c", "x,1,1,d"]
    (tmp_path / "t.csv").write_text("\n".join(lines_) + "\n")
    write_targets(read_targets(tmp_path / "t.csv"), tmp_path)
    index = write_index(tmp_path / "ifu-index.fits", listed([20180101000], ["104"], [195.2], [51.0]))
    where = {"targets": tmp_path / "targets.parquet", "index": index, "release": "pdr1", "archive": tmp_path}
    command = [word for key, value in where.items() for word in (f"--{key}", str(value))]
    digests = {}
    for name, more in (("none", []), ("z", ["--redshift", "z", "--line", "LyA"]), ("wave", ["--wavelength", "z"])):
        out = tmp_path / name
        assert cli.run(plan_hetdex.main, plan_hetdex.build_parser(), [*command, "--out-dir", str(out), *more]) == 0
        digests[name] = lines(out / "plan_pixels.csv")[0]["digest"]
        found = targets_of_cube(out / "plan_targets.npy", 20180101000, "104")["wave"]
        expected = {"none": [np.nan] * 3, "z": [1215.67 * 3.5 / 1.000281, np.nan, np.nan], "wave": [2.5, np.nan, -999]}
        np.testing.assert_allclose(found, expected[name], rtol=1e-6)
    assert len(set(digests.values())) == 3
    for column, said in (
        ("zz", "the CSV has no column 'zz'; it has"),
        ("name", "holds 'a' in row 0, expected numbers"),
    ):
        wrong = [*command, "--out-dir", str(tmp_path), "--wavelength", column]
        assert cli.run(plan_hetdex.main, plan_hetdex.build_parser(), wrong) == 2
        assert said in capsys.readouterr().err
