"""Pictures of harvested cutouts: which one covers a detection, and what is where on it."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.wcs import WCS

from skyharvest.report.hetdex_detections.legacy_images import NONE_HARVESTED, NOTHING, LegacyImages
from skyharvest.sky.healpix import ang2pix

SIDE, SCALE = 100, 0.262
RA, DEC = 207.6, 51.23


def cutout_wcs(ra, dec, x, y):
    """Return the WCS of a cutout on which a position is at pixel x, y from 0."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [ra, dec], [x + 1, y + 1]
    wcs.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    return wcs


def write_harvest(root: Path, places, star, bands="grz") -> None:
    """Write cutouts at places, each with a star where the sky has it."""
    n = len(places)
    pixel = int(ang2pix(16, *np.array(places[0])[:, None])[0])
    path = root / f"legacysurvey_crossmatches/healpix={pixel}/crossmatch_legacysurvey.hdf5"
    path.parent.mkdir(parents=True)
    image = np.full((n, len(bands), SIDE, SIDE), 1e-4, np.float32)
    image += np.random.default_rng(1).normal(0, 0.01, image.shape).astype(np.float32)
    with h5py.File(path, "w") as file:
        file.attrs.update(healpix=pixel, nside=16, ordering="NESTED", radius_arcsec=1.0, survey="legacysurvey")
        file.attrs["csv_group"] = "own"
        file["own/row"] = np.arange(n)
        group = file.create_group("legacysurvey")
        group.attrs["pixscale"] = SCALE
        group["band"] = np.array([band.encode() for band in bands])
        for k, (ra, dec) in enumerate(places):
            x, y = cutout_wcs(ra, dec, 49.6, 49.3).all_world2pix([star], 0)[0]
            if 0 < x < SIDE - 1 and 0 < y < SIDE - 1:
                image[k, :, round(y), round(x)] = 30.0
        group["image"] = image
        group["ra"], group["dec"] = np.array(places).T
        group["x"], group["y"] = np.full(n, 1849.6), np.full(n, 949.3)
        group["x0"], group["y0"] = np.full(n, 1800), np.full(n, 900)


def offset(east, north):
    """Return a position by arcsec from the first cutout's."""
    return RA + east / 3600 / np.cos(np.radians(DEC)), DEC + north / 3600


def pictures(root, *places):
    ra, dec = np.array(places).T
    made = LegacyImages(root, ra, dec)
    return made, [made.picture(one, 10.0) if one else None for one in made.covering]


def test_the_star_is_where_the_sky_has_it(tmp_path):
    """The detection is 3″ east and 5″ south of a star, and 4″ from the middle of the cutout."""
    star = offset(0.0, 4.0)
    write_harvest(tmp_path, [(RA, DEC)], star)
    _, (picture,) = pictures(tmp_path, offset(3.0, -1.0))
    bright = np.argwhere(picture.colours.sum(axis=2) == picture.colours.sum(axis=2).max())
    row, column = bright.mean(axis=0)
    middle = (len(picture.colours) - 1) / 2
    north, east = (middle - row) * SCALE, (middle - column) * SCALE
    assert (east, north) == pytest.approx((-3.0, 5.0), abs=0.3)
    assert picture.bands == "grz"


def test_of_two_cutouts_the_one_in_whose_middle_it_is_is_taken(tmp_path):
    write_harvest(tmp_path, [offset(9.0, 0.0), (RA, DEC), offset(-200.0, 0.0)], (RA, DEC))
    made, found = pictures(tmp_path, (RA, DEC), offset(10.0, 0.0), offset(30.0, 0.0), offset(-205.0, 3.0))
    assert [one and one.row for one in made.covering] == [1, 0, None, 2]
    assert made.why == "no harvested cutout covers it"
    assert found[2] is None
    near_edge = found[1].colours  # 14″ of the cutout are to the east
    assert (near_edge[:, 0] != NOTHING).any()


def test_what_a_cutout_does_not_have_is_grey(tmp_path):
    write_harvest(tmp_path, [(RA, DEC)], (RA, DEC))
    _, (picture,) = pictures(tmp_path, offset(10.0, 0.0))
    assert (picture.colours[:, 0] == NOTHING).all()  # 20″ to the east of the cutout's middle
    assert not (picture.colours[:, -1] == NOTHING).all()


def test_without_a_harvest_it_is_said(tmp_path):
    made, found = pictures(tmp_path, (RA, DEC))
    assert found == [None] and made.why == NONE_HARVESTED


def test_of_no_detections_there_are_no_pictures(tmp_path):
    write_harvest(tmp_path, [(RA, DEC)], (RA, DEC))
    assert LegacyImages(tmp_path, np.zeros(0), np.zeros(0)).covering == []


def test_a_torn_harvest_is_told(tmp_path):
    write_harvest(tmp_path, [(RA, DEC)], (RA, DEC))
    (path,) = tmp_path.glob("*/*/*.hdf5")
    path.write_bytes(path.read_bytes()[:1000])
    made, found = pictures(tmp_path, (RA, DEC))
    assert found == [None]
    assert f"{path} is not a readable HDF5 file" in made.why
