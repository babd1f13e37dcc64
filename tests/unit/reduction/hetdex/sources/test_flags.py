"""Flags of fibers: tracks and galaxies against astropy, everywhere on the sky; and the CSV files."""

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord, SkyOffsetFrame

from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.shots.shot_tables import empty_shot
from skyharvest.reduction.hetdex.source_settings import Flags
from skyharvest.reduction.hetdex.sources.flags import FLAGS, PARTS, FiberQuality, flag_fibers
from skyharvest.reduction.hetdex.sources.sky_faults import (
    EVERY_EXPOSURE,
    GALAXIES,
    TRACKS,
    SkyFaults,
    distance_from_line,
)

FIELDS = [(208.9, 51.3), (0.01, 0.0), (359.99, 80.0)]
SHOT = "20190103v012"


def places(ra: float, dec: float, n: int = 400, size: float = 400.0) -> tuple[np.ndarray, np.ndarray]:
    """Positions around one, some arcsec to all sides."""
    random = np.random.default_rng(3)
    frame = SkyOffsetFrame(origin=SkyCoord(ra * u.deg, dec * u.deg))
    at = SkyCoord(*random.uniform(-size, size, (2, n)) * u.arcsec, frame=frame).icrs
    return at.ra.deg, at.dec.deg


def row_of_shot(response: float = 0.13) -> np.ndarray:
    row = empty_shot()
    row["shotid"], row["response_4540"] = 20190103012, response
    return row[0]


def fine(n: int) -> FiberQuality:
    return FiberQuality(np.ones(n), np.ones(n), np.ones(n))


@pytest.mark.parametrize(("ra", "dec"), FIELDS)
def test_distance_from_a_track_is_that_from_the_nearest_of_many_points_on_it(ra: float, dec: float) -> None:
    centre = SkyCoord(ra * u.deg, dec * u.deg)
    ends = centre.directional_offset_by([50, 190] * u.deg, [300, 250] * u.arcsec)
    angle, length = ends[0].position_angle(ends[1]), ends[0].separation(ends[1])
    line = ends[0].directional_offset_by(angle, np.linspace(0, 1, 3001) * length)
    at = places(ra, dec)
    brute = SkyCoord(*at * u.deg)[:, None].separation(line).min(axis=1).arcsec
    found = distance_from_line(*at, *(value for end in ends for value in (end.ra.deg, end.dec.deg)))
    np.testing.assert_allclose(found, brute, atol=0.01)
    assert (found < 1e-5).sum() == 0 < (found < 30).sum() < 100
    assert np.isnan(distance_from_line(np.array([np.nan]), np.array([dec]), 1, 2, 3, 4)[0])


@pytest.mark.parametrize(("ra", "dec"), FIELDS)
def test_galaxy_is_an_ellipse_on_the_sky(ra: float, dec: float) -> None:
    galaxy = np.array([(ra, dec, 200.0, 80.0, 30.0)], GALAXIES)
    at = places(ra, dec)
    frame = SkyOffsetFrame(origin=SkyCoord(ra * u.deg, dec * u.deg), rotation=30 * u.deg)
    seen = SkyCoord(*at * u.deg).transform_to(frame)  # its latitude is along the position angle
    radius = np.hypot(seen.lat.arcsec / 200, seen.lon.wrap_at(180 * u.deg).arcsec / 80)
    clear = np.abs(radius - 1) > 1e-5
    found = SkyFaults(galaxies=galaxy).in_galaxy(*at)
    assert (found == (radius <= 1))[clear].all()
    assert 20 < found.sum() < 100


def test_tracks_hold_for_their_exposure_and_shot() -> None:
    one = (SHOT, 2, "meteor", 10.0, 50.0, 10.1, 50.0, 12.0)
    tracks = np.array([one, (SHOT, EVERY_EXPOSURE, "satellite", *one[3:]), ("20190103v013", *one[1:])], TRACKS)
    faults = SkyFaults(tracks=tracks)
    ra, dec, expnum = np.full(3, 10.05), np.array([50.0, 50.0, 50.01]), np.array([1, 2, 2])
    assert faults.on_track("meteor", SHOT, expnum, ra, dec).tolist() == [False, True, False]
    assert faults.on_track("meteor", SHOT, EVERY_EXPOSURE, ra, dec).tolist() == [True, True, False]
    assert faults.on_track("satellite", SHOT, expnum, ra, dec).tolist() == [True, True, False]
    assert not faults.on_track("satellite", "20190103v013", expnum, ra, dec).any()
    beyond = faults.on_track("meteor", SHOT, 2, np.array([10.1 + 4 / 3600, 10.1 + 20 / 3600]), np.array([50.0, 50.0]))
    assert beyond.tolist() == [True, False]  # 2.6 and 13 arcsec behind its end, of which 6 are its half width


def test_each_flag_has_its_reason_and_flag_all_of_them() -> None:
    n = 12
    ra, dec = np.full(n, 10.05), np.full(n, 50.5)
    dec[1] = 50 + 6.5 / 3600  # on the edge of the track: within a fiber's radius
    dec[2], dec[3] = 51.0, np.nan
    quality = fine(n)
    quality.known[4], quality.chi2[5], quality.fiber_to_fiber[6] = 0.2, 9.0, 0.3
    quality.chi2[7] = np.nan
    multiframe = np.array([b"multi_008_093_054_LL"] * 8 + [b"multi_008_093_054_LU"] * 4)
    quality.known[9:12] = 0.0  # three of four
    tracks = np.array([(SHOT, EVERY_EXPOSURE, "meteor", 10.0, 50.0, 10.1, 50.0, 12.0)], TRACKS)
    faults = SkyFaults(tracks=tracks, galaxies=np.array([(10.05, 51.0, 10.0, 5.0, 0.0)], GALAXIES))
    made = flag_fibers(row_of_shot(), np.ones(n, int), multiframe, ra, dec, quality, faults, Flags(most_bad=0.7))
    bad = {part: np.flatnonzero(made[part] == 0).tolist() for part in PARTS}
    assert bad == {
        "flag_badamp": [8, 9, 10, 11],
        "flag_badfib": [3, 4, 5, 6, 7, 9, 10, 11],
        "flag_meteor": [1],
        "flag_satellite": [],
        "flag_largegal": [2],
        "flag_shot": [],
        "flag_throughput": [],
    }
    assert np.flatnonzero(made["flag"]).tolist() == [0]
    assert made.dtype == FLAGS


@pytest.mark.parametrize(
    ("response", "bad_shots", "part"),
    [(0.05, {}, "flag_throughput"), (np.nan, {}, "flag_throughput"), (0.1, {SHOT: "x"}, "flag_shot")],
)
def test_bad_shot_has_no_good_fiber(response: float, bad_shots: dict[str, str], part: str) -> None:
    names = np.array(["multi_008_093_054_LL"] * 3)
    at = np.zeros(3)
    made = flag_fibers(
        row_of_shot(response), np.ones(3, int), names, at, at, fine(3), SkyFaults(bad_shots=bad_shots), Flags()
    )
    assert not made[part].any() and not made["flag"].any()
    assert all(made[other].all() for other in PARTS if other != part)


def test_amp_that_failed_in_one_exposure_is_bad_in_that_alone() -> None:
    names, expnum = np.array(["multi_008_093_054_LL"] * 4), np.array([1, 1, 2, 2])
    failed = [(2, "multi_008_093_054_LL")]
    at = np.zeros(4)
    made = flag_fibers(row_of_shot(), expnum, names, at, at, fine(4), SkyFaults(), Flags(), failed)
    assert made["flag_badamp"].tolist() == [1, 1, 0, 0]


def test_no_fibers_have_no_flags() -> None:
    none = np.zeros(0)
    made = flag_fibers(row_of_shot(), none.astype(int), none.astype("U20"), none, none, fine(0), SkyFaults(), Flags())
    assert made.shape == (0,)


def test_quality_of_spectra_with_gaps() -> None:
    rows = np.zeros(3, [("calfib", "f4", 4), ("chi2", "f4", 3), ("fiber_to_fiber", "f4", 3)])
    rows["chi2"], rows["fiber_to_fiber"] = (
        [[1, 2, np.nan], [np.nan] * 3, [1, 1, 1]],
        [[1, 1, 3], [np.nan] * 3, [2, 2, 2]],
    )
    rows["calfib"][0, 1], rows["calfib"][1] = np.nan, np.nan
    parts = [FiberQuality.of(rows[:1]), FiberQuality.of(rows[1:])]
    quality = FiberQuality.joined(parts)
    assert quality.known.tolist() == [0.75, 0, 1]
    np.testing.assert_equal(quality.chi2, [1.5, np.nan, 1])
    np.testing.assert_equal(quality.fiber_to_fiber, [1, np.nan, 2])


TRACK = "shot,expnum,kind,ra1,dec1,ra2,dec2,width_arcsec"
GALAXY = "ra,dec,major_arcsec,minor_arcsec,pa"


def test_files_are_read(tmp_path: Path) -> None:
    texts = {
        "tracks": f"# seen by eye\nkind,{TRACK.replace(',kind', '')}\nmeteor,{SHOT},*,359.9,0,0.1,0,24\n",
        "galaxies": f"{GALAXY}\n10,50,300,60,-30\n\n",
        "bad_shots": f"shot,reason\n{SHOT},dome closed\n20190103v013,\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.csv").write_text(text)
    faults = SkyFaults.read(Flags(**{name: str(tmp_path / f"{name}.csv") for name in texts}))
    assert faults.tracks.tolist() == [(SHOT, 0, "meteor", 359.9, 0.0, 0.1, 0.0, 24.0)]
    assert faults.galaxies.tolist() == [(10.0, 50.0, 300.0, 60.0, -30.0)]
    assert faults.bad_shots == {SHOT: "dome closed", "20190103v013": f"{tmp_path}/bad_shots.csv, line 3"}
    assert faults.on_track("meteor", SHOT, 3, np.zeros(1), np.zeros(1)).all()  # the short way, across RA 0


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("tracks", f"{TRACK}\n{SHOT},0,meteor,1,2,3,4,5\n", "line 2, column expnum: found '0'; expected the number"),
        ("tracks", f"{TRACK}\n{SHOT},1,comet,1,2,3,4,5\n", "column kind: found 'comet'; expected meteor or satellite"),
        ("tracks", f"{TRACK}\n{SHOT},1,meteor,1,91,3,4,5\n", "column dec1: found '91'; expected a number from -90"),
        ("tracks", f"{TRACK}\n{SHOT},1,meteor,1,2,1,2,5\n", "line 2, columns ra1, dec1, ra2, dec2: found two points 0"),
        ("tracks", f"{TRACK}\n{SHOT},1,meteor,1,2,3,4,\n", "column width_arcsec: found 'nothing'; expected a number"),
        ("tracks", "shot,expnum\n", "line 1: found the columns shot,expnum; expected shot,expnum,kind"),
        ("galaxies", f"{GALAXY}\n1,2,3,4,5\n", "column minor_arcsec: found 4; expected no more than major_arcsec, 3"),
        ("galaxies", f"{GALAXY}\nnan,2,3,1,5\n", "column ra: found 'nan'; expected a number from 0 to 360"),
        ("bad_shots", "shot,reason\n20190103012,bad\n", "line 2, column shot: found '20190103012'; expected the name"),
        ("bad_shots", "", "found nothing; expected the columns shot,reason"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, name: str, text: str, told: str) -> None:
    path = tmp_path / "given.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=f"given.csv: .*{told}"):
        SkyFaults.read(Flags(**{name: str(path)}))
