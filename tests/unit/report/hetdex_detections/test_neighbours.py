"""Neighbours of detections against astropy's separations, and what columns of catalogues mean."""

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord

from skyharvest.core.errors import InputError
from skyharvest.report.hetdex_detections.neighbours import Objects, find_neighbours, read_objects


def objects(ra, dec, name="stars.csv"):
    n = len(ra)
    ids = np.array([f"{name[:1]}{k}" for k in range(n)])
    return Objects(
        name, ids, np.asarray(ra, float), np.asarray(dec, float), np.full((n, 5), 20.0), np.full(n, np.nan), False
    )


@pytest.mark.parametrize(("ra0", "dec0"), [(0.0, 51.0), (359.9999, -20.0), (180.0, 0.0), (10.0, 89.99)])
def test_neighbours_are_those_that_astropy_finds(ra0, dec0):
    """Across RA 0, and near a pole, where RA means little."""
    random = np.random.default_rng(4)
    here = SkyCoord(ra0 * units.deg, dec0 * units.deg)
    around = here.directional_offset_by(
        random.uniform(0, 360, 60) * units.deg, 25 * np.sqrt(random.uniform(0, 1, 60)) * units.arcsec
    )
    detections, stars, galaxies = around[:10], around[10:35], around[35:]
    catalogues = [objects(one.ra.deg, one.dec.deg, name) for one, name in ((stars, "stars"), (galaxies, "galaxies"))]
    found = find_neighbours(detections.ra.deg, detections.dec.deg, catalogues, 10.0)
    n_found = 0
    for detection, near in zip(detections, found, strict=True):
        expected = {}
        for one, name in ((stars, "s"), (galaxies, "g")):
            distance = detection.separation(one).arcsec
            east, north = detection.spherical_offsets_to(one)
            for k in np.flatnonzero(distance <= 10.0):
                expected[f"{name}{k}"] = (distance[k], east[k].to("arcsec").value, north[k].to("arcsec").value)
        assert {one.id for one in near} == set(expected)
        separations = [one.separation for one in near]
        assert separations == sorted(separations)
        for one in near:
            assert (one.separation, one.east, one.north) == pytest.approx(expected[one.id], abs=1e-5)
        n_found += len(near)
    assert n_found > 30


def test_z_is_a_magnitude_of_stars_and_a_redshift_of_other_objects(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(
        "ID,RA,DEC,g,r,z,zmag,other\na,10,1,20.5,99,2.5,21.0,7\nb,10,1,,19,-999,20,7\nc,10,1,21,20,0,20,7\n"
    )
    found = read_objects(path, stars=False)
    np.testing.assert_array_equal(found.redshift, [2.5, np.nan, np.nan])
    nan = np.nan
    np.testing.assert_array_equal(
        found.magnitudes, [[nan, 20.5, nan, nan, 21.0], [nan, nan, 19.0, nan, 20.0], [nan, 21.0, 20.0, nan, 20.0]]
    )
    stars = read_objects(path, stars=True)
    assert stars.magnitudes[0, 4] == 2.5
    assert np.isnan(stars.redshift).all()


def test_what_is_wrong_is_told(tmp_path):
    path = tmp_path / "table.csv"
    with pytest.raises(InputError, match=r"there is no such file; expected a table of objects"):
        read_objects(path, stars=False)
    path.write_text("ID,DEC\na,10\n")
    with pytest.raises(InputError, match="found no column ra; its columns are ID, DEC"):
        read_objects(path, stars=False)
