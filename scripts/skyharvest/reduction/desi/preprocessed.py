"""Preprocessed images, as `desi_preproc` writes them, and how what is made of them names them."""

from pathlib import Path
from typing import Any

import numpy as np
from desispec.maskbits import extractmaskval

from skyharvest.core.arrays import Floats

CARD = 60
"""Characters of a path that find room in a header card beside its comment."""


def short_path(path: Path) -> str:
    """Return a path as header cards have it: ``IN_PSF``, ``IN_IMG``."""
    return "/".join(path.parts[-3:])[-CARD:]


def good_ivar(image: Any) -> Floats:
    """Return the inverse variances of an image, (n_y, n_x) f8: 0 where a bit of desispec's ``extractmaskval`` is set.

    Parameters
    ----------
    image
        A `desispec.image.Image`.
    """
    return np.asarray(image.ivar * ((image.mask & extractmaskval) == 0), np.float64)
