"""Preprocessed images, as `desi_preproc` writes them."""

from typing import Any

import numpy as np
from desispec.maskbits import extractmaskval

from skyharvest.core.arrays import Floats


def good_ivar(image: Any) -> Floats:
    """Return the inverse variances of an image, (n_y, n_x) f8: 0 where a bit of desispec's ``extractmaskval`` is set.

    Parameters
    ----------
    image
        A `desispec.image.Image`.
    """
    return np.asarray(image.ivar * ((image.mask & extractmaskval) == 0), np.float64)
