"""The table of bricks: what is taken from it, what is left out, tables that are none; whose box holds a position."""

import gzip
import logging

import fetch_index
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from numpy.lib import recfunctions

from range_server import serve
from skyharvest.archive.archive import Archive
from skyharvest.core import cli
from skyharvest.core.errors import MalformedFile
from skyharvest.surveys.legacysurvey.bricks import (
    BRICK_DTYPE,
    bricks_of,
    cached_bricks,
    fetch_bricks,
    galactic_latitude,
    home_bricks,
    is_north,
    read_brick_table,
)
from skyharvest.surveys.legacysurvey.release import load_release
from small_bricks import FIRST, N_ROWS, SIDE, around, n_columns, row_of, table_of, write_table

DR9, DR10 = load_release("dr9"), load_release("dr10")
BRICKS = np.concatenate([around(0, 0, 0.5), around(200, 56.7, 0.5), row_of(0), row_of(720)])
BRICKS = BRICKS[np.argsort(BRICKS["brickname"])]


# --- The table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("name", ["bricks.fits", "bricks.fits.gz"])
def test_every_brick_is_there_in_order(tmp_path, caplog, name, upper):
    rows = table_of(BRICKS)[np.random.default_rng(1).permutation(len(BRICKS))]
    if upper:
        rows.dtype.names = [column.upper() for column in rows.dtype.names]
    bricks = read_brick_table(write_table(tmp_path / name, rows), "south", "griz")
    assert bricks.dtype == BRICK_DTYPE
    assert bricks.tolist() == BRICKS.tolist()
    assert not caplog.messages


def exposures(n):
    """Return columns as DR9 has them: g everywhere; r in a third of each brick; z in every other brick."""
    third, none = [600, 300, 0, 0, 0, 0], [900, 0, 0, 0, 0, 0]
    every_other = np.array([none, [0, 0, 0, 0, 0, 900]], "i4")
    return {
        "nexp_g": np.full(n, 3, "i2"),
        "nexp_r": np.zeros(n, "i2"),
        "nexp_z": np.resize([0, 7], n).astype("i2"),
        "nexphist_g": np.resize(np.array([[0, 0, 0, 900, 0, 0]], "i4"), (n, 6)),
        "nexphist_r": np.resize(np.array([third], "i4"), (n, 6)),
        "nexphist_z": np.resize(every_other, (n, 6)),
    }


def test_a_brick_has_the_bands_of_any_pixel_of_its_box(tmp_path):
    columns = exposures(len(BRICKS))
    both = read_brick_table(write_table(tmp_path / "b.fits", table_of(BRICKS, "f4", **columns)), "north", "grz")
    assert both["bands"].tolist() == np.resize([b"gr", b"grz"], len(BRICKS)).tolist()
    assert set(both["region"]) == {b"north"}
    for name in ("ra1", "ra2", "dec1", "dec2"):
        assert both[name].tolist() == BRICKS[name].astype("f4").tolist()
    medians = {name: values for name, values in columns.items() if values.ndim == 1}
    of_medians = read_brick_table(write_table(tmp_path / "m.fits", table_of(BRICKS, **medians)), "north", "griz")
    assert of_medians["bands"].tolist() == np.resize([b"g", b"gz"], len(BRICKS)).tolist()


def test_a_table_that_is_read_in_pieces_is_the_same(tmp_path, monkeypatch):
    path = write_table(tmp_path / "b.fits.gz", table_of(BRICKS, **exposures(len(BRICKS))))
    whole = read_brick_table(path, "south", "grz")
    monkeypatch.setattr("skyharvest.surveys.legacysurvey.bricks.ROWS_AT_ONCE", 4)
    assert read_brick_table(path, "south", "grz").tolist() == whole.tolist()


BAD_ROWS = {
    "brickname": [b"", b"1234p56", b"1234x567", b"../../..", b"12345678"],
    "ra1": [np.nan, -0.1, 400.0, np.inf, -999.0],
    "ra2": [np.nan, 0.0, 360.1, np.inf, 3.0],
    "dec1": [np.nan, 0.2, -95.0, np.inf, -2.0],
    "dec2": [np.nan, -0.2, 95.0, np.inf, 2.0],
    "ra": [np.nan, 10.0, 361.0, -1.0, np.inf],
    "dec": [np.nan, 1.0, -91.0, 91.0, np.inf],
}


@pytest.mark.parametrize("column", BAD_ROWS)
def test_rows_that_are_no_brick_are_left_out_and_counted(tmp_path, caplog, column):
    bad = table_of(row_of(360)[:5])
    bad[column] = BAD_ROWS[column]
    rows = table_of(BRICKS)
    path = write_table(tmp_path / "b.fits", np.concatenate([rows[:2], bad, rows[2:]]))
    with caplog.at_level(logging.WARNING):
        bricks = read_brick_table(path, "south", "griz")
    assert bricks.tolist() == BRICKS.tolist()
    (message,) = caplog.messages
    assert f"{path}[]: 5 of {len(rows) + 5} rows are left out, such as row 2: brickname" in message
    with pytest.raises(MalformedFile, match=r"none of its 5 rows can be used, such as row 0: .* a name like 1234p567"):
        read_brick_table(write_table(tmp_path / "all.fits", bad), "south", "griz")


def test_a_brick_that_is_listed_twice_is_one(tmp_path, caplog):
    rows = table_of(BRICKS)
    again = rows[[3, 1]].copy()
    again["dec"] += 0.1
    with caplog.at_level(logging.WARNING):
        bricks = read_brick_table(write_table(tmp_path / "b.fits", np.concatenate([rows, again])), "south", "griz")
    assert bricks.tolist() == BRICKS.tolist()
    assert f"2 rows are left out, as they list a brick once more, such as {rows[1][0].decode()}" in caplog.messages[0]


def test_an_empty_table_is_a_table(tmp_path):
    bricks = read_brick_table(write_table(tmp_path / "b.fits", table_of(BRICKS[:0])), "south", "griz")
    assert (len(bricks), bricks.dtype) == (0, BRICK_DTYPE)
    assert bricks_of(bricks, np.array([1.0]), np.array([1.0])).tolist() == [-1]


# --- Tables that are none --------------------------------------------------------------------------------------------

HTML = b"<!DOCTYPE html><html><body>503 Service Unavailable</body></html>"
ROWS = table_of(BRICKS)


def without(column):
    return lambda path: write_table(path, recfunctions.drop_fields(ROWS, column))


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def with_image(path):
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(path.with_suffix(".fits"))
    path.write_bytes(path.with_suffix(".fits").read_bytes())


def with_bits(path):
    write_table(path, table_of(BRICKS, nexp_g=np.full(len(BRICKS), b"3")))


BAD = {
    "HTML": (lambda path: path.write_bytes(HTML), "found an HTML page"),
    "empty": (lambda path: path.write_bytes(b""), "the file is empty"),
    "compressed, truncated": (cut, "its gzip compression is damaged or cut short"),
    "compressed, damaged": (
        lambda path: path.write_bytes(path.read_bytes()[:300] + b"\xff" * 100 + path.read_bytes()[400:]),
        "its gzip compression is damaged or cut short",
    ),
    "truncated before": (
        lambda path: path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-2880])),
        "it is truncated",
    ),
    "an image": (with_image, "no binary table, expected columns brickname, ra, dec, ra1, ra2, dec1, dec2"),
    "exposures in letters": (with_bits, "column nexp_g holds .S1, expected whole numbers"),
    **{
        f"no {column}": (without(column), f"column {column} is missing; found ")
        for column in ("brickname", "ra", "dec", "ra1", "ra2", "dec1", "dec2")
    },
}


@pytest.mark.parametrize("case", BAD)
def test_a_table_that_is_none_is_named_and_nothing_is_kept(tmp_path, case):
    spoil, message = BAD[case]
    there = write_table(tmp_path / "archive" / DR10.bricks("south"), ROWS)
    spoil(there)
    with Archive(str(tmp_path / "archive")) as archive, pytest.raises(MalformedFile, match=message) as raised:
        fetch_bricks(archive, DR10, tmp_path / "kept/bricks.npy")
    assert str(there) in str(raised.value)
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_good_list_is_not_fetched_again_and_a_damaged_one_is(tmp_path, caplog):
    there = write_table(tmp_path / "archive" / DR10.bricks("south"), ROWS)
    cache = tmp_path / "bricks.npy"
    with Archive(str(tmp_path / "archive")) as archive:
        assert fetch_bricks(archive, DR10, cache).tolist() == BRICKS.tolist()
        there.rename(there.with_suffix(".away"))
        assert cached_bricks(archive, DR10, cache).tolist() == BRICKS.tolist()
        there.with_suffix(".away").rename(there)
        whole = cache.read_bytes()
        for bad in (whole[:-100], b"", HTML):
            cache.write_bytes(bad)
            caplog.clear()
            with caplog.at_level(logging.WARNING):
                assert cached_bricks(archive, DR10, cache).tolist() == BRICKS.tolist()
            assert len(caplog.messages) == 1
            assert caplog.messages[0].endswith("fetching it again")
            assert cache.read_bytes() == whole
        np.save(cache, np.zeros(3))
        assert cached_bricks(archive, DR10, cache).tolist() == BRICKS.tolist()


def test_all_regions_are_fetched(tmp_path):
    for region in DR9.regions:
        write_table(tmp_path / DR9.bricks(region), ROWS)
    with Archive(str(tmp_path)) as archive:
        bricks = fetch_bricks(archive, DR9, tmp_path / "bricks.npy")
    assert bricks["region"].tolist() == [b"north"] * len(ROWS) + [b"south"] * len(ROWS)


# --- Whose box holds a position --------------------------------------------------------------------------------------


def by_hand(bricks, ra, dec):
    """Return the number of the box of each position, or -1, looking at all; the north pole is in the last row."""
    found = []
    for a, d in zip((ra % 360 % 360).tolist(), dec.tolist(), strict=True):
        in_dec = (bricks["dec1"] <= d) & ((d < bricks["dec2"]) | ((d == 90) & (bricks["dec2"] >= 90)))
        (hits,) = np.nonzero(in_dec & (bricks["ra1"] <= a) & (a < bricks["ra2"]))
        assert len(hits) <= 1
        found.append(int(hits[0]) if len(hits) else -1)
    return found


def edges_and_others(bricks, rng):
    """Return positions on all corners and edges of boxes, next to them by one bit, and anywhere near."""
    ra = np.concatenate([bricks["ra1"], bricks["ra2"], bricks["ra"], bricks["ra1"]])
    dec = np.concatenate([bricks["dec1"], bricks["dec2"], bricks["dec1"], bricks["dec"]])
    ra = np.concatenate([ra, np.nextafter(ra, -1), np.nextafter(ra, 999), ra - 360, ra + 360])
    dec = np.concatenate([dec, np.nextafter(dec, -99), np.nextafter(dec, 99), dec, dec])
    anywhere = rng.integers(0, len(bricks), 500)
    ra = np.concatenate([ra, bricks["ra"][anywhere] + rng.uniform(-0.5, 0.5, 500)])
    dec = np.concatenate([dec, bricks["dec"][anywhere] + rng.uniform(-0.5, 0.5, 500)])
    return ra, np.clip(dec, -90, 90)


PLACES = {
    "equator, RA 0": around(0, 0),
    "RA 360": around(359.99, 40),
    "north pole": np.concatenate([row_of(row) for row in (718, 719, 720)]),
    "south pole": np.concatenate([row_of(row) for row in (0, 1, 2)]),
    "with gaps": around(120, -30)[::3],
    "in float32": around(359.9, 71.3),
    "rows that overlap": np.concatenate([around(10, 10, 0.3), around(14, 10, 0.3)]),
}
PLACES["in float32"][["ra1", "ra2"]] = PLACES["in float32"][["ra1", "ra2"]].astype([("ra1", "f4"), ("ra2", "f4")])
for name in ("dec1", "dec2", "dec"):
    PLACES["rows that overlap"][name][9:] += 0.1


@pytest.mark.parametrize("place", PLACES)
def test_the_box_is_that_of_brute_force(place):
    rng = np.random.default_rng(5)
    bricks = rng.permutation(PLACES[place])
    ra, dec = edges_and_others(bricks, rng)
    found = bricks_of(bricks, ra, dec)
    assert found.tolist() == by_hand(bricks, ra, dec)
    assert len(np.unique(found)) >= len(bricks)  # none is left out


def test_the_north_pole_is_in_a_row_that_ends_there():
    cap = row_of(720)
    cap["dec2"] = 90
    ra = np.array([0.0, 180.0, 359.9])
    assert bricks_of(cap, ra, np.full(3, 90.0)).tolist() == [0, 0, 0]
    assert bricks_of(cap, ra, np.array([np.nan, 89.8, np.nextafter(90, 0)])).tolist() == [-1, -1, 0]
    assert bricks_of(cap, np.array([np.nan]), np.array([90.0])).tolist() == [-1]


def test_the_whole_sky_has_one_brick_for_every_position():
    """100,000 positions, half of them on a grid of edges, among all 662,174 bricks."""
    sky = np.concatenate([row_of(row) for row in range(N_ROWS)])
    assert len(sky) == 662_174  # as many as survey-bricks.fits.gz has
    assert sky["brickname"][328_928 - 1] == b"0001m002"  # the BRICKID that its files' headers have
    rng = np.random.default_rng(3)
    n = 50_000
    ra = np.concatenate([rng.uniform(0, 360, n), rng.integers(0, 1440, n) / 4])
    dec = np.concatenate([np.degrees(np.arcsin(rng.uniform(-1, 1, n))), rng.integers(-720, 721, n) / 8])
    row = np.floor((dec - FIRST) / SIDE).astype(int)
    columns = np.array([n_columns(k) for k in range(N_ROWS)])
    starts = np.cumsum(columns) - columns
    found = bricks_of(sky, ra, dec)
    assert found.min() >= 0
    assert (np.searchsorted(starts, found, "right") - 1).tolist() == row.tolist()
    column = ra / 360 * columns[row]
    clear = np.abs(column - np.rint(column)) > 1e-9  # the edges themselves are linspace's, rounded
    assert clear.sum() > n
    assert (found - starts[row])[clear].tolist() == np.floor(column[clear]).astype(int).tolist()
    assert ((sky["ra1"][found] <= ra) & (ra < sky["ra2"][found])).all()


# --- North and south -------------------------------------------------------------------------------------------------


def test_the_north_is_that_of_the_galactic_cap_by_astropy():
    rng = np.random.default_rng(7)
    n = 20_000
    ra, dec = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    dec[: n // 4] = 32.375
    dec[n // 4 : n // 3] = np.nextafter(32.375, 0)
    ra[:2], dec[:2] = 0, (90, -90)
    b = SkyCoord(ra, dec, unit="deg").galactic.b.deg
    assert np.abs(galactic_latitude(ra, dec) - b).max() < 2e-5  # degrees: astropy's frame is that of FK5
    clear = np.abs(b) > 1e-4
    north = is_north(ra, dec)
    assert north[clear].tolist() == ((dec >= 32.375) & (b > 0))[clear].tolist()
    assert (~north[clear & (dec > 33)]).sum() > 100  # beyond the galactic plane


def test_a_position_that_both_regions_have_goes_to_the_one_that_the_survey_says():
    north, south = around(180, 32.4, 0.8, "north", "grz"), around(180, 32.4, 0.8)
    south = south[south["dec"] < 32.8]
    bricks = np.concatenate([south, north[north["dec"] > 32]])
    ra = np.full(6, 180.1)
    dec = np.array([31.9, 32.3, 32.374999, 32.375, 32.5, 33.0])
    home = home_bricks(bricks, ra, dec)
    assert bricks["region"][home].tolist() == [b"south"] * 3 + [b"north"] * 3
    assert (bricks["dec1"][home] <= dec).all()
    assert (dec < bricks["dec2"][home]).all()


def test_a_position_that_one_region_has_goes_there():
    """The south galactic cap has only the south, and so has DR10 all over the sky; some of the north is below 32.4."""
    south = np.concatenate([around(20, 34), around(180, 40)])
    north = around(180, 31, 0.3, "north", "grz")
    ra, dec = np.array([20.0, 180, 180, 180]), np.array([34.0, 40, 31, 50])
    both = np.concatenate([north, south])
    assert [both["region"][k] if k >= 0 else None for k in home_bricks(both, ra, dec)] == [
        *(b"south", b"south", b"north", None)
    ]
    assert south["region"][home_bricks(south, ra, dec)[:2]].tolist() == [b"south"] * 2
    assert home_bricks(south, ra, dec)[2:].tolist() == [-1, -1]
    assert home_bricks(both[:0], ra, dec).tolist() == [-1] * 4


# --- The program -----------------------------------------------------------------------------------------------------


def test_the_program_fetches_and_checks(tmp_path, capsys):
    there = write_table(tmp_path / DR10.bricks("south"), ROWS)
    out = tmp_path / "cache" / "bricks.npy"
    command = ["legacysurvey", "--release", "dr10", "--out", str(out), "--archive"]
    made = fetch_index.build_parser()
    with serve(tmp_path) as server:
        server.headers["Content-Encoding"] = "x-gzip"  # as web servers say of a .gz
        assert cli.run(fetch_index.main, made, [*command, server.url]) == 0
    assert np.load(out).tolist() == BRICKS.tolist()
    without("dec2")(there)
    assert cli.run(fetch_index.main, made, [*command, str(tmp_path)]) == 1
    assert "column dec2 is missing; found brickname, ra" in capsys.readouterr().err
    assert np.load(out).tolist() == BRICKS.tolist()
