"""The survey's division of the sky into bricks, against desiutil's."""

import numpy as np

from skyharvest.surveys.legacysurvey.bricks import bricks_of
from skyharvest.surveys.legacysurvey.grid import grid_bricks
from skyharvest.surveys.legacysurvey.release import load_release
from small_bricks import N_ROWS, row_of

RNG = np.random.default_rng(8)


def test_every_position_is_in_the_brick_that_desiutil_names():
    from desiutil.brick import Bricks

    ra, dec = RNG.uniform(0, 360, 3000), np.degrees(np.arcsin(RNG.uniform(-1, 1, 3000)))
    ra[:4], dec[:4] = [0, 360, 12, 12], [0, -0.125, 90, -90]
    found = grid_bricks(ra, dec, load_release("dr10"))
    number = bricks_of(found, ra, dec)
    assert (number >= 0).all()
    np.testing.assert_array_equal(found["brickname"][number].astype(str), Bricks(0.25).brickname(ra, dec))
    assert set(found["region"]) == {b"south"}
    assert set(found["bands"]) == {b"griz"}


def test_boxes_and_centres_are_the_rows_of_the_survey():
    for row in (0, 1, 359, 360, 500, N_ROWS - 1):
        theirs = row_of(row)
        ours = grid_bricks(theirs["ra"], theirs["dec"].clip(-90, 90), load_release("dr10"))
        assert len(ours) == len(theirs)
        for name in ("brickname", "ra", "dec", "ra1", "ra2", "dec1", "dec2"):
            of_both = (np.sort(bricks[name]) for bricks in (ours, theirs))
            if name == "brickname":
                np.testing.assert_array_equal(*of_both)
            else:
                np.testing.assert_allclose(*of_both, atol=1e-9)


def test_the_north_galactic_cap_above_the_edge_is_of_the_north():
    ra, dec = np.array([180.0, 180.0, 30.0]), np.array([40.0, 20.0, 40.0])
    found = grid_bricks(ra, dec, load_release("dr9"))
    regions = [found["region"][bricks_of(found, ra[k : k + 1], dec[k : k + 1])[0]] for k in range(3)]
    assert regions == [b"north", b"south", b"south"]
