"""Which coadds are read for which targets, against brute force; and lists of coadds that are none."""

import csv
import io
import logging
import os
from collections import Counter

import healpy
import numpy as np
import plan_desi
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from range_server import serve
from skyharvest.archive.archive import Archive
from skyharvest.archive.http.patience import Patience
from skyharvest.core import cli
from skyharvest.core.errors import Absent, ArchiveUnavailable, InputError, MalformedFile
from skyharvest.harvest.not_selected import NotSelected, read_not_selected
from skyharvest.surveys.desi.about import SURVEY as DESI
from skyharvest.surveys.desi.plan import (
    NO_TARGETID,
    TARGET_DTYPE,
    Coadds,
    cached_tilepix,
    choose,
    fetch_tilepix,
    make_plan,
    read_tilepix,
    summary,
    targets_of_pixel,
    write_plan,
)
from skyharvest.targets.table import read_targets, write_targets
from small_release import RELEASE, inside, write_list

RADIUS = 20.0  # arcsec: many circles touch several pixels
LISTED = [
    *(("main", "dark", pix) for pix in (27247, 27250, 27258, 27259, 19456, 0, 49151)),
    *(("main", "bright", pix) for pix in (27258, 27247, 30000)),
    *(("sv3", "dark", pix) for pix in (27246, 27258)),
    ("main", "backup", 27258),
]


def around_the_edges(rng):
    """Return positions in and near the listed pixels: most of them within a radius or two of an edge or a corner."""
    places = []
    for pix in sorted({pix for *_, pix in LISTED}):
        edge = healpy.vec2ang(healpy.boundaries(64, pix, step=8, nest=True).T, lonlat=True)
        ra, dec = (np.concatenate([angle, angle[::8]]) for angle in edge)
        shift = rng.uniform(-1.5, 1.5, (2, len(ra))) * RADIUS / 3600
        dec = np.clip(dec + shift[1], -90, 90)
        places.append(((ra + shift[0] / np.cos(np.radians(dec))) % 360, dec))
        places.append(np.transpose([inside(pix, k) for k in (0, 30, 63)]))
    ra, dec = np.concatenate(places, axis=1)
    return {
        "row": np.arange(len(ra)) * 3 + 1,  # with gaps, where rows were rejected
        "ra": ra,
        "dec": dec,
        "pix16": healpy.ang2pix(16, ra, dec, nest=True, lonlat=True),
    }


def pixels_of_circle(ra, dec, radius):
    """Return the pixels of points on and in a circle (arcsec)."""
    angle = np.radians(np.arange(0, 360, 0.5))
    centre = np.asarray(healpy.ang2vec(ra, dec, lonlat=True))
    east = np.array([-np.sin(np.radians(ra)), np.cos(np.radians(ra)), 0])
    north = np.cross(centre, east)
    touched = set()
    for part in (0, 0.5, 1):
        r = np.radians(radius / 3600) * part
        vectors = np.cos(r) * centre[:, None] + np.sin(r) * (
            np.outer(east, np.cos(angle)) + np.outer(north, np.sin(angle))
        )
        touched |= set(healpy.vec2pix(64, *vectors, nest=True).tolist())
    return touched


@pytest.fixture(scope="module")
def targets():
    return around_the_edges(np.random.default_rng(5))


@pytest.fixture(scope="module")
def made(targets, tmp_path_factory):
    """The plan of all main coadds, in memory and on disk."""
    folder = tmp_path_factory.mktemp("plan")
    listed = read_tilepix(write_list(folder, LISTED), 64)
    plan = make_plan(listed, targets, nside=64, surveys=["main"], programs=["dark", "bright"], radius_arcsec=RADIUS)
    write_plan(plan, folder)
    return plan, folder


def lines(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_list_has_every_coadd_once(tmp_path):
    path = write_list(tmp_path, LISTED)
    with fits.open(path) as hdus:
        assert len(hdus["TILEPIX"].data) == 4 * len(LISTED)
    listed = read_tilepix(path, 64)
    found = list(zip(listed.survey.tolist(), listed.program.tolist(), listed.pix64.tolist(), strict=True))
    assert sorted(found) == sorted(LISTED)


def test_the_plan_is_that_of_brute_force(made, targets):
    plan, folder = made
    main = {(program, pix) for survey, program, pix in LISTED if survey == "main" and program != "backup"}
    pixels = {pix for _, pix in main}
    at_least, at_most = (
        {
            (pix, row)
            for row, ra, dec in zip(targets["row"].tolist(), targets["ra"], targets["dec"], strict=True)
            for pix in pixels_of_circle(ra, dec, radius) & pixels
        }
        for radius in (RADIUS, 1.02 * RADIUS)
    )
    pairs = [(int(pair["pix64"]), int(pair["row"])) for pair in plan.targets]
    assert at_least <= set(pairs) <= at_most
    assert len(at_least) > 300
    assert len(at_most) - len(at_least) < 40
    assert max(Counter(row for _, row in pairs).values()) > 1  # circles that touch two listed pixels
    assert pairs == sorted(set(pairs))
    by_row = {row: k for k, row in enumerate(targets["row"].tolist())}
    for pair, pix16 in zip(plan.targets, plan.pix16, strict=True):
        k = by_row[int(pair["row"])]
        assert (pair["ra"], pair["dec"], pix16) == (targets["ra"][k], targets["dec"][k], targets["pix16"][k])
        assert pair["targetid"] == NO_TARGETID
    assert plan.n_accepted == len(targets["row"])
    assert plan.n_covered == len({row for _, row in pairs})

    count = Counter(pix for pix, _ in pairs)
    planned = lines(folder / "plan.csv")
    assert list(planned[0]) == ["survey", "program", "pix64", "pix16", "n_targets"]
    found = [(int(line["pix64"]), line["program"]) for line in planned]
    order = {"dark": 0, "bright": 1}
    assert found == sorted(((pix, program) for program, pix in main), key=lambda kind: (kind[0], order[kind[1]]))
    for line in planned:
        assert line["survey"] == "main"
        assert int(line["pix16"]) == int(line["pix64"]) // 16
        assert int(line["n_targets"]) == count[int(line["pix64"])]
    searched = Counter((int(pix16), int(pair["pix64"])) for pair, pix16 in zip(plan.targets, plan.pix16, strict=True))
    assert any(pix64 // 16 != pix16 for pix16, pix64 in searched)  # across an NSIDE=16 edge
    assert {
        (int(line["pix16"]), int(line["pix64"])): int(line["n_targets"]) for line in lines(folder / "plan_pixels.csv")
    } == searched


def test_a_job_finds_its_targets(made):
    plan, folder = made
    for pix in (0, 27247, 49151, 27248, -1, 10**6):
        found = targets_of_pixel(folder / "plan_targets.npy", pix)
        assert found.dtype == TARGET_DTYPE
        assert found.tolist() == [pair for pair in plan.targets.tolist() if pair[0] == pix]
    assert len(targets_of_pixel(folder / "plan_targets.npy", 27247)) > 10


def test_a_pixels_digest_changes_with_its_own_targets_alone(made, targets, tmp_path):
    plan, folder = made
    moved = {name: values.copy() for name, values in targets.items()}
    row = plan.targets["row"][plan.targets["pix64"] == 27247][0]
    moved["ra"][targets["row"] == row] += 1e-7
    listed = read_tilepix(folder / RELEASE.tilepix(), 64)
    how = {"nside": 64, "surveys": ["main"], "programs": ["dark", "bright"], "radius_arcsec": RADIUS}
    write_plan(make_plan(listed, moved, **how), tmp_path)
    before, after = (DESI.read_plan(at / "plan.csv").digest for at in (folder, tmp_path))
    assert set(before) == set(after) == set(plan.targets["pix64"].tolist())
    here = set(plan.targets["pix64"][plan.targets["row"] == row].tolist())
    assert {pix for pix in before if before[pix] != after[pix]} == here
    assert len(set(before.values())) == len(before)


def test_targetids_go_along(targets, tmp_path):
    listed = read_tilepix(write_list(tmp_path, LISTED), 64)
    ids = 39628473202710581 + targets["row"]
    plan = make_plan(
        listed, targets | {"targetid": ids}, nside=64, surveys=["main"], programs=["dark"], radius_arcsec=1.0
    )
    assert len(plan.targets)
    assert np.array_equal(plan.targets["targetid"], 39628473202710581 + plan.targets["row"])


def test_a_plan_of_nothing_is_a_plan(made, tmp_path):
    _, folder = made
    nowhere = {"row": np.array([4]), "ra": np.array([10.0]), "dec": np.array([80.0]), "pix16": np.array([3])}
    listed = read_tilepix(folder / RELEASE.tilepix(), 64)
    plan = make_plan(listed, nowhere, nside=64, surveys=["main"], programs=["dark"], radius_arcsec=1.0)
    write_plan(plan, tmp_path)
    assert (plan.n_accepted, plan.n_covered) == (1, 0)
    assert (tmp_path / "plan.csv").read_text() == "survey,program,pix64,pix16,n_targets\n"
    assert (tmp_path / "plan_pixels.csv").read_text() == "pix16,pix64,n_targets,digest\n"
    assert len(targets_of_pixel(tmp_path / "plan_targets.npy", 27247)) == 0
    assert DESI.read_plan(tmp_path / "plan.csv").files == {}
    assert "coadds to read            0" in summary(plan)


def test_surveys_and_programs_that_the_release_does_not_have_are_errors(made):
    _, folder = made
    listed = read_tilepix(folder / RELEASE.tilepix(), 64)
    for surveys, programs, messages in (
        (["mian"], None, ["desi.surveys: found 'mian', which the release does not have; it has main, sv3"]),
        (["main", "sv1"], ["dark"], ["desi.surveys: found 'sv1', which the release does not have; it has main, sv3"]),
        (
            ["main", "sv1"],
            ["drak", "dark", "other"],
            [
                "desi.surveys: found 'sv1', which the release does not have; it has main, sv3",
                "desi.programs: found 'drak', which the release does not have; it has backup, bright, dark",
                "desi.programs: found 'other', which the release does not have; it has backup, bright, dark",
            ],
        ),
        (
            ["sv3"],
            ["backup", "bright"],
            [
                "desi.surveys and desi.programs: the release has no coadd of sv3 that is of backup or bright; it has "
                "main/backup, main/bright, main/dark, sv3/dark"
            ],
        ),
    ):
        with pytest.raises(InputError) as raised:
            choose(listed, surveys, programs)
        assert str(raised.value).splitlines() == messages
    nothing = Coadds(np.array([], str), np.array([], str), np.zeros(0, np.int64))
    with pytest.raises(InputError, match="lists no coadd at all"):
        choose(nothing, None, None)
    # Each is there, if not together.
    assert choose(listed, ["main", "sv3"], ["dark", "backup"]) == (["main", "sv3"], ["dark", "backup"])


@pytest.mark.parametrize(
    ("kinds", "surveys", "programs"),
    [
        (["main/dark", "main/bright", "main/backup", "sv3/dark", "main/other"], ["main"], ["dark", "bright", "backup"]),
        (["main/bright", "main/other", "special/dark"], ["main"], ["dark", "bright"]),
        (["sv1/dark", "sv3/bright", "cmx/other"], ["cmx", "sv1", "sv3"], ["dark", "bright"]),  # such as EDR
        (["cmx/other", "sv1/test"], ["cmx", "sv1"], ["other", "test"]),
    ],
)
def test_without_a_word_it_is_what_the_release_has_of_the_usual_or_all(tmp_path, kinds, surveys, programs):
    listed = read_tilepix(write_list(tmp_path, [(*kind.split("/"), 5) for kind in kinds]), 64)
    assert choose(listed, None, None) == choose(listed, [], []) == (surveys, programs)


def test_rows_that_only_other_surveys_and_programs_have_are_counted_and_told(tmp_path):
    """As in EDR: what `dark, bright, backup` leaves out is not called uncovered."""
    pixels = {"sv3/dark": (10, 20), "sv1/other": (20, 30, 31), "cmx/other": (30,), "sv1/backup": (40,)}
    listed = [(*kind.split("/"), pix) for kind, pixs in pixels.items() for pix in pixs]
    ra, dec = np.array([inside(pix, 9) for pix in (10, 20, 30, 31, 40, 50)]).T
    targets = {"row": np.arange(6) * 2, "ra": ra, "dec": dec, "pix16": np.zeros(6, np.int64)}
    listed = read_tilepix(write_list(tmp_path, listed), 64)

    def planned(surveys, programs):
        plan = make_plan(listed, targets, nside=64, surveys=surveys, programs=programs, radius_arcsec=1.0)
        write_plan(plan, tmp_path)
        left_out = read_not_selected(tmp_path / "plan_not_selected.json")
        assert left_out == plan.left_out
        assert plan.n_covered + len(left_out.rows) == 5
        shown = summary(plan).splitlines()
        assert [f"  not selected    {len(left_out.rows):>9}", f"  not covered     {1:>9}"] == [
            line.partition("    (")[0] for line in shown[2:4]
        ]
        return left_out, shown[-1]

    left_out, last = planned(None, None)
    assert left_out == NotSelected({"sv1/other": [4, 6], "cmx/other": [4]}, {"desi.programs": ["other"]})
    assert last == "2 more rows are in sv1/other (2), cmx/other (1): add other to desi.programs"
    left_out, last = planned(["sv3"], ["dark"])
    assert last == (
        "3 more rows are in sv1/other (2), cmx/other (1), sv1/backup (1): "
        "add cmx, sv1 to desi.surveys and add backup, other to desi.programs"
    )
    assert left_out.rows == {4, 6, 8}
    left_out, last = planned(["sv3", "sv1"], ["dark", "other"])
    assert last == "1 more row is in sv1/backup: add backup to desi.programs"
    assert planned(["sv3", "sv1"], ["dark", "other", "backup"])[0] == NotSelected()


def test_rows_that_are_left_out_are_those_of_brute_force(made, targets):
    plan, _ = made
    elsewhere = {"sv3/dark": {27246, 27258}, "main/backup": {27258}}
    chosen = {pix for survey, program, pix in LISTED if survey == "main" and program != "backup"}
    found = {}
    for radius in (RADIUS, 1.02 * RADIUS):
        touched = [pixels_of_circle(*place, radius) for place in zip(targets["ra"], targets["dec"], strict=True)]
        rows = [row for row, pixels in zip(targets["row"].tolist(), touched, strict=True) if not pixels & chosen]
        found[radius] = {
            kind: {row for row, pixels in zip(targets["row"].tolist(), touched, strict=True) if pixels & here} & {*rows}
            for kind, here in elsewhere.items()
        }
    assert {*plan.left_out.where["sv3/dark"]} == found[RADIUS]["sv3/dark"] == found[1.02 * RADIUS]["sv3/dark"]
    assert len(found[RADIUS]["sv3/dark"]) > 5
    assert found[RADIUS]["main/backup"] == set()
    assert plan.left_out.change == {"desi.surveys": ["sv3"]}


def test_surveys_and_programs_are_in_the_order_asked_for(made, targets):
    _, folder = made
    listed = read_tilepix(folder / RELEASE.tilepix(), 64)
    plan = make_plan(
        listed, targets, nside=64, surveys=["sv3", "main"], programs=["backup", "dark", "bright"], radius_arcsec=1.0
    )
    here = plan.coadds.pix64 == 27258
    kinds = list(zip(plan.coadds.survey[here].tolist(), plan.coadds.program[here].tolist(), strict=True))
    assert kinds == [("sv3", "dark"), ("main", "backup"), ("main", "dark"), ("main", "bright")]


def test_the_summary_counts_targets_and_coadds(made, targets):
    plan, _ = made
    shown = [line.split() for line in summary(plan).splitlines()]
    assert ["targets", f"{len(targets['row'])}"] in shown
    assert ["covered", f"{plan.n_covered}"] in shown
    n_left_out = len(plan.left_out.rows)
    assert ["not", "covered", f"{plan.n_accepted - plan.n_covered - n_left_out}"] in shown
    pixels = {program: {p for s, q, p in LISTED if (s, q) == ("main", program)} for program in ("dark", "bright")}
    for program, mine in pixels.items():
        rows = {int(pair["row"]) for pair in plan.targets if int(pair["pix64"]) in mine}
        assert ["main", program, str(len(mine)), str(len(rows))] in shown


def test_the_plan_is_read_again_only_when_it_has_changed(made, tmp_path):
    plan, folder = made
    for name in ("plan.csv", "plan_pixels.csv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    path = tmp_path / "plan.csv"
    planned = DESI.read_plan(path)
    assert planned.files[27258] == [("main", "dark"), ("main", "bright")]
    assert planned.n_targets[27258] == (plan.targets["pix64"] == 27258).sum()
    assert sorted(planned.searched) == sorted(set(plan.pix16.tolist()))
    assert planned.searched[27258 >> 4].count(27258) == 1
    assert DESI.read_plan(path) is planned
    path.write_text(path.read_text().splitlines()[0] + "\nmain,dark,7,0,1\n")
    os.utime(path, ns=(1, 1))
    assert dict(DESI.read_plan(path).files) == {7: [("main", "dark")]}


# --- Lists that are none ---------------------------------------------------------------------------------------------

HTML = b"<!DOCTYPE html><html><body>503 Service Unavailable</body></html>"


def table_with(change):
    def spoil(path):
        with fits.open(path) as hdus:
            columns, header = hdus["TILEPIX"].columns, hdus["TILEPIX"].header
            made = fits.BinTableHDU.from_columns(columns, header=header)
            change(made)
            out = io.BytesIO()
            fits.HDUList([fits.PrimaryHDU(), made]).writeto(out)
        path.write_bytes(out.getvalue())

    return spoil


def pixel_out_of_range(hdu):
    hdu.data["HEALPIX"][3] = 12 * 64**2


BAD = {
    "HTML": (lambda path: path.write_bytes(HTML), "found an HTML page"),
    "empty": (lambda path: path.write_bytes(b""), "the file is empty"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:6000]), "it is truncated"),
    "NSIDE": (
        table_with(lambda hdu: hdu.header.set("HPXNSIDE", 32)),
        r"\[TILEPIX\]: HPXNSIDE, HPXNEST are \(32, True\)",
    ),
    "RING": (table_with(lambda hdu: hdu.header.set("HPXNEST", False)), r"are \(64, False\), expected \(64, True\)"),
    "no scheme": (table_with(lambda hdu: hdu.header.remove("HPXNEST")), r"are \(64, None\), expected \(64, True\)"),
    "no column": (table_with(lambda hdu: hdu.columns.del_col("PROGRAM")), "column PROGRAM is missing; found TILEID"),
    "pixel": (table_with(pixel_out_of_range), "HEALPIX holds 0 to 49152, expected 0 to 49151"),
    "an image": (
        lambda path: fits.PrimaryHDU(np.zeros((3, 3))).writeto(path, overwrite=True),
        "no binary table, expected columns SURVEY, PROGRAM, HEALPIX",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_list_that_is_none_is_named_and_fetched_again(tmp_path, caplog, case):
    spoil, message = BAD[case]
    write_list(tmp_path / "archive", LISTED)
    cache = tmp_path / "tilepix.fits"
    cache.write_bytes((tmp_path / "archive" / RELEASE.tilepix()).read_bytes())
    spoil(cache)
    with pytest.raises(MalformedFile, match=message) as raised:
        read_tilepix(cache, 64)
    assert str(cache) in str(raised.value)
    with caplog.at_level(logging.WARNING):
        listed = cached_tilepix(Archive(str(tmp_path / "archive")), RELEASE, cache)
    assert len(listed.pix64) == len(LISTED)
    assert cache.read_bytes() == (tmp_path / "archive" / RELEASE.tilepix()).read_bytes()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith("fetching it again")


def test_a_good_cached_list_is_not_fetched(tmp_path):
    cache = write_list(tmp_path, LISTED)
    assert len(cached_tilepix(Archive(str(tmp_path / "nowhere")), RELEASE, cache).pix64) == len(LISTED)


def test_messages_name_where_the_list_is_from(tmp_path, caplog):
    path = write_list(tmp_path / "archive", [*LISTED, ("Main!", "dark", 5)])
    cache = tmp_path / "cache" / "tilepix.fits"
    with serve(tmp_path / "archive") as server:
        url = f"{server.url}/{RELEASE.tilepix()}"
        with Archive(server.url) as archive, caplog.at_level(logging.WARNING):
            fetch_tilepix(archive, RELEASE, cache)
            assert caplog.messages[0].startswith(f"{url}[TILEPIX]: 4 of ")
            for spoil, message in BAD.values():
                write_list(tmp_path / "archive", LISTED)
                spoil(path)
                with pytest.raises(MalformedFile, match=message) as raised:
                    fetch_tilepix(archive, RELEASE, cache)
                assert url in str(raised.value)
                assert str(cache.parent) not in str(raised.value)


def test_an_absent_list_says_how_its_path_is_composed(tmp_path):
    (tmp_path / "spectro" / "redux" / "loa").mkdir(parents=True)
    says = (
        rf"release 'demo' is looked for below {tmp_path} as {RELEASE.tilepix()}; {tmp_path}/spectro/redux has loa\. "
        r"desi\.archive says which .* holds spectro/, desi\.release which .*releases\.yaml has dr1, edr, loa, demo"
    )
    with Archive(str(tmp_path)) as archive, pytest.raises(Absent, match=says):
        fetch_tilepix(archive, RELEASE, tmp_path / "cache.fits")
    with serve(tmp_path) as server:
        patience = Patience(tries=2, base_s=0.01, cap_s=0.01)
        with (
            Archive(server.url, patience=patience) as archive,
            pytest.raises(Absent, match="asked twice"),
        ):
            fetch_tilepix(archive, RELEASE, tmp_path / "cache.fits")
    path = tmp_path / f"{RELEASE.tilepix()}.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    with (
        Archive(str(tmp_path)) as archive,
        pytest.raises(InputError, match=r"tilepix\.fits\.gz is there: .* compressed"),
    ):
        fetch_tilepix(archive, RELEASE, tmp_path / "cache.fits")


def test_what_an_archive_sends_instead_of_the_list_is_not_kept(tmp_path):
    path = write_list(tmp_path / "archive", LISTED)
    path.write_bytes(HTML)
    cache = tmp_path / "kept" / "tilepix.fits"
    with serve(tmp_path / "archive") as server:
        for archive, error in (
            (Archive(str(tmp_path / "archive")), MalformedFile),
            (Archive(server.url), MalformedFile),
        ):
            with archive, pytest.raises(error, match="an HTML page"):
                fetch_tilepix(archive, RELEASE, cache)
        server.misbehave = lambda handler, _: handler.answer(200, HTML, {"Content-Type": "text/html"}) is None
        patience = Patience(tries=2, base_s=0.01, cap_s=0.01)
        with Archive(server.url, patience=patience) as archive, pytest.raises(ArchiveUnavailable, match="HTML page"):
            fetch_tilepix(archive, RELEASE, cache)
    assert list(cache.parent.iterdir()) == []
    cache.write_bytes(b"old")
    with pytest.raises(MalformedFile):
        fetch_tilepix(Archive(str(tmp_path / "archive")), RELEASE, cache)
    assert cache.read_bytes() == b"old"


# --- The program -----------------------------------------------------------------------------------------------------


def test_the_program_plans_and_shows_the_table(tmp_path, capsys):
    place = inside(27258, 9)
    (tmp_path / "t.csv").write_text(
        f"targetid,RA_DESI,DEC_DESI\n39628473202710581,{place[0]!r},{place[1]!r}\n7,10,80\nx,1,2\n"
    )
    write_targets(read_targets(tmp_path / "t.csv", targetid="targetid"), tmp_path)
    assert pq.read_metadata(tmp_path / "targets.parquet").num_rows == 2
    tilepix = write_list(tmp_path, LISTED)
    command = ["--targets", "targets.parquet", "--tilepix", tilepix, "--release", "demo", "--archive", tmp_path]
    command += ["--surveys", "main", "sv3", "--programs", "dark", "--targetid", "targetid", "--out-dir", "out"]
    command = [str(tmp_path / word) if word in ("targets.parquet", "out") else str(word) for word in command]
    assert cli.run(plan_desi.main, plan_desi.build_parser(), command) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["not", "covered", "1"] in shown
    assert ["main", "dark", "1", "1"] in shown
    assert ["sv3", "dark", "1", "1"] in shown
    assert (tmp_path / "out" / "plan.csv").read_text() == (
        "survey,program,pix64,pix16,n_targets\nmain,dark,27258,1703,1\nsv3,dark,27258,1703,1\n"
    )
    assert np.load(tmp_path / "out" / "plan_targets.npy").tolist() == [(27258, 0, *place, 39628473202710581)]
    assert cli.run(plan_desi.main, plan_desi.build_parser(), [*command, "--surveys", "none"]) == 2
    assert "desi.surveys: found 'none', which the release does not have; it has main, sv3" in capsys.readouterr().err
