"""Tables of a shot's cutouts, ``im2D_SHOTID.h5``, as HETDEX's own files have them: their columns in PyTables' order.

Four of them have a row for each detection, sorted by detectid; a fifth says what could not be made, and why, in whose
place there is NaN.
"""

from typing import Any

import numpy as np

from skyharvest.reduction.hetdex.shots.shot_tables import columns_of
from skyharvest.reduction.hetdex.sources.cutouts import BEST_FIBERS

PHOT_SIZE = 60
"""Pixels of a side of a picture of other surveys."""
PHOT_IMAGES = columns_of(f"detectid i8, im_phot f4*{PHOT_SIZE}x{PHOT_SIZE}, im_phot_hdr S2880")
SPEC1D = columns_of("detectid i8, spec1D f4*1036, spec1D_err f4*1036")
LINE_IMAGES = columns_of(
    """detectid i8, apcor f4, bkg_stddev f4, delta_dec f4*80x80, delta_ra f4*80x80, flux f4, flux_err f4, header S2880,
    line_image f4*80x80, line_image_err f4*80x80, sn_im f4"""
)
NOT_CUT = columns_of("detectid i8, part S12, reason S240")
"""``part`` is the name of a table."""

TITLES = {
    "FiberImages": "Fiber Cutout Images",
    "PhotImages": "Photometric Images",
    "Spec1D": "Aperture Summed Spectrum",
    "LineImages": "Line Emission Map Image",
    "NotCut": "What could not be made, and why",
}
"""Of all tables; those of all but the last are HETDEX's."""
OF_DETECTIONS = ("FiberImages", "PhotImages", "Spec1D", "LineImages")
"""Tables with a row for each detection, a chunk each, so that files are merged without unpacking."""
UNITS = (
    "im_wave: A, air, of the fiber with the highest weight; im_sum, im_array: electrons in a pixel, without sky and "
    "scattered light; spec1D, spec1D_err: 1e-17 erg/s/cm2/A; line_image, line_image_err: 1e-17 erg/s/cm2 in a pixel; "
    "delta_ra, delta_dec: arcsec east and north on the sky; flux, flux_err, bkg_stddev: 1e-17 erg/s/cm2 in an aperture "
    "of 1.5 arcsec; apcor: the share of the aperture that has a value; sn_im: flux / bkg_stddev"
)


def tables(width: int, height: int) -> dict[str, np.dtype[Any]]:
    """Return the types of all tables, by their names, given columns and rows of the pieces."""
    fiber_images = columns_of(
        f"detectid i8, im_wave f4*{width}, im_sum f4*{height}x{width}, im_array f4*{BEST_FIBERS}x{height}x{width}"
    )
    return {
        "FiberImages": fiber_images,
        "PhotImages": PHOT_IMAGES,
        "Spec1D": SPEC1D,
        "LineImages": LINE_IMAGES,
        "NotCut": NOT_CUT,
    }
