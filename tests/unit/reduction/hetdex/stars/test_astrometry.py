"""The astrometry of a shot, from multifits to its file."""

import h5py
import numpy as np
import pytest

import hetdex_stars
from hetdex_stars import Shot, some_stars
from skyharvest.core.errors import InputError
from skyharvest.reduction.hetdex.settings import NEEDED, Astrometry, problems
from skyharvest.reduction.hetdex.stars import astrometry_file
from skyharvest.reduction.hetdex.stars.astrometry import solve_shot


def solved(shot: Shot, folder, options: Astrometry | None = None, **written):
    """Write a shot, solve it, and return the path of the file."""
    multifits = shot.write(folder / "science", **written)
    catalogue, fplane = shot.write_lists(folder)
    solve_shot(multifits, catalogue, fplane, folder / "astrometry.h5", options or Astrometry())
    return folder / "astrometry.h5"


def separation(ra, dec, ra0, dec0):
    return np.hypot((ra - ra0) * np.cos(np.radians(dec0)), dec - dec0) * 3600


def test_a_shot(tmp_path):
    """Its header is 7″ and 0.4° off; a galaxy that the catalogue lacks is there, and a star 9″ from a bright one."""
    shot = Shot(some_stars(7, 3), junk=[("106", 2.0, 17.0, 2000.0)])
    path = solved(shot, tmp_path)
    _ra, _dec = shot.positions()
    with h5py.File(path) as file:
        exposures = file["Solution/exposures"][()]
        assert exposures["n_matched"].tolist() == [14, 14, 14]
        np.testing.assert_allclose(exposures["pa"], shot.pa, atol=0.005)
        assert len(set(exposures["pa"])) == 1 < len(set(exposures["pa_alone"]))
        assert separation(exposures["ra"][0], exposures["dec"][0], shot.ra, shot.dec) < 0.05
        # nominal dithers were not used to find these
        measured = np.column_stack([exposures["dither_x"], exposures["dither_y"]])
        np.testing.assert_allclose(measured, shot.dithers, atol=0.04)
        np.testing.assert_allclose(exposures["fwhm"], np.array(shot.fwhm) * (4900 / 4500) ** -0.2, atol=0.05)
        np.testing.assert_allclose(exposures["norm"], shot.norm, rtol=0.01)
        assert (exposures["rms_x"] < 0.15).all() and (exposures["chance"] < 1e-20).all()
        assert exposures["timestamp"][1] == b"20190103T054645.0"
        for number in range(3):
            matches = file[f"Astrometry/CatalogMatches/exp0{number + 1}"][()]
            off = np.hypot(matches["xifu_det"] - matches["xifu_cat"], matches["yifu_det"] - matches["yifu_cat"])
            assert np.sqrt((off**2).mean()) < 0.15
            fibers = file[f"Solution/fibers/exp0{number + 1}"][()]
            assert len(fibers) == 2 * 448
            one = fibers[(fibers["multiframe"] == b"multi_020_106_055_RL") & (fibers["fibidx"] == 5)]
            place = hetdex_stars.ifu_fibers()[224 + 106] + shot.dithers[number]  # the sixth from below, of 112
            _, _, x, y = hetdex_stars.IFUS["106"]
            truth = hetdex_stars.sky_of(place[:1] + y, place[1:] + x, shot.ra, shot.dec, shot.pa)
            assert separation(one["ra"], one["dec"], *truth)[0] < 0.1
            dithall = file[f"Astrometry/Dithall/exp0{number + 1}"][()]
            assert dithall["multifits"][np.flatnonzero(fibers == one)[0]] == b"multi_020_106_055_RL_006.ixy"
        np.testing.assert_allclose(file["Astrometry/NominalVals"]["x_dither_pos"], exposures["dither_x"], atol=1e-6)
        np.testing.assert_allclose(file["Astrometry/QA"]["xoffset"], 0, atol=0.04)
        offsets = file["Solution/ifu_offsets"][()]
        assert offsets["n_stars"].tolist() == [21, 21]
        assert (np.abs(offsets["dx"]) < 0.05).all()
        assert file["Astrometry/CoaddImages/exp01"].shape == file["Astrometry/CoaddImages/png_exp01"].shape[:2]
    read = astrometry_file.read(path)
    assert (read.shot, read.failed, sorted(read.pointings)) == ("20190103v017", "", [1, 2, 3])
    assert read.slots["106"] == pytest.approx((450.112, -149.95))
    assert set(read.catalogue.ids[:14]) == {str(1237661959906850000 + n) for n in range(14)}


def test_exposures_that_were_not_dithered_and_an_fplane_that_is_off(tmp_path, monkeypatch):
    shot = Shot(some_stars(7, 4), fwhm=(1.8, 1.8), norm=(1.0, 1.0), dithers=((0.0, 0.0), (0.02, 0.01)))
    path = solved(shot, tmp_path)
    with h5py.File(path) as file:
        dithers = file["Solution/exposures"][()]
        assert np.hypot(dithers["dither_x"], dithers["dither_y"]).max() < 0.06
        assert file["Astrometry/QA"]["xoffset"][1] == pytest.approx(-1.215, abs=0.06)


def test_a_single_exposure(tmp_path):
    shot = Shot(some_stars(6, 5))
    path = solved(shot, tmp_path, exposures=(1,))
    with h5py.File(path) as file:
        exposures = file["Solution/exposures"][()]
        assert exposures["expnum"].tolist() == [2]
        assert exposures["norm"].tolist() == [1.0]
        assert file["Solution/found"].keys() == {"exp02"}


def test_too_few_stars_are_told(tmp_path):
    """The shot's file says why, and how many were found and are needed."""
    shot = Shot(some_stars(1, 6))
    read = astrometry_file.read(solved(shot, tmp_path))
    assert "found 2 stars on the pictures" in read.failed
    assert "expected 3 or more" in read.failed
    assert not read.pointings
    shot = Shot(some_stars(5, 6), ra=120.0)
    (tmp_path / "elsewhere").mkdir()
    multifits = shot.write(tmp_path / "elsewhere")
    solve_shot(multifits, tmp_path / "stars.csv", tmp_path / "fplane20190101", tmp_path / "a.h5", Astrometry())
    assert "found no star within 0.25°" in astrometry_file.read(tmp_path / "a.h5").failed


def test_a_wrong_fplane_is_no_matter_of_the_shot(tmp_path):
    shot = Shot(some_stars(2, 6), fwhm=(1.8,), norm=(1.0,))
    multifits = shot.write(tmp_path / "science")
    catalogue, fplane = shot.write_lists(tmp_path)
    fplane.write_text("".join(line for line in fplane.read_text().splitlines(keepends=True) if line[:3] != "106"))
    with pytest.raises(InputError, match="found no row of IFUSLOT 106"):
        solve_shot(multifits, catalogue, fplane, tmp_path / "a.h5", Astrometry())


def test_a_band_of_nothing_is_told():
    given = {"enabled": True, "astrometry": {"first_wavelength": 5400.0, "last_wavelength": 4400.0}}
    told = dict(problems(given | dict.fromkeys(NEEDED, "there")))
    assert told == {"astrometry.last_wavelength": "found 4400; expected 5500 or more"}
